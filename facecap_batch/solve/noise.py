"""Noise: how far measured values scatter around a moment, whatever the face does meanwhile.

In: the times of the measured rows and their values, one column per signal. Out: the standard deviation of the
white noise around each row. It is measured in a short window around the row and nowhere else, so a take and a
part of it have the same noise, and a face that turns into the shade has another one there.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

# Rows within this of a row, seconds, say how noisy it is; no whole number of frames at usual rates, so that
# rounding does not move the edge. With the reach of the cubic below and of the
# smoothing nothing that is more than a second away from a row has a say in its final value.
WINDOW_S = 0.89
# Distances are averaged as square roots, so that the still frames count and a move among them hardly does.
# The mean square root of the length of a normal vector, by degrees of freedom (a unit quaternion's four
# columns have three): 2 ** (1/4) * gamma(k / 2 + 1/4) / gamma(k / 2).
_MEAN_ROOT = {1: 0.82218, 2: 1.07790, 3: 1.23327}


@dataclasses.dataclass(frozen=True, eq=False)
class Signals:
    """How the columns of an array behave as signals. Columns of one group share one decision about what is
    noise."""

    group: NDArray[np.int64]  # [C], group number of each column, from 0, ascending
    strength: NDArray[np.float64]  # [C], 1: default, 0: column untouched, more: smoother
    noise_floor: NDArray[np.float64]  # [C, N] or [C, 1], unit of the column: noise that is always assumed
    noise_ceiling: NDArray[np.float64]  # likewise: what is larger counts as motion
    bounded: NDArray[np.bool_]  # [C], whether the column ends at 0 and 1: what rests there shows no noise

    def where(self, chosen: NDArray[np.int64]) -> Signals:
        """The signals of the `chosen` columns."""
        return Signals(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


def noise_level(
    time_s: NDArray[np.float64], values: NDArray[np.float64], signals: Signals
) -> NDArray[np.float64]:
    """Standard deviation of the white noise around each row, between its floor and its ceiling.

    Measured by how far rows lie off the cubic through their two neighbours on either side, which follows
    even speech.

    Args:
        time_s: float64 [N], seconds, rising.
        values: float64 [N, C], finite.
        signals: Of the C columns.

    Returns:
        float64 [C, N], unit of the columns.
    """
    level = np.zeros(values.shape[::-1])
    if len(values) >= 5:
        weights = _cubic_weights(time_s)
        scale = 1 / np.sqrt(1 + (weights * weights).sum(axis=0))
        inner = time_s[2:-2]
        first = np.searchsorted(inner, time_s - WINDOW_S)
        last = np.searchsorted(inner, time_s + WINDOW_S, side="right")
        for number in np.unique(signals.group):
            members = np.flatnonzero(signals.group == number)
            energy = np.zeros(len(inner))
            counts = np.ones(len(inner), bool)
            for column in members:
                signal = values[:, column]
                middle = signal[2:-2]
                off = middle - weights[0] * signal[:-4] - weights[1] * signal[1:-3]
                off = (off - weights[2] * signal[3:-1] - weights[3] * signal[4:]) * scale
                energy += off * off
                if signals.bounded[column]:
                    counts &= (middle > 0) & (middle < 1)
            roots = np.concatenate([[0.0], np.cumsum(np.where(counts, np.sqrt(np.sqrt(energy)), 0.0))])
            rows = np.concatenate([[0], np.cumsum(counts)])
            mean = (roots[last] - roots[first]) / np.maximum(rows[last] - rows[first], 1)
            root = mean / _MEAN_ROOT[min(len(members), 3)]
            level[members] = root * root
    return np.clip(level, signals.noise_floor, signals.noise_ceiling)


def _cubic_weights(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lagrange weights float64 [4, N - 4] of the rows two before, one before, one after and two after each
    inner row."""
    lags = [time_s[offset : len(time_s) - 4 + offset] - time_s[2:-2] for offset in (0, 1, 3, 4)]
    weights = np.ones((4, len(time_s) - 4))
    for i, lag in enumerate(lags):
        for j, other in enumerate(lags):
            if i != j:
                weights[i] *= other / (other - lag)
    return weights
