"""Polygons to pixels: convex polygons with three or four corners, one column of pixels at a time.

In: corners in pixels, how far away they are, and a number at each that is spread over the polygon. Out: the
number at every pixel, of the polygon that is nearest there (a z-buffer). Depth and number of a pixel are one
integer, the depth before the number: the nearest is the least one, and both are added up at once along a
column. Nothing here knows of heads or colours.
"""

from __future__ import annotations

import dataclasses

import numpy as np

MIN_AREA = 1e-3  # square pixels, of the parallelogram of the diagonals; a smaller polygon is not drawn
# A pixel's integer, from its lowest bit: fractions of the number, the number, the depth.
FRACTION_BITS, NUMBER_BITS, DEPTH_BITS = 5, 12, 15
_DEPTH_UNIT = 1 << (FRACTION_BITS + NUMBER_BITS)
_DEEPEST = (1 << DEPTH_BITS) - 1  # where no polygon is
_HALF = np.float32(0.5)


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """Polygons of which nothing is seen beyond the rectangle that holds some vertices."""

    polygons: slice
    frame: np.ndarray  # intp [N], vertices

    def hides(self, x: np.ndarray, y: np.ndarray, corner_x: np.ndarray, corner_y: np.ndarray) -> np.ndarray:
        """bool [its polygons]: which lie beyond; corners float32 [4, F], `x`, `y` float32 [V], pixels."""
        hidden = np.zeros(self.polygons.stop - self.polygons.start, bool)
        for at, corners in ((x, corner_x), (y, corner_y)):
            frame, own = at.take(self.frame), corners[:, self.polygons]
            hidden |= own.max(axis=0) < frame.min()
            hidden |= own.min(axis=0) > frame.max()
        return hidden


