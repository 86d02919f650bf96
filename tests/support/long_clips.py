"""A disc that wanders through a clip of several segments, and encodings of known keyframes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.support.discs import scene

WIDTH, HEIGHT = 160, 120
COUNT = 240


def walk(count: int, shift: float = 0.0) -> np.ndarray:
    """float [count, 3]: centre x, y and radius of a disc that wanders about and comes nearer."""
    t = np.arange(count) / 30 + shift
    return np.column_stack([80 + 35 * np.sin(2 * t), 60 + 15 * np.cos(3 * t), 16 + 5 * np.sin(t)])


def pictures(count: int = COUNT, hidden: Sequence[range] = (), turn: int = 0) -> list[np.ndarray]:
    """A disc that is absent in the frames of `hidden`, its pictures turned counterclockwise by `turn`."""
    shown = [not any(k in gap for gap in hidden) for k in range(count)]
    places = walk(count)
    return [
        np.ascontiguousarray(np.rot90(scene(WIDTH, HEIGHT, *([places[k]] if shown[k] else [])), turn // 90))
        for k in range(count)
    ]


def x264(parameters: str) -> dict[str, object]:
    return {"options": {"preset": "veryfast", "crf": "20", "x264-params": parameters}}


CLOSED = x264("keyint=20:min-keyint=20:scenecut=0:bframes=3")
