"""TensorFlow Lite operators as ONNX nodes, any number of items at a time.

In: a `TfliteGraph`, built for one item, and the values that feed it. Out: nodes in an `OnnxGraph` whose first
axis is free. Values keep whatever order of axes their maker gave them (convolutions want channels first,
TensorFlow Lite has them last) until somebody needs another one; a TRANSPOSE only renames axes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from facecap_batch.engines.onnx_graph import OnnxGraph
from facecap_batch.engines.tflite_graph import TfliteGraph, TfliteOperator
from facecap_batch.errors import EngineError

CHANNELS_FIRST = (0, 3, 1, 2)


@dataclasses.dataclass(frozen=True)
class LaidOut:
    """A value, and which axis of the TensorFlow Lite tensor each of its axes is."""

    name: str
    axes: tuple[int, ...]


def natural(rank: int) -> tuple[int, ...]:
    """The axes of a value laid out as TensorFlow Lite does."""
    return tuple(range(rank))


def convert(graph: TfliteGraph, into: OnnxGraph, inputs: Sequence[LaidOut], file: str) -> list[str]:
    """Append the nodes of `graph`, fed with `inputs`, to `into`; return its outputs in their natural layout.

    `file` stands in errors. Raises EngineError for an operator that has no twin here, naming it and its place.
    """
    converter = _Converter(graph, into, file)
    converter.values.update(zip(graph.inputs, inputs, strict=True))
    for place, operator in enumerate(graph.operators):
        if operator.kind not in _KINDS:
            raise EngineError(
                f"{file}, operator {place}: {operator.kind} is not converted; those that are: "
                + ", ".join(sorted(_KINDS))
            )
        converter.place = f"{file}, operator {place} ({operator.kind})"
        _KINDS[operator.kind](converter, operator)
    return [converter.laid(number) for number in graph.outputs]


class _Converter:
    """The state of one conversion."""

    def __init__(self, graph: TfliteGraph, into: OnnxGraph, file: str) -> None:
        self.graph, self.into, self.file = graph, into, file
        self.place = file
        self.values: dict[int, LaidOut] = {}
        self.constants = {
            number: tensor.constant
            for number, tensor in enumerate(graph.tensors)
            if tensor.constant is not None
        }
        self.unbatched: set[int] = set()  # tensors that lost the batch axis; their value still has it

    def refuse(self, why: str) -> EngineError:
        return EngineError(f"{self.place}: {why}")

    def shape(self, number: int) -> tuple[int, ...]:
        return self.graph.tensors[number].shape

    def value(self, number: int) -> LaidOut:
        """What was computed for a tensor."""
        if number not in self.values:
            raise self.refuse(f"needs tensor {number} as a computed value")
        if number in self.unbatched:
            raise self.refuse(f"uses tensor {number}, which has no batch axis")
        return self.values[number]

    def constant(self, number: int) -> np.ndarray:
        """The value of a tensor that is in the file."""
        if number not in self.constants:
            raise self.refuse(f"needs tensor {number} as a constant")
        return self.constants[number]

    def as_axes(self, value: LaidOut, axes: tuple[int, ...]) -> str:
        """The name of `value` in the order `axes`."""
        if value.axes == axes:
            return value.name
        order = [value.axes.index(axis) for axis in axes]
        return self.into.node("Transpose", value.name, perm=order)

    def laid(self, number: int) -> str:
        """The name of a tensor's value in its natural layout."""
        value = self.values[number]
        return self.as_axes(value, natural(len(value.axes)))

    def aligned(self, number: int, axes: tuple[int, ...]) -> str:
        """A value or a constant of any rank, ready to be broadcast against one that has `axes`."""
        if number in self.constants:
            array = self.constants[number].astype(np.float32)
            if array.ndim == 0:
                return self.into.constant(array)
            array = array.reshape((1,) * (len(axes) - array.ndim) + array.shape)
            return self.into.constant(array.transpose(axes))
        value = self.value(number)
        if len(value.axes) != len(axes):
            raise self.refuse("inputs of different rank")
        return self.as_axes(value, axes)

    def emit(self, operator: TfliteOperator, name: str, axes: tuple[int, ...]) -> None:
        """Record `name` as the operator's output, behind its fused activation."""
        activation = operator.options.get("activation", "NONE")
        if activation == "RELU":
            name = self.into.node("Relu", name)
        elif activation == "RELU6":
            name = self.into.node("Clip", name, self.into.floats(0.0), self.into.floats(6.0))
        self.values[operator.outputs[0]] = LaidOut(name, axes)


Handler = Callable[[_Converter, TfliteOperator], None]


