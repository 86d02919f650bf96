"""Every operator of the torch reference against ONNX Runtime's, one node at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from facecap_batch.engines.backends.torch_ops import OPERATORS

RNG = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


IMAGE = values(2, 4, 9, 7)
SPOTS = RNG.uniform(-1.2, 1.2, (2, 5, 6, 2)).astype(np.float32)  # beyond the border too
CASES: list[tuple[str, list[np.ndarray | None], dict[str, Any]]] = [
    *((name, [values(3, 5)], {}) for name in ("Abs", "Cos", "Erf", "Exp", "HardSwish", "Identity", "Neg")),
    *((name, [values(3, 5)], {}) for name in ("Atan", "Floor", "Relu", "Sigmoid", "Sin", "Tanh", "Shape")),
    *((name, [np.abs(values(3, 5)) + 0.1], {}) for name in ("Log", "Reciprocal", "Sqrt")),
    *((name, [values(2, 3, 5), values(3, 1)], {}) for name in ("Add", "Div", "Mul", "Sub", "Max", "Min")),
    ("Div", [ints(7, -7, 9), ints(2, 2, -4)], {}),
    ("Range", [np.array(n) for n in (2, 11, 3)], {}),
    ("Pow", [np.abs(values(3, 4)), np.array(2.0, np.float32)], {}),
    ("MatMul", [values(2, 3, 4), values(4, 5)], {}),
    ("Gemm", [values(3, 4), values(5, 4), values(5)], {"transB": 1}),
    ("Gemm", [values(4, 3), values(4, 5)], {"transA": 1, "alpha": 0.5}),
    ("PRelu", [IMAGE, np.abs(values(4, 1, 1))], {}),
    ("LeakyRelu", [IMAGE], {"alpha": 0.3}),
    ("HardSigmoid", [values(3, 5)], {"alpha": 1 / 6, "beta": 0.5}),
    ("Clip", [values(3, 5), np.array(-0.5, np.float32), np.array(0.5, np.float32)], {}),
    ("Clip", [values(3, 5), None, np.array(0.5, np.float32)], {}),
    ("Softmax", [values(3, 5)], {"axis": 1}),
    ("Conv", [IMAGE, values(6, 4, 3, 3), values(6)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("Conv", [IMAGE, values(4, 1, 5, 5)], {"group": 4, "pads": [1, 2, 2, 2]}),
    ("Conv", [IMAGE, values(6, 4, 3, 3)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("Conv", [IMAGE, values(6, 4, 3, 3)], {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("Conv", [IMAGE, values(6, 4, 3, 3)], {"dilations": [2, 2], "auto_pad": "VALID"}),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("GlobalAveragePool", [IMAGE], {}),
    ("BatchNormalization", [IMAGE, values(4), values(4), values(4), np.abs(values(4))], {}),
    ("ReduceMean", [IMAGE, ints(2, 3)], {"keepdims": 0}),
    ("ReduceMean", [IMAGE], {}),
    ("ReduceSum", [IMAGE, ints(-1)], {}),
    ("ReduceL2", [IMAGE, ints(1)], {}),
    ("ReduceMax", [IMAGE, ints(1)], {}),
    ("Reshape", [IMAGE, ints(0, -1, 7)], {}),
    ("Flatten", [IMAGE], {"axis": 2}),
    ("Transpose", [IMAGE], {"perm": [0, 2, 3, 1]}),
    ("Squeeze", [values(2, 1, 3, 1), ints(1, 3)], {}),
    ("Squeeze", [values(2, 1, 3, 1)], {}),
    ("Unsqueeze", [values(2, 3), ints(0, -1)], {}),
    ("Expand", [values(3, 1), ints(2, 3, 4)], {}),
    ("Concat", [values(2, 3), values(2, 4)], {"axis": 1}),
    ("Gather", [IMAGE, ints(3, 0, -1)], {"axis": 1}),
    ("Gather", [values(5, 3), np.array([[0, 1], [2, -2]], np.int64)], {"axis": 0}),
    ("GatherND", [IMAGE, np.array([[0, 3], [1, -1]], np.int64)], {}),
    ("GatherND", [IMAGE, np.array([[[0], [3]], [[1], [2]]], np.int64)], {"batch_dims": 1}),
    ("Slice", [IMAGE, ints(1, 0), ints(9, -1), ints(2, 3), ints(2, 1)], {}),
    ("Slice", [IMAGE, ints(-1), ints(-100), ints(3), ints(-2)], {}),
    ("Slice", [values(5, 3), ints(1), ints(3)], {}),
    ("Split", [values(4, 6), ints(1, 5)], {"axis": 1}),
    ("Split", [values(4, 6)], {"axis": 1, "num_outputs": 3}),
    ("Pad", [IMAGE, ints(0, 0, 1, 2, 0, 0, 3, 0), np.array(2.5, np.float32)], {}),
    ("Pad", [IMAGE, ints(1, 2), None, ints(3)], {}),
    ("Pad", [IMAGE, ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "edge"}),
    ("Pad", [IMAGE, ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "reflect"}),
    ("Resize", [IMAGE, None, None, ints(2, 4, 18, 14)], {"mode": "linear"}),
    ("Resize", [IMAGE, None, np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"}),
    ("Resize", [IMAGE, None, np.array([1, 1, 2, 2], np.float32)],
     {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    ("DepthToSpace", [values(1, 8, 3, 2)], {"blocksize": 2}),
    ("DepthToSpace", [values(1, 8, 3, 2)], {"blocksize": 2, "mode": "CRD"}),
    ("GridSample", [IMAGE, SPOTS], {"padding_mode": "border"}),
    ("GridSample", [IMAGE, SPOTS], {"align_corners": 1}),
    ("Cast", [RNG.integers(0, 256, (3, 4), dtype=np.uint8)], {"to": TensorProto.FLOAT}),
]  # fmt: skip


def by_onnxruntime(
    name: str, inputs: list[np.ndarray | None], attributes: dict[str, Any]
) -> list[np.ndarray]:
    names = [f"i{k}" if value is not None else "" for k, value in enumerate(inputs)]
    count = attributes.get("num_outputs", len(inputs[1]) if name == "Split" and len(inputs) > 1 else 1)  # type: ignore[arg-type]
    outputs = [f"o{k}" for k in range(count)]
    fed = {key: value for key, value in zip(names, inputs, strict=True) if value is not None}
    graph = helper.make_graph(
        [helper.make_node(name, names, outputs, **attributes)],
        "one",
        [
            helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for key, value in fed.items()
        ],
        [onnx.ValueInfoProto(name=output) for output in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, fed)


@pytest.mark.parametrize(
    ("name", "inputs", "attributes"), CASES, ids=[f"{k}-{c[0]}" for k, c in enumerate(CASES)]
)
def test_operator(name: str, inputs: list[np.ndarray | None], attributes: dict[str, Any]) -> None:
    expected = by_onnxruntime(name, inputs, attributes)
    tensors = [None if value is None else torch.from_numpy(value.copy()) for value in inputs]
    result = OPERATORS[name](tensors, attributes)
    for found, wanted in zip(result if isinstance(result, list) else [result], expected, strict=True):
        assert tuple(found.shape) == wanted.shape
        np.testing.assert_allclose(found.numpy(), wanted, atol=2e-5, rtol=1e-5)


def test_every_operator_is_tested() -> None:
    assert {name for name, _, _ in CASES} == OPERATORS.keys()


def test_what_is_not_known_is_refused() -> None:
    image = torch.zeros(1, 1, 4, 4)
    with pytest.raises(NotImplementedError):
        OPERATORS["Resize"]([image, None, torch.tensor([1.0, 1.0, 2.0, 2.0])], {"mode": "cubic"})
    with pytest.raises(NotImplementedError):
        OPERATORS["AveragePool"]([image], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]})
