"""TensorFlow Lite operators as ONNX nodes, any number of items at a time.

In: a `TfliteGraph`, built for one item, and the values that feed it. Out: nodes in an `OnnxGraph` whose first
axis is free. A TRANSPOSE costs nothing: it only renames axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecap_batch.errors import EngineError
from facecap_batch.importing.mediapipe.onnx_builder import OnnxGraph
from facecap_batch.importing.mediapipe.tflite_file import TfliteGraph, TfliteOperator
from facecap_batch.importing.mediapipe.tflite_layout import CHANNELS_FIRST, Conversion, LaidOut, natural

Handler = Callable[[Conversion, TfliteOperator], None]


def _dequantize(conversion: Conversion, operator: TfliteOperator) -> None:
    constant = conversion.constant(operator.inputs[0])
    if constant.dtype != np.float16:
        raise conversion.refuse(f"only float16 constants are widened, not {constant.dtype}")
    conversion.constants[operator.outputs[0]] = constant.astype(np.float32)


def _window(conversion: Conversion, operator: TfliteOperator, kernel: tuple[int, ...]) -> dict[str, Any]:
    """Attributes of a window that moves over height and width, padding worked out."""
    options = operator.options
    strides, dilations = options["strides"], options.get("dilations", (1, 1))
    before, after = [0, 0], [0, 0]
    if options["padding"] == "SAME":
        height, width = conversion.shape(operator.inputs[0])[1:3]
        for axis, (size, across, step, gap) in enumerate(
            zip((height, width), kernel, strides, dilations, strict=True)
        ):
            total = max(0, (-(-size // step) - 1) * step + (across - 1) * gap + 1 - size)
            before[axis], after[axis] = total // 2, total - total // 2
    attributes = {"kernel_shape": list(kernel), "strides": list(strides), "pads": before + after}
    return attributes if dilations == (1, 1) else {**attributes, "dilations": list(dilations)}


def _convolution(conversion: Conversion, operator: TfliteOperator) -> None:
    number, weight_number = operator.inputs[:2]
    weight = conversion.constant(weight_number).astype(np.float32)
    if conversion.value(number).axes != CHANNELS_FIRST and _is_matrix(operator, weight):
        _matrix(conversion, operator, weight[:, 0, 0])
        return
    groups = 1
    if operator.kind == "DEPTHWISE_CONV_2D":
        groups = conversion.shape(number)[3]
        weight = weight.transpose(3, 0, 1, 2)  # [1, H, W, C] to [C, 1, H, W]
    else:
        weight = weight.transpose(0, 3, 1, 2)
    attributes = _window(conversion, operator, weight.shape[2:])
    inputs = [
        conversion.as_axes(conversion.value(number), CHANNELS_FIRST),
        conversion.into.constant(weight),
        *(conversion.into.constant(conversion.constant(k).astype(np.float32)) for k in operator.inputs[2:3]),
    ]
    conversion.emit(
        operator, conversion.into.node("Conv", *inputs, group=groups, **attributes), CHANNELS_FIRST
    )


def _is_matrix(operator: TfliteOperator, weight: np.ndarray) -> bool:
    """Whether the convolution has a kernel of one pixel and moves by one."""
    unit = (1, 1)
    return operator.kind == "CONV_2D" and weight.shape[1:3] == unit and operator.options["strides"] == unit


def _matrix(conversion: Conversion, operator: TfliteOperator, weight: np.ndarray) -> None:
    """A convolution of single pixels by `weight` [O, C] on a value whose channels are its last or last but
    one axis: a product from the right or from the left, and nothing is moved."""
    value = conversion.value(operator.inputs[0])
    into, last = conversion.into, value.axes[-1] == 3
    axes = value.axes if last or value.axes[-2] == 3 else natural(4)
    name = conversion.as_axes(value, axes)
    if axes[-1] == 3:
        result = into.node("MatMul", name, into.constant(weight.T))
    else:
        result = into.node("MatMul", into.constant(weight), name)
    for number in operator.inputs[2:3]:
        bias = conversion.constant(number).astype(np.float32)
        result = into.node("Add", result, into.constant(bias if axes[-1] == 3 else bias[:, None]))
    conversion.emit(operator, result, axes)


def _max_pool(conversion: Conversion, operator: TfliteOperator) -> None:
    value = conversion.as_axes(conversion.value(operator.inputs[0]), CHANNELS_FIRST)
    attributes = _window(conversion, operator, operator.options["kernel"])
    conversion.emit(operator, conversion.into.node("MaxPool", value, **attributes), CHANNELS_FIRST)


def _leading(conversion: Conversion, operator: TfliteOperator) -> tuple[int, ...]:
    """The layout of an operator's first computed input, to which the others are brought."""
    computed = [number for number in operator.inputs if number not in conversion.constants]
    if not computed:
        raise conversion.refuse("has only constants for inputs")
    return max((conversion.value(number).axes for number in computed), key=len)