def _dequantize(converter: _Converter, operator: TfliteOperator) -> None:
    constant = converter.constant(operator.inputs[0])
    if constant.dtype != np.float16:
        raise converter.refuse(f"only float16 constants are widened, not {constant.dtype}")
    converter.constants[operator.outputs[0]] = constant.astype(np.float32)


def _window(converter: _Converter, operator: TfliteOperator, kernel: tuple[int, ...]) -> dict:
    """Attributes of a window that moves over height and width, padding worked out."""
    options = operator.options
    strides, dilations = options["strides"], options.get("dilations", (1, 1))
    before, after = [0, 0], [0, 0]
    if options["padding"] == "SAME":
        height, width = converter.shape(operator.inputs[0])[1:3]
        for axis, (size, across, step, gap) in enumerate(
            zip((height, width), kernel, strides, dilations, strict=True)
        ):
            total = max(0, (-(-size // step) - 1) * step + (across - 1) * gap + 1 - size)
            before[axis], after[axis] = total // 2, total - total // 2
    attributes = {"kernel_shape": list(kernel), "strides": list(strides), "pads": before + after}
    return attributes if dilations == (1, 1) else {**attributes, "dilations": list(dilations)}


def _convolution(converter: _Converter, operator: TfliteOperator) -> None:
    number, weight_number = operator.inputs[:2]
    weight = converter.constant(weight_number).astype(np.float32)
    groups = 1
    if operator.kind == "DEPTHWISE_CONV_2D":
        groups = converter.shape(number)[3]
        weight = weight.transpose(3, 0, 1, 2)  # [1, H, W, C] to [C, 1, H, W]
    else:
        weight = weight.transpose(0, 3, 1, 2)
    attributes = _window(converter, operator, weight.shape[2:])
    inputs = [
        converter.as_axes(converter.value(number), CHANNELS_FIRST),
        converter.into.constant(weight),
        *(converter.into.constant(converter.constant(k).astype(np.float32)) for k in operator.inputs[2:3]),
    ]
    converter.emit(operator, converter.into.node("Conv", *inputs, group=groups, **attributes), CHANNELS_FIRST)


def _max_pool(converter: _Converter, operator: TfliteOperator) -> None:
    value = converter.as_axes(converter.value(operator.inputs[0]), CHANNELS_FIRST)
    attributes = _window(converter, operator, operator.options["kernel"])
    converter.emit(operator, converter.into.node("MaxPool", value, **attributes), CHANNELS_FIRST)


def _leading(converter: _Converter, operator: TfliteOperator) -> tuple[int, ...]:
    """The layout of an operator's first computed input, to which the others are brought."""
    computed = [number for number in operator.inputs if number not in converter.constants]
    if not computed:
        raise converter.refuse("has only constants for inputs")
    return max((converter.value(number).axes for number in computed), key=len)


def _elementwise(name: str) -> Handler:
    def handle(converter: _Converter, operator: TfliteOperator) -> None:
        axes = _leading(converter, operator)
        inputs = [converter.aligned(number, axes) for number in operator.inputs]
        converter.emit(operator, converter.into.node(name, *inputs), axes)

    return handle


def _squared_difference(converter: _Converter, operator: TfliteOperator) -> None:
    axes = _leading(converter, operator)
    difference = converter.into.node("Sub", *(converter.aligned(number, axes) for number in operator.inputs))
    converter.emit(operator, converter.into.node("Mul", difference, difference), axes)


def _prelu(converter: _Converter, operator: TfliteOperator) -> None:
    """slope * x + (1 - slope) * relu(x), the factors as convolutions of one pixel and one channel each.

    ONNX Runtime's own PRelu on the CPU is scalar and wants plain planes between convolutions that work on
    blocks of channels: of the face landmark network's time it took 71 %.
    """
    number, slope_number = operator.inputs
    slope = converter.constant(slope_number).astype(np.float32)
    axes = converter.value(number).axes
    if axes != CHANNELS_FIRST or slope.size != converter.shape(number)[3]:
        inputs = [converter.aligned(number, axes), converter.aligned(slope_number, axes)]
        converter.emit(operator, converter.into.node("PRelu", *inputs), axes)
        return
    into, value, slope = converter.into, converter.value(number).name, slope.reshape(-1, 1, 1, 1)
    shares = (value, slope), (into.node("Relu", value), 1 - slope)
    scaled = [into.node("Conv", part, into.constant(by), group=slope.size) for part, by in shares]
    converter.emit(operator, into.node("Add", *scaled), axes)


def _rsqrt(converter: _Converter, operator: TfliteOperator) -> None:
    value = converter.value(operator.inputs[0])
    root = converter.into.node("Sqrt", value.name)
    converter.emit(operator, converter.into.node("Reciprocal", root), value.axes)


def _pad(converter: _Converter, operator: TfliteOperator) -> None:
    value = converter.value(operator.inputs[0])
    amounts = converter.constant(operator.inputs[1])  # [rank, 2]
    if amounts[0].any():
        raise converter.refuse("pads the batch axis")
    ordered = amounts[list(value.axes)]
    pads = converter.into.integers(*(int(n) for n in ordered.T.ravel()))
    converter.emit(operator, converter.into.node("Pad", value.name, pads), value.axes)


def _reshape(converter: _Converter, operator: TfliteOperator) -> None:
    before, after = converter.shape(operator.inputs[0]), converter.shape(operator.outputs[0])
    if before[:1] != (1,) or after[:1] != (1,):
        raise converter.refuse(f"reshapes {list(before)} to {list(after)}, across the batch axis")
    value = converter.value(operator.inputs[0])
    laid = converter.as_axes(value, natural(len(before)))
    converter.emit(operator, converter.into.reshape(laid, 0, *after[1:]), natural(len(after)))


def _transpose(converter: _Converter, operator: TfliteOperator) -> None:
    order = [int(axis) for axis in converter.constant(operator.inputs[1])]
    if order[0] != 0:
        raise converter.refuse("moves the batch axis")
    value = converter.value(operator.inputs[0])
    converter.emit(operator, value.name, tuple(order.index(axis) for axis in value.axes))


def _concatenation(converter: _Converter, operator: TfliteOperator) -> None:
    axes = _leading(converter, operator)
    axis = operator.options["axis"] % len(axes)
    if axis == 0:
        raise converter.refuse("concatenates along the batch axis")
    like = next(converter.value(n).name for n in operator.inputs if n not in converter.constants)
    parts = []
    for number in operator.inputs:
        if number in converter.constants:
            constant = converter.constant(number).astype(np.float32).transpose(axes)
            parts.append(converter.into.repeated(constant, like))
        else:
            parts.append(converter.aligned(number, axes))
    converter.emit(operator, converter.into.concat(parts, axes.index(axis)), axes)


def _reduction(name: str) -> Handler:
    def handle(converter: _Converter, operator: TfliteOperator) -> None:
        value = converter.value(operator.inputs[0])
        rank = len(value.axes)
        reduced = {int(axis) % rank for axis in np.atleast_1d(converter.constant(operator.inputs[1]))}
        if 0 in reduced:
            raise converter.refuse("reduces the batch axis")
        places = converter.into.integers(*sorted(value.axes.index(axis) for axis in reduced))
        keep = operator.options["keep"]
        result = converter.into.node(name, value.name, places, keepdims=int(keep))
        axes = value.axes
        if not keep:
            left = sorted(set(axes) - reduced)
            axes = tuple(left.index(axis) for axis in axes if axis not in reduced)
        converter.emit(operator, result, axes)

    return handle


def _strided_slice(converter: _Converter, operator: TfliteOperator) -> None:
    value = converter.value(operator.inputs[0])
    shape, options = converter.shape(operator.inputs[0]), operator.options
    begin, end, step = (converter.constant(number) for number in operator.inputs[1:4])
    if options["shrink_mask"] not in (0, 1):
        raise converter.refuse("takes away an axis other than the batch axis")
    name = value.name
    for axis, size in enumerate(shape):
        first = 0 if options["begin_mask"] >> axis & 1 else int(begin[axis])
        last = size if options["end_mask"] >> axis & 1 else int(end[axis])
        pace = int(step[axis])
        if pace < 1:
            raise converter.refuse(f"goes backwards along axis {axis}")
        if range(size)[first:last:pace] == range(size):
            continue
        if axis == 0:
            raise converter.refuse("cuts the batch axis")
        bounds = [converter.into.integers(n) for n in (first, last, value.axes.index(axis), pace)]
        name = converter.into.node("Slice", name, *bounds)
    if options["shrink_mask"]:
        converter.unbatched.add(operator.outputs[0])
    converter.emit(operator, name, value.axes)


_KINDS: dict[str, Handler] = {
    "ADD": _elementwise("Add"),
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "DEQUANTIZE": _dequantize,
    "DIV": _elementwise("Div"),
    "LOGISTIC": _elementwise("Sigmoid"),
    "MAX_POOL_2D": _max_pool,
    "MEAN": _reduction("ReduceMean"),
    "MUL": _elementwise("Mul"),
    "NEG": _elementwise("Neg"),
    "PAD": _pad,
    "PRELU": _prelu,
    "RELU": _elementwise("Relu"),
    "RESHAPE": _reshape,
    "RSQRT": _rsqrt,
    "SQRT": _elementwise("Sqrt"),
    "SQUARED_DIFFERENCE": _squared_difference,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _elementwise("Sub"),
    "SUM": _reduction("ReduceSum"),
    "TRANSPOSE": _transpose,
}
