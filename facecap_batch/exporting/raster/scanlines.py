"""Polygons to pixels: convex polygons with three or four corners, one row of pixels at a time.

In: corners in pixels, how far away they are, and a number at each that is spread over the polygon. Out: the
number at every pixel. Polygons are drawn from the farthest to the nearest (the painter's algorithm), all at
once: an assignment of numpy to places that repeat leaves the last value. Nothing here knows of heads or
colours.
"""

from __future__ import annotations

import dataclasses

import numpy as np

MIN_AREA = 1e-3  # square pixels, of the parallelogram of the diagonals; a smaller polygon is not drawn
FRACTION_BITS = 16  # of the fixed-point numbers along a row of pixels
FAR = np.float32(1e6)  # pixels; an edge there bounds nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Polygons:
    """What does not change from picture to picture. [F] runs over the polygons."""

    corners: np.ndarray  # int64 [4, F], vertices, counterclockwise from outside; a triangle repeats its last
    base: np.ndarray  # float32 [F], added to the number at every pixel of the polygon
    nearer: np.ndarray  # float32 [F], how much nearer than it is a polygon counts, units of depth
    both_sides: np.ndarray  # bool [F], drawn from behind, too

    @staticmethod
    def of(faces: np.ndarray, base: np.ndarray, nearer: np.ndarray, both_sides: np.ndarray) -> Polygons:
        """`faces`: int [F, 4], a triangle holds -1 last; the others are as the fields."""
        corners = np.where(faces >= 0, faces, faces[:, 2:3]).T
        return Polygons(
            np.ascontiguousarray(corners, np.int64),
            base.astype(np.float32),
            nearer.astype(np.float32),
            both_sides,
        )


def filled(
    polygons: Polygons,
    x: np.ndarray,
    y: np.ndarray,
    depth: np.ndarray,
    values: np.ndarray,
    size: tuple[int, int],
    empty: int,
) -> np.ndarray:
    """Draw polygons.

    Args:
        polygons: over V vertices.
        x, y: float32 [V], pixels, x right, y down, 0 0 the upper left corner of the first pixel.
        depth: float32 [V], how far away; the farther is hidden by the nearer.
        values: float32 [V], spread evenly over each polygon; with its base 0 to below 2^15.
        size: width and height, pixels.
        empty: the number where no polygon is.

    Returns:
        int32 [height, width]: base plus value of the nearest polygon, rounded down.
    """
    width, height = size
    picture = np.full(width * height, empty, np.int32)
    seen = _seen(polygons, x, y, depth, values, height)
    row, first, length, value, step = _spans(seen, width)
    pixels = int(length.sum())
    if pixels:
        # Of each span: place and number where pixel 0 of all pixels would be, change of the number per pixel.
        # Fixed point modulo 2^32: what overflows cancels, as the numbers themselves are below 2^15.
        before = (np.cumsum(length) - length).astype(np.int32)
        spans = np.empty((len(row), 4), np.int32)
        spans[:, 0] = row * width + first - before
        spans[:, 2] = step * np.float32(1 << FRACTION_BITS)
        spans[:, 1] = value * np.float32(1 << FRACTION_BITS)
        spans[:, 1] -= spans[:, 2] * before
        of_pixel = spans.take(np.repeat(np.arange(len(row)), length), axis=0)
        number = np.arange(pixels, dtype=np.int32)
        numbers = (of_pixel[:, 1] + of_pixel[:, 2] * number) >> FRACTION_BITS
        picture[(of_pixel[:, 0] + number).astype(np.intp)] = numbers
    return picture.reshape(height, width)


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """Polygons that face the viewer, the farthest first. [S] runs over them."""

    top: np.ndarray  # int32 [S], first row of pixels
    rows: np.ndarray  # int32 [S], how many, at least 1
    # float32 [S, 17]: of each of 4 edges x at y = 0; its slope; 0 of a left edge, -FAR of a right one; of the
    # number its change per pixel to the right, and down, and what it is at 0 0; its least and greatest value.
    lines: np.ndarray


