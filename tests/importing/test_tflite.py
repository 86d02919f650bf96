"""Every operator that is converted, against numpy; what is not converted is refused by name and place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import tflite

from facecap_batch.errors import EngineError
from facecap_batch.importing.mediapipe.onnx_builder import OnnxGraph
from facecap_batch.importing.mediapipe.tflite_file import read_tflite
from facecap_batch.importing.mediapipe.tflite_layout import LaidOut, natural
from facecap_batch.importing.mediapipe.tflite_operators import KINDS, convert
from tests.support.tflite_files import TfliteBuilder

RNG = np.random.default_rng(0)
ITEMS = 3  # as many at once, though every file is built for one
SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID
RELU, RELU6 = tflite.ActivationFunctionType.RELU, tflite.ActivationFunctionType.RELU6


def values(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def windows(
    x: np.ndarray, kernel: tuple[int, int], step: int, gap: int, padding: int, fill: float
) -> np.ndarray:
    """[N, rows, columns, kh, kw, C] of x [N, H, W, C], padded as TensorFlow does."""
    pads = [(0, 0)]
    for size, across in zip(x.shape[1:3], kernel, strict=True):
        reach = (across - 1) * gap + 1
        total = max(0, (-(-size // step) - 1) * step + reach - size) if padding == SAME else 0
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    reaches = [(across - 1) * gap + 1 for across in kernel]
    seen = np.lib.stride_tricks.sliding_window_view(x, reaches, (1, 2))
    return seen[:, ::step, ::step, :, ::gap, ::gap].transpose(0, 1, 2, 4, 5, 3)


Build = Callable[[TfliteBuilder, int], int]
Case = tuple[Build, Callable[[np.ndarray], np.ndarray], tuple[int, ...]]


def convolution(kernel: tuple[int, int], step: int, gap: int, padding: int, activation: int = 0) -> Case:
    weights = values(6, *kernel, 4).astype(np.float16)
    bias = values(6)

    def expected(x: np.ndarray) -> np.ndarray:
        seen = windows(x, kernel, step, gap, padding, 0.0)
        y = np.einsum("nrchwi,ohwi->nrco", seen, weights.astype(np.float32)) + bias
        y = np.maximum(y, 0) if activation else y
        return np.minimum(y, 6) if activation == RELU6 else y

    def build(graph: TfliteBuilder, x: int) -> int:
        shape = expected(np.zeros((1, 9, 7, 4), np.float32)).shape
        options = {"StrideH": step, "StrideW": step, "DilationHFactor": gap, "DilationWFactor": gap}
        inputs = [x, graph.half(weights), graph.constant(bias)]
        return graph.add(
            "CONV_2D", inputs, shape, Padding=padding, FusedActivationFunction=activation, **options
        )

    return build, expected, (9, 7, 4)


def depthwise(multiplier: int, step: int) -> Case:
    weights = values(1, 3, 3, 4 * multiplier)

    def expected(x: np.ndarray) -> np.ndarray:
        seen = windows(x, (3, 3), step, 1, SAME, 0.0).repeat(multiplier, -1)
        return (seen * weights[0]).sum((3, 4))

    def build(graph: TfliteBuilder, x: int) -> int:
        shape = expected(np.zeros((1, 8, 7, 4), np.float32)).shape
        options = {"StrideH": step, "StrideW": step, "DilationHFactor": 1, "DilationWFactor": 1}
        inputs = [x, graph.constant(weights), graph.constant(np.zeros(4 * multiplier, np.float32))]
        return graph.add(
            "DEPTHWISE_CONV_2D", inputs, shape, Padding=SAME, DepthMultiplier=multiplier, **options
        )

    return build, expected, (8, 7, 4)


def pooling(padding: int) -> Case:
    def expected(x: np.ndarray) -> np.ndarray:
        return windows(x, (2, 2), 2, 1, padding, -np.inf).max((3, 4))

    def build(graph: TfliteBuilder, x: int) -> int:
        shape = expected(np.zeros((1, 9, 8, 3), np.float32)).shape
        options = {"StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2, "Padding": padding}
        return graph.add("MAX_POOL_2D", [x], shape, **options)

    return build, expected, (9, 8, 3)


def one(
    kind: str, expected: Callable[[np.ndarray], np.ndarray], *constants: np.ndarray,
    shape: tuple[int, ...] = (5, 4), first: bool = False, **options: int,
) -> Case:  # fmt: skip
    """An operator on a value and constants, which come before it where `first`."""

    def build(graph: TfliteBuilder, x: int) -> int:
        others = [graph.constant(array) for array in constants]
        given = [*others, x] if first else [x, *others]
        made = expected(np.ones((1, *shape), np.float32))
        return graph.add(kind, given, made.shape, **options)

    return build, expected, shape


SLOPE, SLOPES = values(1, 1, 6), values(5, 1)
ROW = values(4)
TOKEN = values(1, 1, 4)
WEIGHTS = values(6, 1, 1, 4).astype(np.float16)


def network(graph: TfliteBuilder, x: int) -> int:
    """[1, 8, 8, 4] to [1, 96] through operators that want different orders of axes."""
    inputs = [x, graph.half(WEIGHTS), graph.constant(np.zeros(6, np.float32))]
    options = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    y = graph.add("CONV_2D", inputs, (1, 8, 8, 6), **options)
    y = graph.add("PRELU", [y, graph.half(SLOPE)], (1, 8, 8, 6))
    wider = graph.add("PAD", [x, graph.constant(ints(0, 0, 0, 0, 0, 0, 0, 2).reshape(4, 2))], (1, 8, 8, 6))
    y = graph.add("ADD", [wider, y], (1, 8, 8, 6))
    y = graph.add("TRANSPOSE", [y, graph.constant(ints(0, 3, 1, 2))], (1, 6, 8, 8))
    y = graph.add("CONCATENATION", [y, y], (1, 6, 8, 16), Axis=3)
    y = graph.add("MEAN", [y, graph.constant(ints(2))], (1, 6, 16), KeepDims=False)
    return graph.add("RESHAPE", [y], (1, 96))


def network_by_numpy(x: np.ndarray) -> np.ndarray:
    y = x @ WEIGHTS[:, 0, 0].T.astype(np.float32)
    y = np.where(y < 0, y * SLOPE.astype(np.float16).astype(np.float32), y)
    y = (np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 2))) + y).transpose(0, 3, 1, 2)
    return np.concatenate([y, y], 3).mean(2).reshape(len(x), 96)


CASES: dict[str, Case] = {
    "ADD": one("ADD", lambda x: np.maximum(x + ROW, 0), ROW, FusedActivationFunction=RELU),
    "ADD twice": one("ADD", lambda x: x + np.float32(2), np.array(2, np.float32)),
    "SUB": one("SUB", lambda x: ROW - x, ROW, first=True),
    "MUL": one("MUL", lambda x: x * ROW, ROW),
    "DIV": one("DIV", lambda x: x / (ROW + 3), ROW + np.float32(3)),
    "SQUARED_DIFFERENCE": one("SQUARED_DIFFERENCE", lambda x: (x - ROW) ** 2, ROW),
    "NEG": one("NEG", lambda x: -x),
    "RELU": one("RELU", lambda x: np.maximum(x, 0)),
    "LOGISTIC": one("LOGISTIC", lambda x: 1 / (1 + np.exp(-x))),
    "SQRT": one("SQRT", lambda x: np.sqrt(x)),
    "RSQRT": one("RSQRT", lambda x: 1 / np.sqrt(x)),
    "PRELU by rows": one("PRELU", lambda x: np.where(x < 0, x * SLOPES, x), SLOPES),
    "PAD": one("PAD", lambda x: np.pad(x, ((0, 0), (1, 0), (0, 2))), ints(0, 0, 1, 0, 0, 2).reshape(3, 2)),
    "RESHAPE": one("RESHAPE", lambda x: x.reshape(len(x), 2, 10)),
    "TRANSPOSE": one("TRANSPOSE", lambda x: x.transpose(0, 2, 1), ints(0, 2, 1)),
    "MEAN": one("MEAN", lambda x: x.mean(1), np.array(-2, np.int32), KeepDims=False),
    "MEAN kept": one("MEAN", lambda x: x.mean((1, 2), keepdims=True), ints(1, 2), KeepDims=True),
    "SUM": one("SUM", lambda x: x.sum(2, keepdims=True), ints(-1), KeepDims=True),
    "CONCATENATION": one(
        "CONCATENATION", lambda x: np.concatenate([np.repeat(TOKEN, len(x), 0), x], 1), TOKEN, first=True,
        Axis=-2,
    ),
    "STRIDED_SLICE": one(
        "STRIDED_SLICE", lambda x: x[:, 1:5:2], ints(0, 1, 0), ints(1, 5, 0), ints(1, 2, 1), BeginMask=4,
        EndMask=4,
    ),
    "STRIDED_SLICE and no batch": one(
        "STRIDED_SLICE", lambda x: x, ints(0, 0, 0), ints(1, 0, 0), ints(1, 1, 1), BeginMask=6, EndMask=6,
        ShrinkAxisMask=1,
    ),
    "CONV_2D": convolution((3, 3), 2, 1, SAME),
    "CONV_2D even": convolution((2, 2), 2, 1, SAME, RELU),
    "CONV_2D spread": convolution((3, 2), 1, 2, VALID, RELU6),
    "DEPTHWISE_CONV_2D": depthwise(1, 2),
    "DEPTHWISE_CONV_2D twice": depthwise(2, 1),
    "MAX_POOL_2D": pooling(SAME),
    "MAX_POOL_2D whole": pooling(VALID),
    "PRELU among others": (network, network_by_numpy, (8, 8, 4)),
}  # fmt: skip


def converted(build: Build, shape: tuple[int, ...], rank: int) -> bytes:
    """The ONNX file of what `build` makes of a value [1, *shape]; `rank` of its output, batch included."""
    builder = TfliteBuilder()
    x = builder.tensor(1, *shape)
    graph = read_tflite(builder.build([x], [build(builder, x)]), "small.tflite")
    onnx_graph = OnnxGraph("small")
    fed = onnx_graph.input("x", "float32", ("N", *shape))
    (result,) = convert(graph, onnx_graph, [LaidOut(fed, natural(1 + len(shape)))], "small.tflite")
    onnx_graph.output(result, "y", ("N", *(f"d{k}" for k in range(1, rank))))
    return onnx_graph.model()


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    build, expected, shape = CASES[name]
    batch = values(ITEMS, *shape)
    if "SQRT" in name:
        batch = np.abs(batch) + np.float32(0.1)
    wanted = expected(batch)
    model = converted(build, shape, wanted.ndim)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": batch})
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=1e-5)


def test_every_operator_is_tested() -> None:
    used = {name.split()[0] for name in CASES} | {"DEQUANTIZE"}  # of which the convolutions' weights come
    assert used == KINDS.keys()


def refused(build: Build, *words: str, shape: tuple[int, ...] = (5, 4)) -> None:
    with pytest.raises(EngineError) as error:
        converted(build, shape, 3)
    for word in ("small.tflite", *words):
        assert word in str(error.value)


def test_an_unknown_operator_is_named_with_its_place() -> None:
    def build(graph: TfliteBuilder, x: int) -> int:
        return graph.add("CUMSUM", [graph.add("NEG", [x], (1, 5, 4))], (1, 5, 4))

    refused(build, "operator 1", "CUMSUM", "CONV_2D")


def test_what_touches_the_batch_axis_is_refused() -> None:
    refused(lambda g, x: g.add("RESHAPE", [x], (5, 4)), "operator 0 (RESHAPE)", "batch axis")
    order = ints(1, 0, 2)
    refused(lambda g, x: g.add("TRANSPOSE", [x, g.constant(order)], (5, 1, 4)), "TRANSPOSE", "batch axis")
    refused(
        lambda g, x: g.add("MEAN", [x, g.constant(ints(0))], (1, 5, 4), KeepDims=True), "MEAN", "batch axis"
    )
    refused(lambda g, x: g.add("CONCATENATION", [x, x], (2, 5, 4), Axis=0), "CONCATENATION", "batch axis")
    pads = ints(1, 0, 0, 0, 0, 0).reshape(3, 2)
    refused(lambda g, x: g.add("PAD", [x, g.constant(pads)], (2, 5, 4)), "PAD", "batch axis")

    def used_without_batch(graph: TfliteBuilder, x: int) -> int:
        bounds = [graph.constant(ints(*row)) for row in ((0, 0, 0), (1, 5, 4), (1, 1, 1))]
        return graph.add("NEG", [graph.add("STRIDED_SLICE", [x, *bounds], (5, 4), ShrinkAxisMask=1)], (5, 4))

    refused(used_without_batch, "operator 1 (NEG)", "no batch axis")


def test_other_activations_and_types_are_refused() -> None:
    tanh = tflite.ActivationFunctionType.TANH
    refused(
        lambda g, x: g.add("ADD", [x, x], (1, 5, 4), FusedActivationFunction=tanh),
        "operator 0 (ADD)",
        "fused",
    )
    refused(
        lambda g, x: g.add("ADD", [x, g.constant(np.ones(4, np.uint8))], (1, 5, 4)), "tensor 1", "float16"
    )


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(EngineError, match=r"notes.txt is not a TensorFlow Lite network"):
        read_tflite(b"just some text", "notes.txt")
    builder = TfliteBuilder()
    x = builder.tensor(1, 4)
    data = builder.build([x], [builder.add("NEG", [x], (1, 4))])
    with pytest.raises(EngineError, match=r"cut.tflite is damaged"):
        read_tflite(data[: len(data) // 2], "cut.tflite")
