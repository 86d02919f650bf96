"""Writing an ONNX graph node by node.

In: operators with the names of their inputs. Out: a checked ONNX model whose first axis is free. Values are
names; constants are stored once however often they are used. `onnx` is imported only when a graph is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecap_batch.engines.cards import Shape
from facecap_batch.errors import BackendUnavailable, install_hint

OPSET = 18
IR_VERSION = 10  # what ONNX Runtime from 1.19 on reads


class OnnxGraph:
    """A graph under construction."""

    def __init__(self, name: str) -> None:
        try:
            import onnx
        except ImportError as error:
            raise BackendUnavailable(
                f"writing an ONNX file needs the package onnx: {install_hint('import')}"
            ) from error
        self._onnx = onnx
        self._name = name
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[Any] = []

    def _entry(self, name: str, dtype: str, shape: Shape) -> Any:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._onnx.helper.make_tensor_value_info(name, kind, list(shape))

    def input(self, name: str, dtype: str, shape: Shape) -> str:
        """An input of the graph; a string in `shape` stands for a free axis."""
        self._inputs.append(self._entry(name, dtype, shape))
        return name

    def output(self, value: str, name: str, shape: Shape) -> None:
        """Make `value`, float32, an output of the graph called `name`."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._entry(name, "float32", shape))

    def constant(self, array: np.ndarray) -> str:
        """The name of a constant of this value."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._initializers.append(self._onnx.numpy_helper.from_array(array, name))
        return self._constants[key]

    def floats(self, *values: float) -> str:
        """A constant float32 vector, or a scalar where one value is given."""
        return self.constant(np.array(values[0] if len(values) == 1 else values, np.float32))

    def integers(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(np.array(values, np.int64))

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output; return the output's name."""
        output = f"{operator}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def slice(self, value: str, axis: int, start: int, end: int) -> str:
        """`value` from `start` up to and excluding `end` along `axis`."""
        bounds = (self.integers(start), self.integers(end), self.integers(axis))
        return self.node("Slice", value, *bounds)

    def reshape(self, value: str, *shape: int) -> str:
        """`value` in another shape; 0 keeps that axis, -1 is what is left."""
        return self.node("Reshape", value, self.integers(*shape))

    def concat(self, values: Sequence[str], axis: int) -> str:
        """The values one after the other along `axis`."""
        return self.node("Concat", *values, axis=axis)

    def sum_of_products(self, a: str, b: str, axis: int) -> str:
        """Sum of a * b over `axis`, which is kept with one entry."""
        return self.node("ReduceSum", self.node("Mul", a, b), self.integers(axis), keepdims=1)

    def repeated(self, constant: np.ndarray, like: str) -> str:
        """`constant` [1, ...] once for every item of the value `like`, [N, ...]."""
        items = self.node("Shape", like, start=0, end=1)
        shape = self.concat([items, self.integers(*constant.shape[1:])], 0)
        return self.node("Expand", self.constant(constant), shape)

    def model(self) -> bytes:
        """The graph as the bytes of an ONNX file, shapes inferred and checked."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=self._initializers
        )
        model = helper.make_model(
            graph,
            producer_name="facecap-batch",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        model = self._onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        self._onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
