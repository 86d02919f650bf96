"""Zero-phase smoothing of signals sampled at uneven times: jitter goes, fast moves stay.

In: the times of the measured rows and their values, one column per signal. Out: smoothed values at the same
rows.

The signal is split into three bands and a rest by local straight-line fits under ever wider kernels. Each
band is kept where its local energy stands out from what the noise around it (see `noise`) would leave there,
and dropped where it does not (empirical Wiener shrinkage). A blink fills its bands and passes; jitter of a
resting face does not. Kernels are symmetric and measured in seconds, so the result has no lag and does not
depend on the frame rate being constant. Only additions, multiplications, divisions and square roots are
used, in a fixed order, so the same input gives the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facecap_batch.solve.noise import Signals, noise_level

# Half widths of the kernels, seconds. The first spans two frames at 30 fps on either side, the least that
# can tell jitter from motion; the last is a slow facial movement (a smile takes about 0.4 s to build).
HALF_WIDTHS_S = (0.1, 0.2, 0.4)
# A band passes when its local energy exceeds this many times (squared) that of the noise. At 2 nearly all
# of what white noise leaves in a band is dropped, and a blink keeps more than nine tenths of its height.
THRESHOLD = 2.0
# No row looks at more neighbours than this on either side, whatever the frame rate: bounds the cost per row.
MAX_NEIGHBOURS = 128
# Rows and columns handled at once: keep the working arrays in the processor's cache.
BLOCK_ROWS = 4096
COLUMNS_AT_ONCE = 8


def positive_steps(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times that never stand still or run backward.

    Damaged files repeat time stamps or jump back; such a step is replaced by the median of the good ones.

    Args:
        time_s: float64 [N], seconds.

    Returns:
        float64 [N], seconds, rising, from 0.
    """
    steps = np.diff(time_s)
    good = steps[steps > 0]
    usual = float(np.median(good)) if len(good) else 1 / 30
    steps = np.where(steps > 0, steps, usual)
    return np.concatenate([[0.0], np.cumsum(steps)])[: len(time_s)]


def smooth(time_s: NDArray[np.float64], values: NDArray[np.float64], signals: Signals) -> NDArray[np.float64]:
    """Smooth each column of `values`.

    Args:
        time_s: float64 [N], seconds, rising.
        values: float64 [N, C], finite.
        signals: Of the C columns.

    Returns:
        float64 [N, C].
    """
    active = np.flatnonzero(signals.strength > 0)
    result: NDArray[np.float64] = values.copy()
    if len(values) < 3 or not len(active):
        return result
    chosen = signals.where(active)
    noise = noise_level(time_s, values[:, active], chosen) * chosen.strength[:, None]
    reach = _reach(time_s)
    halo = 2 * reach[-1]
    for start in range(0, len(values), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(values))
        low, high = max(0, start - halo), min(len(values), stop + halo)
        columns = np.ascontiguousarray(values[low:high, active].T)
        block = _smooth_block(time_s[low:high], columns, reach, chosen.group, noise[:, low:high])
        result[start:stop, active] = block[:, start - low : stop - low].T
    return result


def _reach(time_s: NDArray[np.float64]) -> tuple[int, ...]:
    """The most neighbours on one side that any row has within each half width (a neighbour at its edge
    weighs 0)."""
    rows = np.arange(len(time_s))
    edges = [np.searchsorted(time_s, time_s + 0.999999 * width) - rows - 1 for width in HALF_WIDTHS_S]
    return tuple(min(int(edge.max()), MAX_NEIGHBOURS) for edge in edges)


