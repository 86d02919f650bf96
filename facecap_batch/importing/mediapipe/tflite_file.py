"""A TensorFlow Lite network as plain data, so that its converter sees no flatbuffers.

In: the bytes of a ``.tflite`` file. Out: a `TfliteGraph`: operators in order, tensors by number, constants as
arrays. float16 constants stay float16 here; the file's own DEQUANTIZE operators widen them. The
`tflite` schema package is imported only when a file is read.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from facecap_batch.errors import BackendUnavailable, EngineError, install_hint

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every TensorFlow Lite flatbuffer
# TensorType of the schema: those that constants of the converted networks have.
_DTYPES: dict[int, np.dtype] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    2: np.dtype("<i4"),
    4: np.dtype("<i8"),
}
_PADDING = ("SAME", "VALID")
_ACTIVATIONS = {0: "NONE", 1: "RELU", 3: "RELU6"}  # of ActivationFunctionType, those that are converted

Options = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class TfliteTensor:
    """One value of a graph."""

    name: str
    shape: tuple[int, ...]  # as built, the batch axis being 1
    constant: np.ndarray | None  # its value, where that is in the file


@dataclasses.dataclass(frozen=True)
class TfliteOperator:
    """One step of a graph; tensors by number, -1 where an optional input is left out."""

    kind: str  # as the schema spells it: "CONV_2D"
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options


@dataclasses.dataclass(frozen=True)
class TfliteGraph:
    """The one graph of a file."""

    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]  # in order of execution
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(data: bytes, name: str) -> TfliteGraph:
    """Parse a ``.tflite`` file; `name` is for errors.

    Raises:
        EngineError: it is anything but a network of one graph.
        BackendUnavailable: the package tflite is not installed.
    """
    try:
        import tflite
    except ImportError as error:
        raise BackendUnavailable(
            f"reading {name} needs the package tflite: {install_hint('import')}"
        ) from error
    if data[4:8] != IDENTIFIER:
        raise EngineError(f"{name} is not a TensorFlow Lite network")
    try:
        model = tflite.Model.GetRootAsModel(data, 0)
        if model.SubgraphsLength() != 1:
            raise EngineError(f"{name} holds {model.SubgraphsLength()} graphs; one can be converted")
        return _graph(tflite, model, name)
    except (IndexError, ValueError, TypeError, AttributeError, struct.error) as error:
        # numpy, struct and the schema package each raise something else for an offset beyond the end
        raise EngineError(f"{name} is damaged: {type(error).__name__}: {error}") from error


def _graph(tflite: Any, model: Any, name: str) -> TfliteGraph:
    graph = model.Subgraphs(0)
    kinds = {number: kind for kind, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
    tensors = tuple(
        _tensor(model, graph.Tensors(k), f"{name}, tensor {k}") for k in range(graph.TensorsLength())
    )
    operators = []
    for k in range(graph.OperatorsLength()):
        given = graph.Operators(k)
        code = model.OperatorCodes(given.OpcodeIndex())
        # Files written before the schema outgrew one byte have the number in the deprecated field.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = kinds.get(number, f"number {number}")
        operators.append(
            TfliteOperator(
                kind,
                tuple(int(given.Inputs(i)) for i in range(given.InputsLength())),
                tuple(int(given.Outputs(i)) for i in range(given.OutputsLength())),
                _options(tflite, kind, given, f"{name}, operator {k} ({kind})"),
            )
        )
    return TfliteGraph(
        tensors,
        tuple(operators),
        tuple(int(graph.Inputs(i)) for i in range(graph.InputsLength())),
        tuple(int(graph.Outputs(i)) for i in range(graph.OutputsLength())),
    )


def _tensor(model: Any, given: Any, where: str) -> TfliteTensor:
    shape = tuple(int(given.Shape(i)) for i in range(given.ShapeLength()))
    label = (given.Name() or b"").decode(errors="replace")
    buffer = model.Buffers(given.Buffer())
    if not buffer.DataLength():
        return TfliteTensor(label, shape, None)
    dtype = _DTYPES.get(given.Type())
    if dtype is None or given.Sparsity() is not None:
        raise EngineError(
            f"{where} ({label}) is of type {given.Type()} or sparse; float32, float16, int32 and int64 are "
            "converted"
        )
    values = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype)
    return TfliteTensor(label, shape, values.reshape(shape))


def _activation(options: Any, where: str) -> str:
    number = options.FusedActivationFunction()
    if number not in _ACTIVATIONS:
        raise EngineError(f"{where}: the fused activation number {number} is not converted")
    return _ACTIVATIONS[number]


def _window(options: Any, where: str) -> Options:
    return {
        "padding": _PADDING[options.Padding()],
        "strides": (options.StrideH(), options.StrideW()),
        "activation": _activation(options, where),
    }


def _convolution(options: Any, where: str) -> Options:
    return {
        **_window(options, where),
        "dilations": (options.DilationHFactor(), options.DilationWFactor()),
    }


def _pool(options: Any, where: str) -> Options:
    return {**_window(options, where), "kernel": (options.FilterHeight(), options.FilterWidth())}


def _fused(options: Any, where: str) -> Options:
    return {"activation": _activation(options, where)}


def _concatenation(options: Any, where: str) -> Options:
    return {"axis": options.Axis(), "activation": _activation(options, where)}


def _reduction(options: Any, where: str) -> Options:
    return {"keep": bool(options.KeepDims())}


def _strided_slice(options: Any, where: str) -> Options:
    if options.EllipsisMask() or options.NewAxisMask():
        raise EngineError(f"{where}: ellipsis and new axes are not converted")
    masks = {"begin": options.BeginMask(), "end": options.EndMask(), "shrink": options.ShrinkAxisMask()}
    return {f"{name}_mask": mask for name, mask in masks.items()}


# Kind to the schema's table of its options and what is read from it; kinds without options are not here.
_READERS: dict[str, tuple[str, Callable[[Any, str], Options]]] = {
    "CONV_2D": ("Conv2DOptions", _convolution),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _convolution),
    "MAX_POOL_2D": ("Pool2DOptions", _pool),
    "ADD": ("AddOptions", _fused),
    "SUB": ("SubOptions", _fused),
    "MUL": ("MulOptions", _fused),
    "DIV": ("DivOptions", _fused),
    "CONCATENATION": ("ConcatenationOptions", _concatenation),
    "MEAN": ("ReducerOptions", _reduction),
    "SUM": ("ReducerOptions", _reduction),
    "STRIDED_SLICE": ("StridedSliceOptions", _strided_slice),
}


def _options(tflite: Any, kind: str, given: Any, where: str) -> Options:
    if kind not in _READERS:
        return {}
    table_name, read = _READERS[kind]
    table = given.BuiltinOptions()
    if table is None:
        raise EngineError(f"{where} has no options")
    options = getattr(tflite, table_name)()
    options.Init(table.Bytes, table.Pos)
    return read(options, where)
