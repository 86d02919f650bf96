"""Time in FBX: the frame rate that a file states, and the key time of every frame.

In: a `CoefficientTable`, for its PTS, time base and rate. Out: the rate, FBX's TimeMode, KTime ticks. All of
it is exact rational arithmetic, rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import CoefficientTable

TICKS_PER_SECOND = 46_186_158_000  # FBX's KTime
GRID_TOLERANCE = Fraction(1, 1_000_000)  # seconds; PTS this close to the frame grid are the frame grid
FALLBACK_RATE = Fraction(30)  # for a source that states no frame rate, such as a single image
CUSTOM_RATE = 14
TIME_MODES: dict[Fraction, int] = {
    Fraction(24): 11,
    Fraction(24000, 1001): 13,
    Fraction(25): 10,
    Fraction(30000, 1001): 9,
    Fraction(30): 6,
    Fraction(48): 5,
    Fraction(50): 4,
    Fraction(60000, 1001): 17,
    Fraction(60): 3,
    Fraction(96): 15,
    Fraction(100): 2,
    Fraction(120): 1,
    Fraction(120000, 1001): 18,
}
RATE_TOLERANCE = Fraction(1, 10_000)  # frames per second; 29.97 written as 2997/100 is 30000/1001


def standard_rate(rate: Fraction) -> Fraction | None:
    """The rate with a TimeMode of its own that `rate` stands for; None where there is none."""
    return next((known for known in TIME_MODES if abs(rate - known) <= RATE_TOLERANCE), None)


def time_mode(rate: Fraction) -> int:
    """FBX's TimeMode for `rate` in frames per second; CUSTOM_RATE where it has no number of its own."""
    standard = standard_rate(rate)
    return CUSTOM_RATE if standard is None else TIME_MODES[standard]


def frame_rate(table: CoefficientTable) -> Fraction:
    """The rate that tools show the take at: the clip's own, a standard or whole one where the clip has no
    frame grid.

    Keys of a variable-rate clip stand at their own times under any rate; Blender's Python importer, however,
    drops the fraction of a custom rate and would play the take slower or faster by it.
    """
    if table.info.fps <= 0:
        return FALLBACK_RATE
    if table.info.variable_rate:
        return standard_rate(table.info.fps) or Fraction(max(1, round(table.info.fps)))
    return table.info.fps


def key_ticks(table: CoefficientTable, rate: Fraction) -> np.ndarray:
    """The key time of every row, counted from the first row.

    Keys of a constant-rate clip stand on whole frames: round(k * TICKS_PER_SECOND / rate), with k the row's
    `frame_index` counted from the first row's. A clip is on the frame grid where its PTS are the grid to
    within GRID_TOLERANCE; or where it has a constant rate and its PTS are the grid rounded to the time base,
    as Matroska and WebM round to milliseconds. Keys of any other clip stand at their own PTS. Rows that
    share a time are pushed apart by one tick, because FBX wants increasing times.

    Args:
        table: the clip.
        rate: frames per second of its grid, as `frame_rate` gives.

    Returns:
        int64 [N], or [1] for a table without rows; KTime ticks, strictly increasing from 0.
    """
    if len(table) == 0:
        return np.zeros(1, np.int64)
    base = table.info.time_base
    frames = (np.asarray(table.frame_index, np.int64) - int(table.frame_index[0])).tolist()
    steps = (np.asarray(table.pts, np.int64) - int(table.pts[0])).tolist()
    if _lies_on_grid(frames, steps, base, rate, GRID_TOLERANCE):
        counts, unit = frames, 1 / rate
    elif (grid := _rounded_grid(table, frames, steps, rate)) is not None:
        counts, unit = frames, 1 / grid
    else:
        counts, unit = steps, base
    numerator, denominator = TICKS_PER_SECOND * unit.numerator, unit.denominator
    ticks = np.array([_divided(count * numerator, denominator) for count in counts], np.int64)
    order = np.arange(len(ticks))
    return np.maximum.accumulate(ticks - order) + order


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


def _divided(numerator: int, denominator: int) -> int:
    """The whole number nearest to the quotient; halves go to the even one, as `round` does."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))