def _smooth_block(
    time_s: NDArray[np.float64],
    values: NDArray[np.float64],
    reach: tuple[int, ...],
    group: NDArray[np.int64],
    noise: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`smooth` on columns laid out as float64 [C, N]: NumPy is quick at long rows of memory."""
    finer, finer_weights = values, np.ones((1, len(time_s)))
    kept = np.zeros_like(values)
    for width, neighbours in zip(HALF_WIDTHS_S, reach, strict=True):
        kernel = _kernel(time_s, width, neighbours)
        weights = _line_weights(time_s, kernel)
        coarser = _apply(weights, values)
        band = finer - coarser
        # What white noise of variance 1 leaves in this band, row by row: exact, also at ends and uneven
        # steps.
        leaves = weights.copy()
        pad = (len(weights) - len(finer_weights)) // 2
        leaves[pad : len(weights) - pad] -= finer_weights
        noise_gain = _apply(kernel, (leaves * leaves).sum(axis=0)[None, :])
        energy = _apply(kernel, band * band)
        kept += band * _gain(energy, noise_gain, group, noise)
        finer, finer_weights = coarser, weights
    return finer + kept


def _gain(
    energy: NDArray[np.float64],
    noise_gain: NDArray[np.float64],
    group: NDArray[np.int64],
    noise: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The share of a band to keep, float64 [C, N], 0..1: Wiener's 1 - noise / energy, 0 below THRESHOLD."""
    expected = noise_gain * (THRESHOLD * noise) ** 2
    for number in np.unique(group[:-1][group[1:] == group[:-1]]):
        members = np.flatnonzero(group == number)
        # A unit quaternion moves in three directions, whatever its number of columns.
        directions = min(len(members), 3)
        energy[members] = energy[members].sum(axis=0)
        expected[members] *= directions
    return np.maximum(0.0, 1.0 - expected / np.maximum(energy, 1e-30))


def _kernel(time_s: NDArray[np.float64], width: float, neighbours: int) -> NDArray[np.float64]:
    """Triweight kernel on the time to each neighbour: float64 [2 * neighbours + 1, N], columns sum to 1."""
    rows = len(time_s)
    kernel = np.zeros((2 * neighbours + 1, rows))
    for offset in range(-neighbours, neighbours + 1):
        first, last = max(0, -offset), rows - max(0, offset)
        if first >= last:
            continue
        u = (time_s[first + offset : last + offset] - time_s[first:last]) / width
        closeness = np.maximum(0.0, 1.0 - u * u)
        kernel[offset + neighbours, first:last] = closeness * closeness * closeness
    total: NDArray[np.float64] = kernel.sum(axis=0)
    return kernel / total


def _line_weights(time_s: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the neighbours, the shape of `kernel`: their sum is the value, at each row, of the straight
    line fitted under `kernel`."""
    neighbours, rows = len(kernel) // 2, len(time_s)
    lag = np.zeros_like(kernel)
    for offset in range(-neighbours, neighbours + 1):
        first, last = max(0, -offset), rows - max(0, offset)
        if first < last:
            lag[offset + neighbours, first:last] = time_s[first + offset : last + offset] - time_s[first:last]
    first_moment: NDArray[np.float64] = (kernel * lag).sum(axis=0)
    second_moment: NDArray[np.float64] = (kernel * lag * lag).sum(axis=0)
    spread = second_moment - first_moment * first_moment
    # A row alone within the kernel has no slope: its weights are those of the kernel.
    lonely = spread <= 1e-12
    spread[lonely], first_moment[lonely], second_moment[lonely] = 1.0, 0.0, 1.0
    return kernel * (second_moment - first_moment * lag) / spread


def _apply(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sum over neighbours: values float64 [C, N] to float64 [C, N]."""
    neighbours, rows = len(weights) // 2, values.shape[1]
    result = np.zeros_like(values)
    scratch = np.empty((COLUMNS_AT_ONCE, rows))
    for column in range(0, len(values), COLUMNS_AT_ONCE):
        source, target = values[column : column + COLUMNS_AT_ONCE], result[column : column + COLUMNS_AT_ONCE]
        for offset in range(-neighbours, neighbours + 1):
            first, last = max(0, -offset), rows - max(0, offset)
            if first >= last:
                continue
            term = scratch[: len(source), first:last]
            np.multiply(
                source[:, first + offset : last + offset], weights[offset + neighbours, first:last], out=term
            )
            target[:, first:last] += term
    return result