def _elementwise(name: str) -> Handler:
    def handle(conversion: Conversion, operator: TfliteOperator) -> None:
        axes = _leading(conversion, operator)
        inputs = [conversion.aligned(number, axes) for number in operator.inputs]
        conversion.emit(operator, conversion.into.node(name, *inputs), axes)

    return handle


def _squared_difference(conversion: Conversion, operator: TfliteOperator) -> None:
    axes = _leading(conversion, operator)
    difference = conversion.into.node(
        "Sub", *(conversion.aligned(number, axes) for number in operator.inputs)
    )
    conversion.emit(operator, conversion.into.node("Mul", difference, difference), axes)


def _prelu(conversion: Conversion, operator: TfliteOperator) -> None:
    """x + (1 - slope) * relu(-x), the factors as convolutions of one pixel and one channel each.

    ONNX Runtime's own PRelu on the CPU is scalar and wants plain planes between convolutions that work on
    blocks of channels: of the face landmark network's time it took more than half. These two convolutions
    work on blocks and take the rest of the formula in passing.
    """
    number, slope_number = operator.inputs
    slope = conversion.constant(slope_number).astype(np.float32)
    axes = conversion.value(number).axes
    if axes != CHANNELS_FIRST or slope.size != conversion.shape(number)[3]:
        inputs = [conversion.aligned(number, axes), conversion.aligned(slope_number, axes)]
        conversion.emit(operator, conversion.into.node("PRelu", *inputs), axes)
        return
    into, value = conversion.into, conversion.value(number).name
    slope = slope.reshape(-1, 1, 1, 1)

    def scaled(what: str, factors: np.ndarray) -> str:
        return into.node("Conv", what, into.constant(factors), group=slope.size)

    below = into.node("Relu", scaled(value, -np.ones_like(slope)))
    conversion.emit(operator, into.node("Add", value, scaled(below, 1 - slope)), axes)


def _rsqrt(conversion: Conversion, operator: TfliteOperator) -> None:
    value = conversion.value(operator.inputs[0])
    root = conversion.into.node("Sqrt", value.name)
    conversion.emit(operator, conversion.into.node("Reciprocal", root), value.axes)


def _pad(conversion: Conversion, operator: TfliteOperator) -> None:
    value = conversion.value(operator.inputs[0])
    amounts = conversion.constant(operator.inputs[1])  # [rank, 2]
    if amounts[0].any():
        raise conversion.refuse("pads the batch axis")
    if value.axes == CHANNELS_FIRST and not amounts[:3].any() and not amounts[3, 0]:
        # More channels, all zero, as a convolution: a Pad would end the blocks of channels that ONNX Runtime
        # works on, for everything that is added to it later.
        channels, more = conversion.shape(operator.inputs[0])[3], int(amounts[3, 1])
        widening = np.eye(channels + more, channels, dtype=np.float32)[:, :, None, None]
        result = conversion.into.node("Conv", value.name, conversion.into.constant(widening))
        conversion.emit(operator, result, CHANNELS_FIRST)
        return
    ordered = amounts[list(value.axes)]
    pads = conversion.into.integers(*(int(n) for n in ordered.T.ravel()))
    conversion.emit(operator, conversion.into.node("Pad", value.name, pads), value.axes)


def _reshape(conversion: Conversion, operator: TfliteOperator) -> None:
    before, after = conversion.shape(operator.inputs[0]), conversion.shape(operator.outputs[0])
    if before[:1] != (1,) or after[:1] != (1,):
        raise conversion.refuse(f"reshapes {list(before)} to {list(after)}, across the batch axis")
    value = conversion.value(operator.inputs[0])
    laid = conversion.as_axes(value, natural(len(before)))
    conversion.emit(operator, conversion.into.reshape(laid, 0, *after[1:]), natural(len(after)))


