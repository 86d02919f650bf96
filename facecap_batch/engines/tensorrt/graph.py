"""The card's ONNX file as TensorRT can read it: the same network, written differently.

In: a verified card. Out: a `Graph`: the rewritten model as bytes, and whether it carries Q/DQ nodes. Two
things are rewritten, because TensorRT refuses or misreads them. Bytes: nothing but a cast may follow a UINT8
input there (NVIDIA/TensorRT#3985), so the cast to FP32 comes first and the images are transposed afterwards.
Opset 18: reductions with their axes as an input are misread by 8.6 and refused by some 10
(NVIDIA/TensorRT#3467), so the axes become attributes and the model one of opset 17. Nothing else changes:
ONNX Runtime gives the same values for both.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import numpy as np

from facecap_batch.engines.batching import check_outputs
from facecap_batch.engines.cards import EngineCard, Shape
from facecap_batch.engines.tensorrt.versions import INSTALL
from facecap_batch.errors import BackendUnavailable, EngineError, EngineMismatch

MOVES = frozenset(  # operators that pass bytes on as they are
    {"Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)
READS = frozenset({"Cast", "Shape", "Size"})  # operators whose result no longer is bytes
QUANTISING = frozenset({"QuantizeLinear", "DequantizeLinear"})
_READABLE_OPSET = 17
_CAST_SUFFIX = "__as_float"


@dataclasses.dataclass(frozen=True)
class Graph:
    """A model that TensorRT's parser reads."""

    model: bytes
    quantised: bool  # carries QuantizeLinear or DequantizeLinear nodes
    asymmetric: bool  # ... with a zero point that is not zero, which TensorRT does not know


def unavailable_because() -> str | None:
    """Why graphs cannot be rewritten here, with the install line; None where they can."""
    return f"onnx is not installed; {INSTALL}" if importlib.util.find_spec("onnx") is None else None


def prepared(card: EngineCard) -> Graph:
    """The card's network for TensorRT.

    Raises EngineError where the file is no ONNX model, EngineMismatch where it is not what the card says,
    BackendUnavailable where it computes with bytes.
    """
    import onnx

    try:
        model = onnx.load(str(card.path))
    except Exception as error:  # protobuf raises its own classes
        raise EngineError(f"engine {card.name!r}: {card.path} is not an ONNX file: {error}") from error
    constants = _constants(onnx, model.graph)
    _check_contract(card, onnx, model.graph, constants)
    _cast_bytes_first(card, onnx, model.graph)
    model = _without_axes_inputs(onnx, model, constants)
    del model.graph.value_info[:]  # some speak of bytes where floats now are; they are optional
    zero_points = [
        constants.get(node.input[2])
        for node in model.graph.node
        if node.op_type in QUANTISING and len(node.input) > 2
    ]
    return Graph(
        model=model.SerializeToString(),
        quantised=any(node.op_type in QUANTISING for node in model.graph.node),
        asymmetric=any(
            zeros is None or zeros.dtype == np.uint8 or bool(np.any(zeros)) for zeros in zero_points
        ),
    )


def _constants(onnx: Any, graph: Any) -> dict[str, np.ndarray]:
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    return found


def _check_contract(card: EngineCard, onnx: Any, graph: Any, constants: dict[str, np.ndarray]) -> None:
    spec = card.input
    fed = [entry for entry in graph.input if entry.name not in constants]
    kinds = {"uint8": onnx.TensorProto.UINT8, "float32": onnx.TensorProto.FLOAT}
    shape: list[object] = _shape(fed[0]) if len(fed) == 1 else []
    known = [spec.size if isinstance(axis, str) else axis for axis in shape[1:]]
    fits = (
        len(fed) == 1
        and fed[0].name == spec.name
        and fed[0].type.tensor_type.elem_type == kinds[spec.dtype]
        and tuple(known) == spec.shape[1:]
        and not (spec.step and known == shape[1:])
    )
    if not fits:
        found = [(entry.name, _shape(entry)) for entry in fed]
        raise EngineMismatch(f"engine {card.name!r}: {card.file} takes {found}, the card says {spec}")
    check_outputs(card, {entry.name: _shape(entry) for entry in graph.output})


def _shape(entry: Any) -> list[object]:
    return [dim.dim_value or dim.dim_param for dim in entry.type.tensor_type.shape.dim]


def _cast_bytes_first(card: EngineCard, onnx: Any, graph: Any) -> None:
    if card.input.dtype != "uint8":
        return
    name = card.input.name
    bytes_held = {name}
    for node in graph.node:
        if not bytes_held.intersection(node.input):
            continue
        if node.op_type in MOVES:
            bytes_held.update(node.output)
        elif node.op_type not in READS:
            raise BackendUnavailable(
                f"engine {card.name!r}: {card.file} computes with bytes ({node.op_type}), which TensorRT "
                "cannot; export it with a cast to float before anything else, or use onnxruntime-cuda"
            )
    floats = name + _CAST_SUFFIX
    for node in graph.node:
        node.input[:] = [floats if given == name else given for given in node.input]
    graph.node.insert(0, onnx.helper.make_node("Cast", [name], [floats], to=onnx.TensorProto.FLOAT))


def _without_axes_inputs(onnx: Any, model: Any, constants: dict[str, np.ndarray]) -> Any:
    """`model` as one of opset 17, where it is of opset 18 and uses nothing else that was new there."""
    opsets = [entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if [entry.version for entry in opsets] != [_READABLE_OPSET + 1]:
        return model
    older = onnx.ModelProto()
    older.CopyFrom(model)
    for entry in older.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = _READABLE_OPSET
    for node in older.graph.node:
        # ReduceSum has had its axes as an input since opset 13, and every TensorRT reads that.
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum":
            noop = any(given.name == "noop_with_empty_axes" and given.i for given in node.attribute)
            if noop or (len(node.input) > 1 and node.input[1] not in constants):
                return model
            axes = constants[node.input[1]].tolist() if len(node.input) > 1 else []
            kept = [given for given in node.attribute if given.name != "noop_with_empty_axes"]
            del node.input[1:], node.attribute[:]
            node.attribute.extend(kept)
            if axes:
                node.attribute.append(onnx.helper.make_attribute("axes", axes))
        elif node.op_type == "Split":
            kept = [given for given in node.attribute if given.name != "num_outputs"]
            del node.attribute[:]
            node.attribute.extend(kept)
    try:
        onnx.checker.check_model(older)
    except onnx.checker.ValidationError:
        return model  # something else is new there: left to the parser
    return older


def profile_shapes(card: EngineCard) -> tuple[tuple[Shape, Shape, Shape], ...]:
    """For each batch size of the card, smallest first: the least, the usual and the largest input shape.

    They differ only where `InputSpec.step` frees height and width; the usual image is then 16:9.
    """
    spec = card.input
    largest = tuple(int(axis) for axis in spec.shape[1:])

    def item(height: int, width: int) -> tuple[int, ...]:
        return (height, width, 3) if spec.layout == "NHWC" else (3, height, width)

    usual = item(*spec.canvas(spec.size * 9 // 16, spec.size)) if spec.step else largest
    least = item(spec.step, spec.step) if spec.step else largest
    return tuple(((batch, *least), (batch, *usual), (batch, *largest)) for batch in sorted(card.batch_sizes))
