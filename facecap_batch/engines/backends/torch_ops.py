"""ONNX operators in torch, one line each where torch means the same thing.

In: torch tensors and a node's attributes. Out: the node's result. Opset 13 and later (axes as inputs); an
operator or an attribute that is not here raises, it is never approximated. This module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Attributes = dict[str, Any]
Operator = Callable[[list[Any], Attributes], Any]

# TensorProto.DataType to torch, as Cast names them.
CAST = {1: torch.float32, 2: torch.uint8, 3: torch.int8, 6: torch.int32, 7: torch.int64, 9: torch.bool}
CAST |= {10: torch.float16, 11: torch.float64}


def _ints(value: Any) -> list[int]:
    return [int(v) for v in (value.tolist() if isinstance(value, Tensor) else value)]


def _axes(inputs: list[Any], attributes: Attributes) -> list[int] | None:
    if len(inputs) > 1 and inputs[1] is not None:
        return _ints(inputs[1])
    return attributes.get("axes")


def _padded(x: Tensor, attributes: Attributes, value: float) -> tuple[Tensor, list[int]]:
    """Resolve `pads`/`auto_pad` of a 2-D window: symmetric padding is returned, other padding is applied."""
    kernel = attributes["kernel_shape"]
    strides = attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    mode = attributes.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        begin, end = [], []
        for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
            total = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
            small, large = total // 2, total - total // 2
            begin.append(small if mode == "SAME_UPPER" else large)
            end.append(large if mode == "SAME_UPPER" else small)
    else:
        pads = attributes.get("pads", [0, 0, 0, 0]) if mode != "VALID" else [0, 0, 0, 0]
        begin, end = pads[:2], pads[2:]
    if begin == end:
        return x, list(begin)
    return F.pad(x, (begin[1], end[1], begin[0], end[0]), value=value), [0, 0]


def conv(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, weight = inputs[0], inputs[1]
    bias = inputs[2] if len(inputs) > 2 else None
    attributes = {"kernel_shape": list(weight.shape[2:]), **attributes}
    x, padding = _padded(x, attributes, 0.0)
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    return F.conv2d(x, weight, bias, strides, padding, dilations, attributes.get("group", 1))


def max_pool(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, padding = _padded(inputs[0], attributes, float("-inf"))
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    ceil = bool(attributes.get("ceil_mode", 0))
    return F.max_pool2d(x, attributes["kernel_shape"], strides, padding, dilations, ceil)


def average_pool(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, include = inputs[0], bool(attributes.get("count_include_pad", 0))
    padded, padding = _padded(x, attributes, 0.0)
    if padded is not x and not include:
        raise NotImplementedError("AveragePool with asymmetric padding that does not count")
    strides, ceil = attributes.get("strides", [1, 1]), bool(attributes.get("ceil_mode", 0))
    return F.avg_pool2d(padded, attributes["kernel_shape"], strides, padding, ceil, include)


def batch_normalization(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, scale, bias, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def gemm(inputs: list[Any], attributes: Attributes) -> Tensor:
    a: Tensor = inputs[0].T if attributes.get("transA", 0) else inputs[0]
    b: Tensor = inputs[1].T if attributes.get("transB", 0) else inputs[1]
    alpha, beta = float(attributes.get("alpha", 1.0)), float(attributes.get("beta", 1.0))
    out = alpha * (a @ b)
    return out + beta * inputs[2] if len(inputs) > 2 else out


def clip(inputs: list[Any], attributes: Attributes) -> Tensor:
    low = inputs[1] if len(inputs) > 1 else None
    high = inputs[2] if len(inputs) > 2 else None
    return torch.clamp(inputs[0], low, high)


def reshape(inputs: list[Any], attributes: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    shape = _ints(inputs[1])
    if not attributes.get("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return x.reshape(shape)


def flatten(inputs: list[Any], attributes: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    axis = int(attributes.get("axis", 1))
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def slice_(inputs: list[Any], attributes: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    starts, ends = _ints(inputs[1]), _ints(inputs[2])
    axes = _ints(inputs[3]) if len(inputs) > 3 and inputs[3] is not None else list(range(len(starts)))
    steps = _ints(inputs[4]) if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index = torch.arange(x.shape[axis])[slice(start, end, step)] if step > 0 else None
        if index is None:  # torch cannot slice backwards
            index = torch.as_tensor(np.arange(x.shape[axis])[slice(start, end, step)].copy())
        x = x.index_select(axis, index.to(x.device))
    return x


def gather(inputs: list[Any], attributes: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    index: Tensor = inputs[1]
    axis = int(attributes.get("axis", 0)) % x.dim()
    flat = x.index_select(axis, (index.reshape(-1) % x.shape[axis]).to(torch.int64))
    return flat.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def gather_nd(inputs: list[Any], attributes: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    index: Tensor = inputs[1].to(torch.int64)
    shared = int(attributes.get("batch_dims", 0))
    if shared:
        parts = [gather_nd([a, b], {"batch_dims": shared - 1}) for a, b in zip(x, index, strict=True)]
        return torch.stack(parts)
    return x[tuple(index.unbind(-1))]


def pad(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, pads = inputs[0], _ints(inputs[1])
    rank = x.dim()
    if len(inputs) > 3 and inputs[3] is not None:
        axes = [axis % rank for axis in _ints(inputs[3])]
    else:
        axes = list(range(rank))
    before, after = [0] * rank, [0] * rank
    for slot, axis in enumerate(axes):
        before[axis], after[axis] = pads[slot], pads[slot + len(axes)]
    torch_pads = [side for axis in reversed(range(rank)) for side in (before[axis], after[axis])]
    mode = attributes.get("mode", "constant")
    if mode == "constant":
        value = float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0
        return F.pad(x, torch_pads, value=value)
    return F.pad(x, torch_pads[:4], mode={"edge": "replicate", "reflect": "reflect"}[mode])


def split(inputs: list[Any], attributes: Attributes) -> list[Tensor]:
    x, axis = inputs[0], attributes.get("axis", 0)
    if len(inputs) > 1 and inputs[1] is not None:
        return list(torch.split(x, _ints(inputs[1]), dim=axis))
    return list(torch.split(x, -(-x.shape[axis] // attributes["num_outputs"]), dim=axis))


def resize(inputs: list[Any], attributes: Attributes) -> Tensor:
    x = inputs[0]
    sizes = inputs[3] if len(inputs) > 3 else None
    size = _ints(sizes)[2:] if sizes is not None else None
    scale = None if size else [float(s) for s in inputs[2].tolist()[2:]]
    mode = attributes.get("mode", "nearest")
    where = attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode == "linear" and where in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        return F.interpolate(x, size, scale, mode="bilinear", align_corners=where == "align_corners")
    if mode == "nearest" and where == "asymmetric" and attributes.get("nearest_mode") == "floor":
        return F.interpolate(x, size, scale, mode="nearest")
    raise NotImplementedError(f"Resize {mode} with {where}")


def grid_sample(inputs: list[Any], attributes: Attributes) -> Tensor:
    named = attributes.get("mode", "linear")
    mode = "bilinear" if named == "linear" else named
    padding = attributes.get("padding_mode", "zeros")
    corners = bool(attributes.get("align_corners", 0))
    return F.grid_sample(inputs[0], inputs[1], mode=mode, padding_mode=padding, align_corners=corners)


def reduce(how: Callable[..., Tensor]) -> Operator:
    def run(inputs: list[Any], attributes: Attributes) -> Tensor:
        axes, keep = _axes(inputs, attributes), bool(attributes.get("keepdims", 1))
        axes = list(range(inputs[0].dim())) if axes is None else axes
        return how(inputs[0], dim=axes, keepdim=keep)

    return run


def squeeze(inputs: list[Any], attributes: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    axes = _axes(inputs, attributes)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def unsqueeze(inputs: list[Any], attributes: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    axes = _axes(inputs, attributes) or []
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def divide(inputs: list[Any], attributes: Attributes) -> Tensor:
    a: Tensor
    b: Tensor
    a, b = inputs
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def shape(inputs: list[Any], attributes: Attributes) -> Tensor:
    sizes = list(inputs[0].shape)[attributes.get("start", 0) : attributes.get("end")]
    return torch.tensor(sizes, dtype=torch.int64)


OPERATORS: dict[str, Operator] = {
    "Abs": lambda i, a: i[0].abs(),
    "Add": lambda i, a: i[0] + i[1],
    "Atan": lambda i, a: i[0].atan(),
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": lambda i, a: i[0].to(CAST[a["to"]]),
    "Clip": clip,
    "Concat": lambda i, a: torch.cat(i, dim=a["axis"]),
    "Conv": conv,
    "Cos": lambda i, a: i[0].cos(),
    "DepthToSpace": lambda i, a: _depth_to_space(i[0], a),
    "Div": divide,
    "Erf": lambda i, a: torch.erf(i[0]),
    "Exp": lambda i, a: i[0].exp(),
    "Expand": lambda i, a: i[0] * torch.ones(_ints(i[1]), dtype=i[0].dtype, device=i[0].device),
    "Flatten": flatten,
    "Floor": lambda i, a: i[0].floor(),
    "Gather": gather,
    "GatherND": gather_nd,
    "Gemm": gemm,
    "GlobalAveragePool": lambda i, a: i[0].mean(dim=(2, 3), keepdim=True),
    "GridSample": grid_sample,
    "HardSigmoid": lambda i, a: (i[0] * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda i, a: F.hardswish(i[0]),
    "Identity": lambda i, a: i[0],
    "LeakyRelu": lambda i, a: F.leaky_relu(i[0], a.get("alpha", 0.01)),
    "Log": lambda i, a: i[0].log(),
    "MatMul": lambda i, a: i[0] @ i[1],
    "MaxPool": max_pool,
    "Max": lambda i, a: torch.stack(torch.broadcast_tensors(*i)).amax(0),
    "Min": lambda i, a: torch.stack(torch.broadcast_tensors(*i)).amin(0),
    "Mul": lambda i, a: i[0] * i[1],
    "Neg": lambda i, a: -i[0],
    "PRelu": lambda i, a: torch.where(i[0] < 0, i[0] * i[1], i[0]),
    "Pad": pad,
    "Pow": lambda i, a: i[0] ** i[1],
    "Range": lambda i, a: torch.arange(*(x.item() for x in i), dtype=i[0].dtype, device=i[0].device),
    "Reciprocal": lambda i, a: i[0].reciprocal(),
    "ReduceL2": reduce(torch.linalg.vector_norm),
    "ReduceMax": reduce(torch.amax),
    "ReduceMean": reduce(torch.mean),
    "ReduceSum": reduce(torch.sum),
    "Relu": lambda i, a: i[0].relu(),
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape,
    "Sigmoid": lambda i, a: i[0].sigmoid(),
    "Sin": lambda i, a: i[0].sin(),
    "Slice": slice_,
    "Softmax": lambda i, a: i[0].softmax(dim=a.get("axis", -1)),
    "Split": split,
    "Sqrt": lambda i, a: i[0].sqrt(),
    "Squeeze": squeeze,
    "Sub": lambda i, a: i[0] - i[1],
    "Tanh": lambda i, a: i[0].tanh(),
    "Transpose": lambda i, a: i[0].permute(a["perm"]),
    "Unsqueeze": unsqueeze,
}


def _depth_to_space(x: Tensor, attributes: Attributes) -> Tensor:
    if attributes.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, attributes["blocksize"])
    n, c, h, w = x.shape
    b = attributes["blocksize"]
    return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)
