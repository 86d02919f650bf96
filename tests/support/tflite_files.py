"""Small TensorFlow Lite networks written operator by operator, as the real converter's files are laid out.

`TfliteBuilder` gives the bytes of a file of one graph; `task_file` a MediaPipe bundle whose networks have the
real shapes but say what a test wants them to say.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {"float32": tflite.TensorType.FLOAT32, "float16": tflite.TensorType.FLOAT16}
TYPES |= {"int32": tflite.TensorType.INT32, "uint8": tflite.TensorType.UINT8}
# Table of options that a kind has in the schema.
TABLES = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
}


class TfliteBuilder:
    """One graph under construction; tensors are numbers."""

    def __init__(self) -> None:
        self._tensors: list[tuple[tuple[int, ...], str, bytes]] = []
        self._operators: list[tuple[str, list[int], list[int], dict[str, Any]]] = []

    def tensor(self, *shape: int) -> int:
        """A float32 value that is fed or computed."""
        self._tensors.append((shape, "float32", b""))
        return len(self._tensors) - 1

    def constant(self, array: np.ndarray) -> int:
        self._tensors.append((array.shape, array.dtype.name, array.tobytes()))
        return len(self._tensors) - 1

    def half(self, array: np.ndarray) -> int:
        """A float16 constant, widened by a DEQUANTIZE operator as in the real files."""
        return self.add("DEQUANTIZE", [self.constant(array.astype(np.float16))], array.shape)

    def add(self, kind: str, inputs: list[int], shape: tuple[int, ...], **options: Any) -> int:
        """Append an operator with one output of this shape; options as the schema spells them."""
        output = self.tensor(*shape)
        self._operators.append((kind, inputs, [output], options))
        return output

    def build(self, inputs: list[int], outputs: list[int]) -> bytes:
        builder = flatbuffers.Builder(1024)
        empty = self._table(builder, "Buffer")
        buffers, tensors = [empty], []
        for shape, dtype, data in self._tensors:
            number = 0
            if data:
                number = len(buffers)
                buffers.append(self._table(builder, "Buffer", Data=builder.CreateByteVector(data)))
            name, sizes = builder.CreateString(f"tensor{len(tensors)}"), self._ints(builder, shape)
            tensors.append(
                self._table(builder, "Tensor", Shape=sizes, Type=TYPES[dtype], Buffer=number, Name=name)
            )
        kinds = sorted({kind for kind, *_ in self._operators})
        codes = [self._code(builder, kind) for kind in kinds]
        operators = []
        for kind, fed, made, options in self._operators:
            fields = {"OpcodeIndex": kinds.index(kind)}
            fields["Inputs"], fields["Outputs"] = self._ints(builder, fed), self._ints(builder, made)
            if kind in TABLES:
                fields["BuiltinOptions"] = self._table(builder, TABLES[kind], **options)
                fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, TABLES[kind])
            operators.append(self._table(builder, "Operator", **fields))
        graph = self._table(
            builder,
            "SubGraph",
            Tensors=self._offsets(builder, tensors),
            Inputs=self._ints(builder, inputs),
            Outputs=self._ints(builder, outputs),
            Operators=self._offsets(builder, operators),
        )
        model = self._table(
            builder,
            "Model",
            Version=3,
            OperatorCodes=self._offsets(builder, codes),
            Subgraphs=self._offsets(builder, [graph]),
            Buffers=self._offsets(builder, buffers),
        )
        builder.Finish(model, b"TFL3")
        return bytes(builder.Output())

    @staticmethod
    def _code(builder: Any, kind: str) -> int:
        number = getattr(tflite.BuiltinOperator, kind)
        fields = {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number}
        return TfliteBuilder._table(builder, "OperatorCode", **fields)

    @staticmethod
    def _table(builder: Any, name: str, **fields: Any) -> int:
        getattr(tflite, f"{name}Start")(builder)
        for field, value in fields.items():
            getattr(tflite, f"{name}Add{field}")(builder, value)
        return getattr(tflite, f"{name}End")(builder)

    @staticmethod
    def _ints(builder: Any, values: Any) -> int:
        return builder.CreateNumpyVector(np.array(values, np.int32))

    @staticmethod
    def _offsets(builder: Any, offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()


WINDOW = {"DilationHFactor": 1, "DilationWFactor": 1}


def _said(graph: TfliteBuilder, value: int, size: int, kernel: int, bias: np.ndarray) -> int:
    """A convolution [1, size / kernel, size / kernel, len(bias)] that says `bias` whatever it sees."""
    cells = size // kernel
    weights = graph.half(np.zeros((len(bias), kernel, kernel, 3)))
    inputs = [value, weights, graph.constant(bias.astype(np.float32))]
    strides = {"StrideH": kernel, "StrideW": kernel, "Padding": tflite.Padding.VALID}
    return graph.add("CONV_2D", inputs, (1, cells, cells, len(bias)), **strides, **WINDOW)


def detector_file(answer: np.ndarray, logit: float) -> bytes:
    """A face detector [1, 128, 128, 3] to [1, 896, 16] and [1, 896, 1]: each anchor says `answer` [16]."""
    graph = TfliteBuilder()
    image = graph.tensor(1, 128, 128, 3)
    places, scores = [], []
    for cells, each in ((16, 2), (8, 6)):
        count, kernel = cells * cells * each, 128 // cells
        said = _said(graph, image, 128, kernel, np.tile(answer, each))
        places.append(graph.add("RESHAPE", [said], (1, count, 16)))
        said = _said(graph, image, 128, kernel, np.full(each, logit))
        scores.append(graph.add("RESHAPE", [said], (1, count, 1)))
    outputs = [
        graph.add("CONCATENATION", parts, (1, 896, width), Axis=1)
        for parts, width in ((places, 16), (scores, 1))
    ]
    return graph.build([image], outputs)


def landmarks_file(points: np.ndarray, logit: float) -> bytes:
    """A landmark network [1, 256, 256, 3] that says `points` [478, 3] and `logit`."""
    graph = TfliteBuilder()
    image = graph.tensor(1, 256, 256, 3)
    options = {"StrideH": 64, "StrideW": 64, "FilterHeight": 64, "FilterWidth": 64, "Padding": 1}
    small = graph.add("MAX_POOL_2D", [image], (1, 4, 4, 3), **options)
    said, score = _said(graph, small, 4, 4, points.ravel()), _said(graph, small, 4, 4, np.full(1, logit))
    other = graph.add("RESHAPE", [graph.add("LOGISTIC", [score], (1, 1, 1, 1))], (1, 1))
    return graph.build([image], [said, score, other])


def blendshapes_file(logits: np.ndarray) -> bytes:
    """A blendshape network [1, 146, 2] to [52]: the logistic function of `logits` [52]."""
    graph = TfliteBuilder()
    points = graph.tensor(1, 146, 2)
    square = graph.add("RESHAPE", [points], (1, 1, 146, 2))
    weights = graph.half(np.zeros((52, 1, 146, 2)))
    inputs = [square, weights, graph.constant(logits.astype(np.float32))]
    said = graph.add("CONV_2D", inputs, (1, 1, 1, 52), StrideH=1, StrideW=1, Padding=1, **WINDOW)
    flat = graph.add("RESHAPE", [graph.add("LOGISTIC", [said], (1, 1, 1, 52))], (1, 52))
    bounds = [graph.constant(np.array(pair, np.int32)) for pair in ((0, 0), (1, 52), (1, 1))]
    masks = {"BeginMask": 2, "EndMask": 2, "ShrinkAxisMask": 1}
    return graph.build([points], [graph.add("STRIDED_SLICE", [flat, *bounds], (52,), **masks)])


def geometry_file(face: np.ndarray, weights: dict[int, float]) -> bytes:
    """The geometry's protocol buffer: `face` [468, 3] and some landmarks' weights."""

    def field(number: int, kind: int, payload: bytes) -> bytes:
        length = b""
        if kind == 2:
            rest = len(payload)
            while rest > 127:
                length, rest = length + bytes([rest & 127 | 128]), rest >> 7
            length += bytes([rest])
        return bytes([number << 3 | kind]) + length + payload

    vertices = np.concatenate([face, np.zeros((len(face), 2))], 1).astype("<f4").tobytes()
    mesh = field(1, 0, b"\0") + field(3, 2, vertices)
    message = field(3, 0, b"\1") + field(1, 2, mesh)
    for number, weight in weights.items():
        varint = bytes([number & 127 | 128, number >> 7]) if number > 127 else bytes([number])
        message += field(2, 2, field(1, 0, varint) + field(2, 5, struct.pack("<f", weight)))
    return message


def task_file(path: Path, **parts: bytes) -> Path:
    """A bundle of these parts, given by name without extension."""
    names = {"geometry": "geometry_pipeline_metadata_landmarks.binarypb"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(names.get(name, f"{name}.tflite"), data)
    return path
