"""The planes of a decoded frame: which pixel formats can be cut as arrays, and cutting them.

In: a PyAV frame of any pixel format and a rectangle. Out: a new PyAV frame of the rectangle alone, edges
repeated where the rectangle reaches beyond the frame. Nothing is converted.
"""

from __future__ import annotations

import functools
from typing import Any

import av
import numpy as np

_PROBE_SIDE = 64  # pixels; a multiple of every format's chroma step


@functools.cache
def _plane_layout(pixel_format: str) -> tuple[tuple[int, int, int], ...]:
    """(bytes per sample, horizontal step, vertical step in pixels) of every plane of a pixel format.

    Empty where planes cannot be cut as arrays of samples, so that a frame must be converted first.
    """
    video_format = av.VideoFormat(pixel_format, _PROBE_SIDE, _PROBE_SIDE)
    if video_format.has_palette or video_format.is_bit_stream or video_format.is_bayer:
        return ()
    layout = []
    for plane in sorted({component.plane for component in video_format.components}):
        components = [component for component in video_format.components if component.plane == plane]
        sample_bytes = sum(-(-component.bits // 8) for component in components)
        layout.append(
            (
                sample_bytes,
                _PROBE_SIDE // min(component.width for component in components),
                _PROBE_SIDE // min(component.height for component in components),
            )
        )
    # A packed format with shared chroma (yuyv422) does not add up: its bytes are not one sample per pixel.
    bits = sum(8 * sample_bytes / (across * down) for sample_bytes, across, down in layout)
    return tuple(layout) if abs(bits - video_format.padded_bits_per_pixel) < 0.5 else ()


def cutting_grid(frame: av.VideoFrame) -> int:
    """Pixels on whose multiples `frame` can be cut plane by plane; 0 where it must be converted first."""
    layout = _plane_layout(frame.format.name)
    if len(layout) != len(frame.planes):
        return 0
    return max(max(across, down) for _, across, down in layout)


def cut(frame: av.VideoFrame, x0: int, y0: int, x1: int, y1: int) -> av.VideoFrame:
    """A new frame of the same pixel format that holds [y0:y1, x0:x1] of `frame`; edges are repeated outside.

    Args:
        frame: A frame that has a `cutting_grid`.
        x0, y0, x1, y1: Pixels, multiples of the cutting grid; may lie outside the frame.
    """
    piece = av.VideoFrame(x1 - x0, y1 - y0, frame.format.name)
    for source, target, (sample_bytes, across, down) in zip(
        frame.planes, piece.planes, _plane_layout(frame.format.name), strict=True
    ):
        rows, columns = -(-frame.height // down), -(-frame.width // across)
        samples: np.ndarray = _bytes_of(source)[: rows * source.line_size].reshape(rows, source.line_size)
        samples = samples[:, : columns * sample_bytes].reshape(rows, columns, sample_bytes)
        top, bottom, left, right = y0 // down, y1 // down, x0 // across, x1 // across
        if top < 0 or bottom > rows:
            samples = samples[np.clip(np.arange(top, bottom), 0, rows - 1)]
        else:
            samples = samples[top:bottom]
        if left < 0 or right > columns:
            samples = samples[:, np.clip(np.arange(left, right), 0, columns - 1)]
        else:
            samples = samples[:, left:right]
        height, line_bytes = bottom - top, (right - left) * sample_bytes
        lines = _bytes_of(target)[: height * target.line_size].reshape(height, target.line_size)
        lines[:, :line_bytes] = samples.reshape(height, line_bytes)
    piece.colorspace = frame.colorspace
    piece.color_range = frame.color_range
    return piece


def _bytes_of(plane: Any) -> np.ndarray:
    """uint8 view of a plane's memory, padding included."""
    return np.frombuffer(plane, np.uint8)
