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
        top, bottom, left, right = y0 // down, y1 // down, x0 // across, x1 // across
        rows, columns = -(-frame.height // down), -(-frame.width // across)
        samples = _lines(source, rows, columns * sample_bytes)
        lines = _lines(target, bottom - top, (right - left) * sample_bytes)
        _copy(samples, lines, sample_bytes, top, left)
    piece.colorspace = frame.colorspace
    piece.color_range = frame.color_range
    return piece


def _copy(samples: np.ndarray, lines: np.ndarray, sample_bytes: int, top: int, left: int) -> None:
    """Fill `lines` with what `samples` hold from row `top` and column `left` on, edges repeated outside.

    Both are uint8 [rows, columns * sample_bytes]. Whole lines are copied: to gather samples one by one takes
    many times as long.
    """
    row, first, last = _overlap(top, len(lines), len(samples))
    column, begin, end = _overlap(left, lines.shape[1] // sample_bytes, samples.shape[1] // sample_bytes)
    low, high = column * sample_bytes, (column + end - begin) * sample_bytes
    inside = lines[row : row + last - first]
    inside[:, low:high] = samples[first:last, begin * sample_bytes : end * sample_bytes]
    for edge, outside in (
        (inside[:, low : low + sample_bytes], inside[:, :low]),
        (inside[:, high - sample_bytes : high], inside[:, high:]),
    ):
        if outside.size:
            outside.reshape(len(inside), -1, sample_bytes)[:] = edge[:, None]
    lines[:row] = inside[0]
    lines[row + len(inside) :] = inside[-1]


def _overlap(start: int, length: int, size: int) -> tuple[int, int, int]:
    """Which of `size` samples lie in `length` of them from `start` on: where there the first one lies, and
    their range; the nearest sample where none does."""
    first, last = min(max(start, 0), size - 1), min(max(start + length, 1), size)
    return min(max(first - start, 0), length - 1), first, last


def _lines(plane: Any, rows: int, line_bytes: int) -> np.ndarray:
    """uint8 [rows, line_bytes] view of a plane's memory, without the padding of its lines."""
    memory: np.ndarray = np.frombuffer(plane, np.uint8)
    return memory[: rows * plane.line_size].reshape(rows, plane.line_size)[:, :line_bytes]
