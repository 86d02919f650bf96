"""Gains: movements that are known to be estimated too small are stretched about where they rest.

In: coefficients over a clip, one column each, and gains. Out: the same, not clipped. A regressor that is
unsure underestimates a movement, and errs least at rest: scaled about a column's median, nothing that rests
moves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stretched(values: NDArray[np.float64], gains: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Multiply what lies above each column's median by its gain.

    Args:
        values: float64 [N] or [N, C], finite.
        gains: One for every column, float64 [C], or one for all; 1 changes nothing.

    Returns:
        float64, the shape of `values`.
    """
    if not len(values):
        return values
    rest = np.median(values, axis=0)
    return np.where(values > rest, rest + (values - rest) * gains, values)
