"""Polygons to pixels: convex polygons with three or four corners, one column of pixels at a time.

In: corners in pixels, how far away they are, and a number at each that is spread over the polygon. Out: the
number at every pixel. Polygons are drawn from the farthest to the nearest (the painter's algorithm), all at
once: an assignment of numpy to places that repeat leaves the last value. Nothing here knows of heads or
colours.
"""

from __future__ import annotations

import dataclasses

import numpy as np

MIN_AREA = 1e-3  # square pixels, of the parallelogram of the diagonals; a smaller polygon is not drawn
FRACTION_BITS = 16  # of the fixed-point numbers along a column of pixels
# Rows of 16 and of 32 bytes, which numpy repeats at once.
_RUN = np.dtype([("place", np.int64), ("number", np.int32), ("step", np.int32)])
_EDGE = np.dtype([("y", np.float64), ("slope", np.float64)])
_PLANE = np.dtype(
    [(name, np.float32) for name in ("column", "origin", "right", "down", "least", "most", "top", "bottom")]
)


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
    seen = _seen(polygons, x, y, depth, values, size)
    column, first, length, value, step = _runs(seen)
    pixels = int(length.sum())
    if pixels:
        # Of each run: place and number where pixel 0 of all pixels would be, change of the number per pixel.
        # Fixed point modulo 2^32: what overflows cancels, as the numbers themselves are below 2^15.
        before = np.cumsum(length) - length
        runs = np.empty(len(column), _RUN)
        runs["place"] = column + width * (first - before)
        runs["step"] = step * np.float32(1 << FRACTION_BITS)
        runs["number"] = (value * np.float32(1 << FRACTION_BITS)).astype(np.int32) - runs["step"] * before
        of_pixel = _repeated(runs, length)
        pixel = np.arange(pixels, dtype=np.int32)
        number = of_pixel["step"] * pixel
        number += of_pixel["number"]
        number >>= FRACTION_BITS
        picture[of_pixel["place"] + np.arange(0, width * pixels, width)] = number
    return picture.reshape(height, width)


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """Polygons that face the viewer, the farthest first. [S] runs over them.

    Corners go round from the leftmost one, so that the edges to the right, which bound a polygon from below,
    come in the order of their columns, and those to the left, which bound it from above, in the opposite one.
    """

    lower: np.ndarray  # _EDGE [S * 4], y at the first column of each edge, and its change per column
    lower_columns: np.ndarray  # intp [S * 4], columns of pixels that the edge crosses to the right
    upper: np.ndarray  # the same of edges to the left, in the order of their columns
    upper_columns: np.ndarray
    # _PLANE [S]: the first column; the number at 0 0, its change per pixel to the right, and down, its least
    # and greatest value; the rows where the polygon begins and ends.
    planes: np.ndarray


