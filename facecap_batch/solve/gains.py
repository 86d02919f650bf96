"""Amplitude: movements that were read too small are stretched about where they rest.

In: coefficients over a clip, one column each, and gains. Out: the same, not clipped. A regressor that is
unsure says less than it sees, and errs least at rest; scaled about a column's median, nothing that rests
moves.
"""

from __future__ import annotations

import numpy as np


def stretched(values: np.ndarray, gains: np.ndarray | float) -> np.ndarray:
    """`values` (float64 [N] or [N, C]) with what lies above each column's median times its gain ([C])."""
    if not len(values):
        return values
    rest = np.median(values, axis=0)
    return np.where(values > rest, rest + (values - rest) * gains, values)