@dataclasses.dataclass(frozen=True, eq=False)
class Polygons:
    """What does not change from picture to picture. [F] runs over the polygons."""

    corners: np.ndarray  # intp [4, F], vertices, counterclockwise from outside; a triangle repeats its last
    base: np.ndarray  # float32 [F], added to the number at every pixel of the polygon
    nearer: np.ndarray  # float32 [F], how much nearer than it is a polygon counts, units of depth
    windows: tuple[Window, ...] = ()

    @staticmethod
    def of(
        faces: np.ndarray,
        base: np.ndarray,
        nearer: np.ndarray,
        both_sides: np.ndarray,
        windows: tuple[Window, ...] = (),
    ) -> Polygons:
        """`faces`: int [F, 4], a triangle holds -1 last; `both_sides`: bool [F], seen from behind, too: these
        follow once more after all others. The others are as the fields."""
        corners = np.where(faces >= 0, faces, faces[:, 2:3])
        order = np.concatenate([np.arange(len(faces)), np.flatnonzero(both_sides)])
        corners = np.concatenate([corners, corners[both_sides, ::-1]]).T
        return Polygons(
            np.ascontiguousarray(corners, np.intp),
            base[order].astype(np.float32),
            nearer[order].astype(np.float32),
            windows,
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
        values: float32 [V], spread evenly over each polygon; with its base 0 to below 2^NUMBER_BITS.
        size: width and height, pixels.
        empty: the number where no polygon is.

    Returns:
        uint32 [height, width]: base plus value of the nearest polygon, rounded down.
    """
    width, height = size
    picture = np.full(width * height, _DEEPEST * _DEPTH_UNIT + (empty << FRACTION_BITS), np.uint32)
    column, first, length, start, step = _runs(_seen(polygons, x, y, depth, values, size))
    # Of each run: place and integer where pixel 0 of all pixels would be. What overflows cancels.
    before = np.cumsum(length) - length
    place = np.repeat(column + width * (first - before), length)
    place += np.arange(0, width * len(place), width)
    start -= step * before.astype(np.uint32)
    of_pixel = np.repeat(step, length)
    of_pixel *= np.arange(len(place), dtype=np.uint32)
    of_pixel += np.repeat(start, length)
    np.minimum.at(picture, place, of_pixel)
    picture >>= FRACTION_BITS
    picture &= (1 << NUMBER_BITS) - 1
    return picture.reshape(height, width)


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """Polygons that face the viewer. [S] runs over them.

    Corners go round from the leftmost one, so that the edges to the right, which bound a polygon from below,
    come in the order of their columns, and those to the left, which bound it from above, in the opposite one.
    """

    lower: np.ndarray  # float32 [S * 4, 2], y of each edge's line at column 0, and its change per column
    lower_columns: np.ndarray  # int32 [S * 4], columns of pixels that the edge crosses to the right
    upper: np.ndarray  # the same of edges to the left, in the order of their columns
    upper_columns: np.ndarray
    column: np.ndarray  # int32 [S], the first column
    columns: np.ndarray  # int32 [S], how many there are
    rows: np.ndarray  # float32 [S, 2], where the polygon begins and ends
    origin: np.ndarray  # uint32 [S], the integer of the pixel in the first column and row ...
    right: np.ndarray  # ... its change per pixel to the right, modulo 2^32 ...
    down: np.ndarray  # ... and down


def _seen(
    polygons: Polygons,
    x: np.ndarray,
    y: np.ndarray,
    depth: np.ndarray,
    values: np.ndarray,
    size: tuple[int, int],
) -> _Seen:
    width, height = size
    corner_x, corner_y = x.take(polygons.corners), y.take(polygons.corners)
    facing = _area(corner_x, corner_y) < -MIN_AREA
    for window in polygons.windows:
        facing[window.polygons] &= ~window.hides(x, y, corner_x, corner_y)
    kept = np.flatnonzero(facing)
    at = polygons.corners.take(kept, axis=1)
    from_leftmost = _leftmost(corner_x.take(kept, axis=1)) + np.arange(4)[:, None]
    from_leftmost &= 3
    from_leftmost *= len(kept)
    from_leftmost += np.arange(len(kept))
    at = at.take(from_leftmost)

    xs, ys = x.take(at), y.take(at)
    columns = np.clip(np.ceil(xs - _HALF), 0, width).astype(np.int32)
    crossed = _next(columns) - columns
    next_x, next_y = _next(xs), _next(ys)
    slope = (next_y - ys) / np.where(crossed, next_x - xs, 1)
    # From the left end, whichever way it goes: two polygons that share an edge leave no pixel between them.
    rightward = crossed > 0
    line = np.where(rightward, ys, next_y) - slope * (np.where(rightward, xs, next_x) - _HALF)
    edges = np.stack([line.T, slope.T], axis=2)
    crossed = np.ascontiguousarray(crossed.T)
    lower_columns = np.maximum(crossed, 0)
    rows = np.clip(np.ceil(np.stack([ys.min(axis=0), ys.max(axis=0)]) - _HALF), 0, height)

    nearest, farthest = depth.min() - polygons.nearer.max(), depth.max() - polygons.nearer.min()
    unit = (_DEEPEST - 1) / max(farthest - nearest, np.float32(1e-6))
    planes = _Planes(xs, ys, columns[0], rows[0])
    number = planes.through(values.take(at), values, polygons.base.take(kept), 1 << FRACTION_BITS)
    away = planes.through(depth.take(at), depth, -nearest - polygons.nearer.take(kept), unit)
    origin, right, down = (one + other * _DEPTH_UNIT for one, other in zip(number, away, strict=True))
    return _Seen(
        edges.reshape(-1, 2),
        lower_columns.reshape(-1),
        edges[:, ::-1].reshape(-1, 2),
        np.maximum(-crossed[:, ::-1], 0).reshape(-1),
        columns[0],
        lower_columns.sum(axis=1, dtype=np.int32),
        rows.T,
        *(whole.astype(np.uint32) for whole in (origin, right, down)),
    )


class _Planes:
    """What is spread over polygons: planes that fit their four corners."""

    def __init__(self, xs: np.ndarray, ys: np.ndarray, column: np.ndarray, row: np.ndarray) -> None:
        """`xs`, `ys`: float32 [4, S], pixels; `column`, `row`: [S], the pixel that values begin at."""
        self._x, self._y = xs[2:] - xs[:2], ys[2:] - ys[:2]  # the diagonals
        self._area = _area(xs, ys)
        self._middle = column - xs.sum(axis=0) / 4 + _HALF, row - ys.sum(axis=0) / 4 + _HALF
        self._half = np.ptp(xs, axis=0) / 2, np.ptp(ys, axis=0) / 2

    def through(
        self, corners: np.ndarray, all_values: np.ndarray, more: np.ndarray, unit: float
    ) -> tuple[np.ndarray, ...]:
        """int64 [S] each: the value where it begins, and its changes per pixel to the right and down.

        A polygon that is not flat, or is seen from its edge, would overshoot: it is made flatter where it
        would reach beyond all there is, or farther from its middle than its corners are apart.

        Args:
            corners: float32 [4, S], what is spread.
            all_values: float32 [V], where `corners` are from.
            more: float32 [S], added.
            unit: what they are multiplied by before they are rounded.
        """
        first, second = corners[2:] - corners[:2]
        right = (first * self._y[1] - second * self._y[0]) / self._area
        down = (second * self._x[0] - first * self._x[1]) / self._area
        mean = corners.sum(axis=0) / 4
        reach = np.abs(right) * self._half[0] + np.abs(down) * self._half[1]
        room = np.minimum(all_values.max() - mean, mean - all_values.min())
        room = np.minimum(room, np.ptp(corners, axis=0))
        flatter = np.minimum(room / np.maximum(reach, np.float32(1e-6)), 1)
        right, down = right * flatter, down * flatter
        origin = mean + more + right * self._middle[0] + down * self._middle[1]
        return tuple(np.rint(values * np.float32(unit)).astype(np.int64) for values in (origin, right, down))


def _area(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Twice the area of quads, below 0 where they face the viewer, by the two diagonals."""
    area: np.ndarray = (xs[2] - xs[0]) * (ys[3] - ys[1]) - (ys[2] - ys[0]) * (xs[3] - xs[1])
    return area


def _leftmost(xs: np.ndarray) -> np.ndarray:
    """intp [S]: which of the 4 corners, float32 [4, S], is the leftmost; faster than `argmin`."""
    first, second = xs[1] < xs[0], xs[3] < xs[2]
    later = np.minimum(xs[2], xs[3]) < np.minimum(xs[0], xs[1])
    corner: np.ndarray = np.where(later, second + np.intp(2), first)
    return corner


def _next(corners: np.ndarray) -> np.ndarray:
    """Of each of 4 corners [4, S] the one that follows."""
    return corners[[1, 2, 3, 0]]


def _pairs(items: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns of `items`, float32 [N, 2], each row as often as `times` says; pairs are copied at once."""
    rows = np.repeat(np.ascontiguousarray(items).reshape(-1).view(np.int64), times)
    columns = rows.view(np.float32)
    return columns[::2], columns[1::2]


def _runs(seen: _Seen) -> tuple[np.ndarray, ...]:
    """Runs of pixels in a column: column, first row, pixels, the integer at the first one, its change per
    pixel."""
    columns = seen.columns
    along = np.arange(columns.sum(), dtype=np.int32)
    along -= np.repeat(np.cumsum(columns, dtype=np.int32) - columns, columns)
    column = along + np.repeat(seen.column, columns)
    at = column.astype(np.float32)
    top, bottom = _pairs(seen.rows, columns)
    # Edges of a polygon that is not quite convex may go beyond it.
    first, last = (
        np.minimum(np.maximum(np.ceil(line + slope * at - _HALF), top), bottom)
        for line, slope in (_pairs(seen.upper, seen.upper_columns), _pairs(seen.lower, seen.lower_columns))
    )
    length = np.maximum(last - first, 0).astype(np.intp)
    step = np.repeat(seen.down, columns)
    start = np.repeat(seen.origin, columns)
    start += np.repeat(seen.right, columns) * along.view(np.uint32)
    start += step * (first - top).astype(np.uint32)
    return column.astype(np.intp), first.astype(np.intp), length, start, step
