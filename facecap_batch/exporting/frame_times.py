"""When the frames of a clip are shown: the rate that a file states, and the exact time of every row.

In: a `CoefficientTable`, for its PTS, time base and rate. Out: the rate, and rows' times as whole multiples
of one unit. All of it is exact rational arithmetic; every format rounds once, to what it can hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import CoefficientTable

GRID_TOLERANCE = Fraction(1, 1_000_000)  # seconds; PTS this close to the frame grid are the frame grid
FALLBACK_RATE = Fraction(30)  # for a source that states no frame rate, such as a single image
RATE_TOLERANCE = Fraction(1, 10_000)  # frames per second; 29.97 written as 2997/100 is 30000/1001
STANDARD_RATES = (
    Fraction(24),
    Fraction(24000, 1001),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(48),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
    Fraction(96),
    Fraction(100),
    Fraction(120),
    Fraction(120000, 1001),
)


@dataclasses.dataclass(frozen=True)
class FrameTimes:
    """Times of a clip's rows since the first: row k is at ``counts[k] * unit``."""

    counts: tuple[int, ...]  # whole numbers, 0 for the first row; () for a table without rows
    unit: Fraction  # seconds
    on_grid: bool  # True where counts are frame numbers at the clip's rate, 1 / unit

    def seconds(self) -> np.ndarray:
        """float64 [N], each rounded once from the exact time."""
        return np.array([float(count * self.unit) for count in self.counts], np.float64)


def standard_rate(rate: Fraction) -> Fraction | None:
    """The rate of STANDARD_RATES that `rate` stands for; None where there is none."""
    return next((known for known in STANDARD_RATES if abs(rate - known) <= RATE_TOLERANCE), None)


def frame_rate(table: CoefficientTable) -> Fraction:
    """The rate that tools show the take at: the clip's own, a standard or whole one where the clip has no
    frame grid.

    Keys of a variable-rate clip stand at their own times under any rate; Blender's Python importer of FBX,
    however, drops the fraction of a custom rate and would play the take slower or faster by it.
    """
    if table.info.fps <= 0:
        return FALLBACK_RATE
    if table.info.variable_rate:
        return standard_rate(table.info.fps) or Fraction(max(1, round(table.info.fps)))
    return table.info.fps


def frame_times(table: CoefficientTable, rate: Fraction) -> FrameTimes:
    """The time of every row, counted from the first row.

    Rows of a constant-rate clip stand on whole frames: k / rate, with k the row's `frame_index` counted from
    the first row's. A clip is on the frame grid where its PTS are the grid to within GRID_TOLERANCE; or where
    it has a constant rate and its PTS are the grid rounded to the time base, as Matroska and WebM round to
    milliseconds. Rows of any other clip stand at their own PTS.

    Args:
        table: the clip.
        rate: frames per second of its grid, as `frame_rate` gives.
    """
    if len(table) == 0:
        return FrameTimes((), 1 / rate, True)
    base = table.info.time_base
    frames = (np.asarray(table.frame_index, np.int64) - int(table.frame_index[0])).tolist()
    steps = (np.asarray(table.pts, np.int64) - int(table.pts[0])).tolist()
    if _lies_on_grid(frames, steps, base, rate, GRID_TOLERANCE):
        return FrameTimes(tuple(frames), 1 / rate, True)
    grid = _rounded_grid(table, frames, steps, rate)
    if grid is not None:
        return FrameTimes(tuple(frames), 1 / grid, True)
    return FrameTimes(tuple(steps), base, False)


def _rounded_grid(
    table: CoefficientTable, frames: Sequence[int], steps: Sequence[int], rate: Fraction
) -> Fraction | None:
    """The rate whose grid, rounded to the time base, the PTS are; None where they are none.

    Containers with coarse time bases state rates that are off in the last digits (Matroska's 19001/317 is
    60000/1001); the standard rate, whose frames the tools show, comes before the stated one.
    """
    if table.info.variable_rate:
        return None
    base = table.info.time_base  # the rounding of a row and that of the first row: half a unit each
    candidates = (standard_rate(rate), rate)
    return next(
        (grid for grid in candidates if grid is not None and _lies_on_grid(frames, steps, base, grid, base)),
        None,
    )


def _lies_on_grid(
    frames: Sequence[int], steps: Sequence[int], base: Fraction, rate: Fraction, tolerance: Fraction
) -> bool:
    """Whether every step (units of `base`) is at most `tolerance` seconds from frame / rate."""
    # Whole numbers throughout: as fractions, ten thousand rows would cost more than all the curves.
    by_steps, by_frames = base.numerator * rate.numerator, base.denominator * rate.denominator
    limit = int(tolerance * base.denominator * rate.numerator)
    return all(
        abs(step * by_steps - frame * by_frames) <= limit for step, frame in zip(steps, frames, strict=True)
    )
