"""Small ONNX networks as other people's tools write them, built node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Axis = int | str


def write_onnx(
    path: Path,
    outputs: dict[str, Sequence[Axis]],
    image: Sequence[Axis] = ("batch", 3, 32, 32),
    kind: int = TensorProto.FLOAT,
    scale: float = 1.0,
    shift: float = 0.0,
    inputs: int = 1,
    fixed: int = 0,
) -> Path:
    """A network whose every output is made of the image's mean colour: random weights, sigmoid, times `scale`
    plus `shift`; `fixed` is a batch that its Reshape insists on, whatever its shapes promise."""
    rng = np.random.default_rng(len(outputs))
    colours_last = image[3] == 3
    nodes = [helper.make_node("Cast", ["image0"], ["pixels"], to=TensorProto.FLOAT)]
    axes = numpy_helper.from_array(np.array([1, 2] if colours_last else [2, 3]), "axes")
    nodes.append(helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0))
    constants = [axes, *(_scalar(n, v) for n, v in (("scale", scale), ("shift", shift), ("tone", 1 / 255)))]
    nodes.append(helper.make_node("Mul", ["mean", "tone"], ["colour"]))
    for name, shape in outputs.items():
        sizes = [axis for axis in shape[1:] if isinstance(axis, int)]
        count = int(np.prod(sizes)) if sizes else 1
        weights = rng.normal(0, 2, (image[3] if colours_last else image[1], count)).astype(np.float32)
        target = np.array([fixed or -1, *sizes], np.int64)
        constants += [
            numpy_helper.from_array(weights, f"w_{name}"),
            numpy_helper.from_array(target, f"t_{name}"),
        ]
        steps = (
            ("MatMul", ["colour", f"w_{name}"]),
            ("Sigmoid", [f"0_{name}"]),
            ("Mul", [f"1_{name}", "scale"]),
            ("Add", [f"2_{name}", "shift"]),
            ("Reshape", [f"3_{name}", f"t_{name}"]),
        )
        for number, (operator, given) in enumerate(steps):
            made = name if operator == "Reshape" else f"{number}_{name}"
            nodes.append(helper.make_node(operator, given, [made]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(f"image{k}", kind, list(image)) for k in range(inputs)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name, shape in outputs.items()
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def _scalar(name: str, value: float) -> TensorProto:
    return numpy_helper.from_array(np.float32(value), name)
