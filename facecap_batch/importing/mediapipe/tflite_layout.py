"""The state of a conversion from TensorFlow Lite to ONNX: which tensor is which value, and in what layout.

In: a `TfliteGraph` and the `OnnxGraph` it goes into. Out: names of values in the order of axes that the
caller asks for. A value keeps the order in which it was made (convolutions take channels first, TensorFlow
Lite has them last) until an operator needs another one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.errors import EngineError
from facecap_batch.importing.mediapipe.onnx_builder import OnnxGraph
from facecap_batch.importing.mediapipe.tflite_file import TfliteGraph, TfliteOperator

CHANNELS_FIRST = (0, 3, 1, 2)


@dataclasses.dataclass(frozen=True)
class LaidOut:
    """A value, and which axis of the TensorFlow Lite tensor each of its axes is."""

    name: str
    axes: tuple[int, ...]


def natural(rank: int) -> tuple[int, ...]:
    """The axes of a value laid out as TensorFlow Lite does."""
    return tuple(range(rank))


class Conversion:
    """One graph under conversion; `where` is the operator at hand, for errors."""

    def __init__(self, graph: TfliteGraph, into: OnnxGraph, file: str) -> None:
        self.graph, self.into, self.file = graph, into, file
        self.where = file
        self.values: dict[int, LaidOut] = {}
        self.constants = {
            number: tensor.constant
            for number, tensor in enumerate(graph.tensors)
            if tensor.constant is not None
        }
        self.unbatched: set[int] = set()  # tensors that lost the batch axis; their value still has it

    def refuse(self, why: str) -> EngineError:
        """The error that says why the operator at hand cannot be converted."""
        return EngineError(f"{self.where}: {why}")

    def shape(self, number: int) -> tuple[int, ...]:
        """A tensor's shape as built, for one item."""
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
