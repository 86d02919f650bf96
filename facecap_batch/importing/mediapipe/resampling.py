"""A square resampled at another position, size and angle, as nodes of an ONNX graph: nearest pixel, by batch.

In: uint8 images and an affine map. Out: float32 planes. Whole pixels are copied: bilinear sampling took an
eighth of the engine's time (GridSample in ONNX Runtime on the CPU takes longer still) and the networks'
outputs are as good without it; docs/engines.md has the figures.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.importing.mediapipe.onnx_builder import OnnxGraph

FLOAT, INT64 = 1, 7  # as Cast names them


def resampled(graph: OnnxGraph, image: str, size: int, affine: str, side: int) -> str:
    """float32 [N, 3, side, side], 0..255, of `image` uint8 [N, size, size, 3].

    affine: float32 [N, 2, 3], the map from a position (x, y, 1) in the result, pixels from its middle, to a
    position in the image, pixels from its corner. Beyond the image its edge is repeated.
    """
    middle = (side - 1) / 2
    y, x = np.mgrid[:side, :side].reshape(2, -1) - middle
    grid = graph.constant(np.stack([x, y, np.ones_like(x)]).astype(np.float32))
    positions = graph.node("MatMul", affine, grid)
    positions = graph.node("Clip", positions, graph.floats(0.0), graph.floats(size - 1.0))
    whole = graph.node("Cast", graph.node("Floor", positions), to=INT64)
    rows = graph.node("Gather", graph.reshape(image, -1, 3), _index(graph, image, whole, size))
    planes = graph.node("Transpose", graph.reshape(rows, -1, side * side, 3), perm=[0, 2, 1])
    return graph.reshape(graph.node("Cast", planes, to=FLOAT), 0, 3, side, side)


def _index(graph: OnnxGraph, image: str, whole: str, size: int) -> str:
    """int64 [N * P]: the index, in all pixels of all images, of `whole` int64 [N, 2, P], x and y."""
    across, down = (graph.slice(whole, 1, axis, axis + 1) for axis in (0, 1))
    inside = graph.node("Add", graph.node("Mul", down, graph.integers(size)), across)
    items = graph.node("Squeeze", graph.node("Shape", image, start=0, end=1), graph.integers(0))
    zero, one = (graph.constant(np.array(value, np.int64)) for value in (0, 1))
    first = graph.node("Mul", graph.node("Range", zero, items, one), graph.integers(size * size))
    index = graph.node("Add", graph.reshape(inside, 0, -1), graph.reshape(first, -1, 1))
    return graph.reshape(index, -1)