def _seen(
    polygons: Polygons,
    x: np.ndarray,
    y: np.ndarray,
    depth: np.ndarray,
    values: np.ndarray,
    size: tuple[int, int],
) -> _Seen:
    width, height = size
    at = polygons.corners
    xs, ys = x.take(at), y.take(at)
    area = _area(xs, ys)
    facing = np.where(polygons.both_sides, np.abs(area), -area) > MIN_AREA
    inside = (xs.max(axis=0) > 0.5) & (xs.min(axis=0) <= width - 0.5)
    kept = np.flatnonzero(facing & inside)
    at = at[:, kept]
    distance = depth.take(at).sum(axis=0) - 4 * polygons.nearer[kept]
    order = np.argsort(-distance, kind="stable")
    kept, at = kept[order], at[:, order]
    behind = np.flatnonzero(area[kept] > 0)
    at[:, behind] = at[::-1, behind]
    leftmost = x.take(at).argmin(axis=0)
    at = np.take_along_axis(at, (leftmost + np.arange(4)[:, None]) & 3, axis=0)

    xs, ys, numbers = x.take(at), y.take(at), values.take(at)
    columns = np.clip(np.ceil(xs - 0.5), 0, width)
    crossed = _next(columns) - columns
    bounds = crossed != 0
    slope = np.where(bounds, (_next(ys) - ys) / np.where(bounds, _next(xs) - xs, 1), 0)
    edges = np.empty((len(kept), 4, 2))
    edges[..., 0] = (ys + slope * (np.minimum(columns, _next(columns)) + 0.5 - xs)).T
    edges[..., 1] = slope.T
    crossed = crossed.T.astype(np.intp)

    planes = np.empty((8, len(kept)), np.float32)
    planes[0] = columns[0]
    area = _area(xs, ys)
    first, second = numbers[2] - numbers[0], numbers[3] - numbers[1]
    planes[2] = (first * (ys[3] - ys[1]) - second * (ys[2] - ys[0])) / area
    planes[3] = (second * (xs[2] - xs[0]) - first * (xs[3] - xs[1])) / area
    middle = (numbers.sum(axis=0) - planes[2] * xs.sum(axis=0) - planes[3] * ys.sum(axis=0)) / 4
    base = polygons.base[kept]
    planes[1] = middle + base
    planes[4] = numbers.min(axis=0) + base
    planes[5] = numbers.max(axis=0) + base
    planes[6] = np.clip(np.ceil(ys.min(axis=0) - 0.5), 0, height)
    planes[7] = np.clip(np.ceil(ys.max(axis=0) - 0.5), 0, height)
    return _Seen(
        edges.view(_EDGE).reshape(-1),
        np.maximum(crossed, 0).reshape(-1),
        np.ascontiguousarray(edges[:, ::-1]).view(_EDGE).reshape(-1),
        np.maximum(-crossed, 0)[:, ::-1].reshape(-1),
        np.ascontiguousarray(planes.T).view(_PLANE)[:, 0],
    )


def _area(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Twice the area of quads, below 0 where they face the viewer, by the two diagonals."""
    area: np.ndarray = (xs[2] - xs[0]) * (ys[3] - ys[1]) - (ys[2] - ys[0]) * (xs[3] - xs[1])
    return area


def _next(corners: np.ndarray) -> np.ndarray:
    """Of each of 4 corners [4, S] the one that follows."""
    return corners[[1, 2, 3, 0]]


def _repeated(items: np.ndarray, times: np.ndarray) -> np.ndarray:
    """`items` [N], each as often as `times` says; those of 16 or 32 bytes are copied at once."""
    return np.repeat(items.view(f"V{items.itemsize}"), times).view(items.dtype)


def _runs(seen: _Seen) -> tuple[np.ndarray, ...]:
    """Runs of pixels in a column: column, first row, pixels, the number at the first one, its change per
    pixel.

    Polygons' runs stand in the order of the polygons.
    """
    lower, upper = (
        _along(edges, columns)
        for edges, columns in ((seen.lower, seen.lower_columns), (seen.upper, seen.upper_columns))
    )
    columns = seen.lower_columns.reshape(-1, 4).sum(axis=1)
    of = _repeated(seen.planes, columns)
    column = np.arange(len(of)) - np.repeat(np.cumsum(columns) - columns, columns)
    column += of["column"].astype(np.intp)
    # Edges of a polygon that is not quite convex may go beyond it.
    half, top, bottom = np.float32(0.5), of["top"], of["bottom"]
    first = np.minimum(np.maximum(np.ceil(upper - half), top), bottom)
    last = np.minimum(np.maximum(np.ceil(lower - half), top), bottom)
    length = np.maximum(last - first, 0)
    # A polygon that is not flat, or is seen from its edge, would overshoot its corners' numbers.
    down, least, most = of["down"], of["least"], of["most"]
    value = of["origin"] + of["right"] * (column.astype(np.float32) + half) + down * (first + half)
    steps = np.maximum(length - 1, 1)
    end = np.minimum(np.maximum(value + down * steps, least), most)
    value = np.minimum(np.maximum(value, least), most)
    return column, first.astype(np.intp), length.astype(np.intp), value, (end - value) / steps


def _along(edges: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """float32: y of _EDGE [N] at each of their columns, one edge after the other."""
    edges = edges.copy()
    edges["y"] -= edges["slope"] * (np.cumsum(columns) - columns)
    line = _repeated(edges, columns)
    y: np.ndarray = (line["y"] + line["slope"] * np.arange(len(line))).astype(np.float32)
    return y
