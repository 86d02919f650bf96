"""Time in FBX: its TimeMode, and the key time of every frame in KTime ticks.

In: a `CoefficientTable`, whose rows `exporting.frame_times` gives exact times. Out: KTime, rounded once.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.frame_times import STANDARD_RATES, frame_times, standard_rate

TICKS_PER_SECOND = 46_186_158_000  # FBX's KTime
CUSTOM_RATE = 14
TIME_MODES: dict[Fraction, int] = dict(
    zip(STANDARD_RATES, (11, 13, 10, 9, 6, 5, 4, 17, 3, 15, 2, 1, 18), strict=True)
)


def time_mode(rate: Fraction) -> int:
    """FBX's TimeMode for `rate` in frames per second; CUSTOM_RATE where it has no number of its own."""
    standard = standard_rate(rate)
    return CUSTOM_RATE if standard is None else TIME_MODES[standard]


def key_ticks(table: CoefficientTable, rate: Fraction) -> np.ndarray:
    """The key time of every row, counted from the first row.

    Rows that share a time are pushed apart by one tick, because FBX wants increasing times.

    Args:
        table: the clip.
        rate: frames per second of its grid, as `frame_rate` gives.

    Returns:
        int64 [N], or [1] for a table without rows; KTime ticks, strictly increasing from 0.
    """
    if len(table) == 0:
        return np.zeros(1, np.int64)
    times = frame_times(table, rate)
    numerator, denominator = TICKS_PER_SECOND * times.unit.numerator, times.unit.denominator
    ticks = np.array([_divided(count * numerator, denominator) for count in times.counts], np.int64)
    order = np.arange(len(ticks))
    return np.maximum.accumulate(ticks - order) + order


def _divided(numerator: int, denominator: int) -> int:
    """The whole number nearest to the quotient; halves go to the even one, as `round` does."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))
