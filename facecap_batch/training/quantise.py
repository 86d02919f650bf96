"""Float32 engines to static INT8 ones: ONNX in, ONNX with QuantizeLinear and DequantizeLinear out.

In: an engine of FaceBoxes or of the default regressor, and pictures of the kind that it will see. Out: an
engine with the same contract whose convolutions compute in 8 bits: activations uint8, weights int8 per
channel. What an 8-bit kernel of ONNX Runtime cannot take is rewritten first, exactly: see the functions.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from facecap_batch.engines.cards import EngineCard, write_card
from facecap_batch.storage.publish import published

BATCH = 8  # images calibrated at once
# Around 8-bit convolutions these keep their input's scale, so nothing is converted between them.
AROUND_CONVOLUTIONS = ("Conv", "MaxPool", "Concat", "Relu")


class _Images(CalibrationDataReader):
    def __init__(self, name: str, batches: Sequence[np.ndarray]) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter([{name: batch} for batch in batches])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def quantise(card: EngineCard, pictures: Sequence[np.ndarray], folder: Path) -> EngineCard:
    """Publish the 8-bit version of `card`'s network and its card in `folder`; return the card.

    `pictures` are batches as the engine is fed, uint8 [B, H, W, 3] RGB.
    """
    with tempfile.TemporaryDirectory() as scratch, published(folder / card.file) as target:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(card.path), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(str(prepared))
        is_detector = card.role == "detector"
        if is_detector:
            fold_negations(model)
            fold_averages(model)
        onnx.save(model, str(prepared))
        quantize_static(
            str(prepared),
            str(target),
            _Images(card.input.name, pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(AROUND_CONVOLUTIONS if is_detector else AROUND_CONVOLUTIONS[:1]),
            nodes_to_exclude=left_alone(model, is_detector),
            per_channel=True,
            reduce_range=False,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        if is_detector:
            model = onnx.load(str(target))
            feed_pixels(model, card)
            onnx.save(model, str(target))
    made = dataclasses.replace(
        card,
        name=f"{card.name}-int8",
        architecture={**card.architecture, "precision": "int8"},
        training={**card.training, "quantised_from": card.sha256},
        quality={},
        folder=folder,
    )
    return write_card(made, folder / f"{card.role}.json")


class _Graph:
    """Who makes and who takes what in a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.maker = {name: node for node in self.graph.node for name in node.output}
        self.takers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}

    def array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.constants[name])

    def set_array(self, name: str, values: np.ndarray) -> None:
        self.constants[name].CopyFrom(numpy_helper.from_array(values, name))

    def after(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Every node that depends on `node`."""
        found: dict[str, onnx.NodeProto] = {}
        waiting = [node]
        while waiting:
            for name in waiting.pop().output:
                for taker in self.takers.get(name, []):
                    if taker.name not in found:
                        found[taker.name] = taker
                        waiting.append(taker)
        return list(found.values())

    def convolutions(self) -> list[onnx.NodeProto]:
        return [node for node in self.graph.node if node.op_type == "Conv"]

    def remove(self, names: set[str]) -> None:
        kept = [node for node in self.graph.node if node.name not in names]
        del self.graph.node[:]
        self.graph.node.extend(kept)
        del self.graph.value_info[:]  # shapes may have changed


def left_alone(model: onnx.ModelProto, is_detector: bool) -> list[str]:
    """Names of the nodes that stay in float32.

    Of a detector its last convolutions and what decodes them, for they decide boxes, and what comes before
    the first. Of the regressor the first two convolutions (halving, stem) and the depthwise ones, which 8
    bits do not make faster.
    """
    graph = _Graph(model)
    convolutions = graph.convolutions()
    if not is_detector:
        depthwise = [node for node in convolutions if _attribute(node, "group", 1) != 1]
        return [node.name for node in (*convolutions[:2], *depthwise)]
    last = [node for node in convolutions if not any(n.op_type == "Conv" for n in graph.after(node))]
    trunk = {convolutions[0].name, *(node.name for node in graph.after(convolutions[0]))}
    tail = {node.name for head in last for node in (head, *graph.after(head))}
    return [node.name for node in model.graph.node if node.name not in trunk or node.name in tail]


def fold_negations(model: onnx.ModelProto) -> None:
    """Concat(c, Neg(c)) of a convolution c becomes a convolution with the filters and their negatives: the
    same values, and nothing between it and its activation."""
    graph = _Graph(model)
    gone: set[str] = set()
    for node in model.graph.node:
        if node.op_type != "Concat" or len(node.input) != 2:
            continue
        made, negated = (graph.maker.get(name) for name in node.input)
        if made is None or negated is None or made.op_type != "Conv" or negated.op_type != "Neg":
            continue
        if negated.input[0] != node.input[0]:
            continue
        for name in made.input[1:]:
            values = graph.array(name)
            graph.set_array(name, np.concatenate([values, -values]))
        made.output[0] = node.output[0]
        gone |= {node.name, negated.name}
    graph.remove(gone)


def fold_averages(model: onnx.ModelProto) -> None:
    """AveragePool over 3 x 3 (zeros counted) before a 1 x 1 convolution becomes one 3 x 3 convolution."""
    graph = _Graph(model)
    gone: set[str] = set()
    for node in graph.convolutions():
        pool = graph.maker.get(node.input[0])
        if pool is None or pool.op_type != "AveragePool" or _attribute(node, "kernel_shape", []) != [1, 1]:
            continue
        if _attribute(pool, "kernel_shape", []) != [3, 3] or not _attribute(pool, "count_include_pad", 0):
            continue
        weight = graph.array(node.input[1])
        graph.set_array(node.input[1], np.tile(weight / 9, (1, 1, 3, 3)).astype(np.float32))
        for attribute in node.attribute:
            if attribute.name == "kernel_shape":
                attribute.ints[:] = [3, 3]
            elif attribute.name == "pads":
                attribute.ints[:] = [1, 1, 1, 1]
        node.input[0] = pool.input[0]
        gone.add(pool.name)
    graph.remove(gone)


def feed_pixels(model: onnx.ModelProto, card: EngineCard) -> None:
    """Where mean and std are the same for all channels, and the mean is whole, (pixel - mean) / std is what
    DequantizeLinear does: the first convolution then takes the pixels themselves."""
    means, stds = set(card.input.mean), set(card.input.std)
    if len(means) != 1 or len(stds) != 1 or means != {round(min(means))}:
        return
    graph = _Graph(model)
    cast = next(node for node in model.graph.node if node.op_type == "Cast" and _is_pixels(graph, node))
    chain = [cast]
    while chain[-1].op_type != "QuantizeLinear":
        chain += graph.takers[chain[-1].output[0]]
    (unpacked,) = graph.takers[chain[-1].output[0]]
    graph.set_array(unpacked.input[1], np.array(1 / min(stds), np.float32))
    graph.set_array(unpacked.input[2], np.array(round(min(means)), np.uint8))
    unpacked.input[0] = cast.input[0]
    graph.remove({node.name for node in chain})


def _is_pixels(graph: _Graph, cast: onnx.NodeProto) -> bool:
    """Whether the node is what turns the engine's input into float32."""
    source = graph.maker.get(cast.input[0])
    name = cast.input[0] if source is None else source.input[0]
    return bool(name == graph.graph.input[0].name)


def _attribute(node: onnx.NodeProto, name: str, default: object) -> object:
    found = next((attribute for attribute in node.attribute if attribute.name == name), None)
    value = default if found is None else onnx.helper.get_attribute_value(found)
    return list(value) if isinstance(value, list | tuple) else value