def _seen(
    polygons: Polygons, x: np.ndarray, y: np.ndarray, depth: np.ndarray, values: np.ndarray, height: int
) -> _Seen:
    at = polygons.corners
    xs, ys = x.take(at), y.take(at)
    # Twice the area, signed, and below the gradient of the number: by the two diagonals.
    area = (xs[2] - xs[0]) * (ys[3] - ys[1]) - (ys[2] - ys[0]) * (xs[3] - xs[1])
    facing = np.where(polygons.both_sides, np.abs(area), -area) > MIN_AREA
    top = np.clip(np.ceil(ys.min(axis=0) - 0.5), 0, height).astype(np.int64)
    rows = np.clip(np.ceil(ys.max(axis=0) - 0.5), 0, height).astype(np.int64) - top
    kept = np.flatnonzero(facing & (rows > 0))
    distance = depth.take(at[:, kept]).sum(axis=0) / 4 - polygons.nearer[kept]
    kept = kept[np.argsort(-distance, kind="stable")]

    xs, ys, area, numbers = xs[:, kept], ys[:, kept], area[kept], values.take(at[:, kept])
    lines = np.empty((17, len(kept)), np.float32)
    dx, dy = np.roll(xs, -1, axis=0) - xs, np.roll(ys, -1, axis=0) - ys
    level = np.abs(dy) < 1e-6  # pixels; it bounds no row
    slope = np.where(level, 0, dx / np.where(level, 1, dy))
    lines[0:4] = np.where(level, -FAR / 2, xs - slope * ys)
    lines[4:8] = slope
    lines[8:12] = np.where(level | (dy * area < 0), 0, -FAR)  # counterclockwise: edges that go down are left
    first, second = numbers[2] - numbers[0], numbers[3] - numbers[1]
    lines[12] = (first * (ys[3] - ys[1]) - second * (ys[2] - ys[0])) / area
    lines[13] = (second * (xs[2] - xs[0]) - first * (xs[3] - xs[1])) / area
    middle = (numbers.sum(axis=0) - lines[12] * xs.sum(axis=0) - lines[13] * ys.sum(axis=0)) / 4
    lines[14] = middle + polygons.base[kept]
    lines[15] = numbers.min(axis=0) + polygons.base[kept]
    lines[16] = numbers.max(axis=0) + polygons.base[kept]
    return _Seen(top[kept], rows[kept], np.ascontiguousarray(lines.T))


def _spans(seen: _Seen, width: int) -> tuple[np.ndarray, ...]:
    """Runs of pixels in a row: row, first column, pixels, the number at the first one, its change per pixel.

    Polygons' spans stand in the order of the polygons.
    """
    total = int(seen.rows.sum())
    of = np.repeat(np.arange(len(seen.rows)), seen.rows)
    row = np.arange(total) - (np.cumsum(seen.rows) - seen.rows - seen.top).take(of)
    lines = seen.lines.take(of, axis=0)
    middle = (row + 0.5).astype(np.float32)
    left = np.full(total, -FAR, np.float32)
    right = np.full(total, FAR, np.float32)
    for edge in range(4):
        x = lines[:, edge] + lines[:, 4 + edge] * middle
        offset = lines[:, 8 + edge]
        np.maximum(left, x + offset, out=left)
        np.minimum(right, x + (offset + FAR), out=right)
    first = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    length = np.maximum(np.clip(np.ceil(right - 0.5), 0, width).astype(np.int64) - first, 0)
    # A polygon that is not flat, or is seen from its edge, would overshoot its corners' numbers.
    value = lines[:, 14] + lines[:, 13] * middle + lines[:, 12] * (first + 0.5).astype(np.float32)
    steps = np.maximum(length - 1, 1).astype(np.float32)
    last = np.clip(value + lines[:, 12] * steps, lines[:, 15], lines[:, 16])
    value = np.clip(value, lines[:, 15], lines[:, 16])
    return row, first, length, value, (last - value) / steps
