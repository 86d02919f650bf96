"""Cutting the planes of frames: samples are those of the frame, beyond it those of its edge."""

from __future__ import annotations

import itertools

import av
import numpy as np
import pytest

from facecap_batch.video.planes import cut, cutting_grid

WIDTH, HEIGHT = 22, 14
# Spans along an axis of about 20 pixels: inside, across each end, across both, beyond each end.
SPANS = ((4, 10), (-6, 4), (8, 30), (-8, 32), (-12, -4), (24, 40))
STEPS = {  # (bytes per sample, horizontal and vertical step) of every plane
    "yuv420p": ((1, 1, 1), (1, 2, 2), (1, 2, 2)),
    "yuv422p10le": ((2, 1, 1), (2, 2, 1), (2, 2, 1)),
    "nv12": ((1, 1, 1), (2, 2, 2)),
    "rgb24": ((3, 1, 1),),
    "gray": ((1, 1, 1),),
}


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    """Samples of every plane, uint8 [rows, columns, bytes], a view of the frame's memory."""
    planes = []
    for plane, (sample_bytes, across, down) in zip(frame.planes, STEPS[frame.format.name], strict=True):
        rows, columns = -(-frame.height // down), -(-frame.width // across)
        memory = np.frombuffer(plane, np.uint8)[: rows * plane.line_size].reshape(rows, plane.line_size)
        planes.append(memory[:, : columns * sample_bytes].reshape(rows, columns, sample_bytes))
    return planes


@pytest.mark.parametrize("pixel_format", STEPS)
def test_a_piece_holds_the_samples_of_its_rectangle(pixel_format: str) -> None:
    frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
    numbers = np.random.default_rng(1)
    for plane in planes_of(frame):
        plane[:] = numbers.integers(0, 256, plane.shape)
    assert WIDTH % cutting_grid(frame) == HEIGHT % cutting_grid(frame) == 0
    for (x0, x1), (y0, y1) in itertools.product(SPANS, SPANS):
        piece = cut(frame, x0, y0, x1, y1)
        assert (piece.width, piece.height, piece.format.name) == (x1 - x0, y1 - y0, pixel_format)
        for whole, part, (_, across, down) in zip(
            planes_of(frame), planes_of(piece), STEPS[pixel_format], strict=True
        ):
            rows = np.clip(np.arange(y0 // down, y1 // down), 0, len(whole) - 1)
            columns = np.clip(np.arange(x0 // across, x1 // across), 0, whole.shape[1] - 1)
            np.testing.assert_array_equal(part, whole[rows][:, columns])