def _transpose(conversion: Conversion, operator: TfliteOperator) -> None:
    order = [int(axis) for axis in conversion.constant(operator.inputs[1])]
    if order[0] != 0:
        raise conversion.refuse("moves the batch axis")
    value = conversion.value(operator.inputs[0])
    conversion.emit(operator, value.name, tuple(order.index(axis) for axis in value.axes))


def _concatenation(conversion: Conversion, operator: TfliteOperator) -> None:
    axes = _leading(conversion, operator)
    axis = operator.options["axis"] % len(axes)
    if axis == 0:
        raise conversion.refuse("concatenates along the batch axis")
    like = next(conversion.value(n).name for n in operator.inputs if n not in conversion.constants)
    parts = []
    for number in operator.inputs:
        if number in conversion.constants:
            constant = conversion.constant(number).astype(np.float32).transpose(axes)
            parts.append(conversion.into.repeated(constant, like))
        else:
            parts.append(conversion.aligned(number, axes))
    conversion.emit(operator, conversion.into.concat(parts, axes.index(axis)), axes)


def _reduction(name: str) -> Handler:
    def handle(conversion: Conversion, operator: TfliteOperator) -> None:
        value = conversion.value(operator.inputs[0])
        rank = len(value.axes)
        reduced = {int(axis) % rank for axis in np.atleast_1d(conversion.constant(operator.inputs[1]))}
        if 0 in reduced:
            raise conversion.refuse("reduces the batch axis")
        positions = conversion.into.integers(*sorted(value.axes.index(axis) for axis in reduced))
        keep = operator.options["keep"]
        result = conversion.into.node(name, value.name, positions, keepdims=int(keep))
        axes = value.axes
        if not keep:
            left = sorted(set(axes) - reduced)
            axes = tuple(left.index(axis) for axis in axes if axis not in reduced)
        conversion.emit(operator, result, axes)

    return handle


def _strided_slice(conversion: Conversion, operator: TfliteOperator) -> None:
    value = conversion.value(operator.inputs[0])
    shape, options = conversion.shape(operator.inputs[0]), operator.options
    begin, end, step = (conversion.constant(number) for number in operator.inputs[1:4])
    if options["shrink_mask"] not in (0, 1):
        raise conversion.refuse("takes away an axis other than the batch axis")
    name = value.name
    for axis, size in enumerate(shape):
        first = 0 if options["begin_mask"] >> axis & 1 else int(begin[axis])
        last = size if options["end_mask"] >> axis & 1 else int(end[axis])
        stride = int(step[axis])
        if stride < 1:
            raise conversion.refuse(f"goes backwards along axis {axis}")
        if range(size)[first:last:stride] == range(size):
            continue
        if axis == 0:
            raise conversion.refuse("cuts the batch axis")
        bounds = [conversion.into.integers(n) for n in (first, last, value.axes.index(axis), stride)]
        name = conversion.into.node("Slice", name, *bounds)
    if options["shrink_mask"]:
        conversion.unbatched.add(operator.outputs[0])
    conversion.emit(operator, name, value.axes)


KINDS: dict[str, Handler] = {
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


def convert(graph: TfliteGraph, into: OnnxGraph, inputs: Sequence[LaidOut], file: str) -> list[str]:
    """Append the nodes of `graph`, fed with `inputs`, to `into`; return its outputs in their natural layout.

    `file` is for errors. Raises EngineError for an operator that is not in KINDS, with its number.
    """
    conversion = Conversion(graph, into, file)
    conversion.values.update(zip(graph.inputs, inputs, strict=True))
    for number, operator in enumerate(graph.operators):
        if operator.kind not in KINDS:
            raise EngineError(
                f"{file}, operator {number}: {operator.kind} is not converted; those that are: "
                + ", ".join(sorted(KINDS))
            )
        conversion.where = f"{file}, operator {number} ({operator.kind})"
        KINDS[operator.kind](conversion, operator)
    return [conversion.laid(number) for number in graph.outputs]
