"""Eyelids: where blinks are, the gain that closes them, and closed lids that do not flicker.

In: the times of the measured rows and an eyelid's coefficient there. Out: its blinks; the gain with which
full ones end closed; the coefficient held where it falls open for less time than lids take to open and close
again. A spontaneous blink closes the lids nearly always and lasts 0.1 to 0.4 s; a network that is unsure of
small or shaded eyes sees half of it, and a half closed eye looks tired on every character.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facecap_batch.coefficients import ARKIT_NAMES

LIDS = (ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight"))
REST_WINDOW_S = 2.0  # the median over this long around a frame is where the lid rests
MIN_RISE = 0.12  # above rest: what is lower is no blink
MAX_REST = 0.3  # a lid that rests higher than this is half closed already: its rises need not be blinks
MAX_BLINK_S = 0.5  # at half height; what lasts longer is a look down or a rest of the eyes
MIN_BLINKS = 2  # one may be anything
FULL_QUANTILE = 0.8  # lids also twitch; this high among a clip's rises are its full blinks
CLOSED = 0.95  # the coefficient of a full blink
MAX_GAIN = 2.0
SHUT = 0.5  # from here on an eye counts as closed, as blink detectors have it
FLICKER_S = 0.15  # lids that part and meet again within this never parted: to open and close takes them 0.2 s
MAX_SAMPLES = 61  # of the lid in a rest window; at high frame rates not every row is looked at
BLOCK_ROWS = 4096  # rows handled at once: bounds memory


def find_blinks(time_s: NDArray[np.float64], lid: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows at which the lid peaks in short rises above where it rests.

    Args:
        time_s: float64 [N], seconds, rising.
        lid: float64 [N], 0 open to 1 closed.

    Returns:
        int64 [B], one row per blink, rising.
    """
    if len(lid) < 3:
        return np.zeros(0, np.int64)
    rest = _resting(time_s, lid)
    up = np.concatenate([[False], lid - rest > MIN_RISE, [False]])
    edges = np.flatnonzero(up[1:] != up[:-1])
    peaks = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        peak = first + int(np.argmax(lid[first:stop]))
        half = rest[peak] + (lid[peak] - rest[peak]) / 2
        above = np.flatnonzero(lid[first:stop] >= half) + first
        brief = time_s[above[-1]] - time_s[above[0]] <= MAX_BLINK_S
        if brief and rest[peak] <= MAX_REST:
            peaks.append(peak)
    return np.array(peaks, np.int64)


def _resting(time_s: NDArray[np.float64], lid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of `lid` within REST_WINDOW_S around every row, float64 [N]."""
    last = len(lid) - 1
    reach = max(REST_WINDOW_S / 2 / float(np.median(np.diff(time_s))), 1.0)
    offsets = np.unique(np.round(np.linspace(-reach, reach, MAX_SAMPLES)).astype(np.int64))
    rest = np.empty_like(lid)
    for first in range(0, len(lid), BLOCK_ROWS):
        rows = np.arange(first, min(first + BLOCK_ROWS, len(lid)))
        around = np.abs(rows[:, None] + offsets)  # mirrored at the clip's ends
        around = np.clip(np.where(around > last, 2 * last - around, around), 0, last)
        rest[rows] = np.median(lid[around], axis=1)
    return rest


def closing_gain(peaks: NDArray[np.float64], rest: float) -> float | None:
    """The gain above `rest`, 1..MAX_GAIN, with which the full blinks of a lid end at CLOSED; None where there
    are too few to tell.

    Args:
        peaks: float64 [B], the lid's coefficient at the peaks of its blinks.
        rest: The lid's coefficient at rest.
    """
    if len(peaks) < MIN_BLINKS:
        return None
    full = float(np.quantile(peaks, FULL_QUANTILE, method="higher"))  # of few blinks the highest
    return gain_to_close(full, rest)


def gain_to_close(full: float, rest: float) -> float:
    """The gain above `rest`, 1..MAX_GAIN, with which a lid at `full` ends at CLOSED."""
    return float(np.clip((CLOSED - rest) / (full - rest), 1.0, MAX_GAIN)) if full > rest else 1.0


def without_flicker(time_s: NDArray[np.float64], lid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lid (float64 [N] at `time_s` seconds) without dips below SHUT that end within FLICKER_S.

    Inside such a dip the lid goes evenly from the last closed row to the next.
    """
    shut = np.flatnonzero(lid >= SHUT)
    before, after = shut[:-1], shut[1:]
    brief = (after - before > 1) & (time_s[after] - time_s[before] <= FLICKER_S)
    held: NDArray[np.float64] = lid.copy()
    for first, last in zip(before[brief], after[brief], strict=True):
        inside = slice(first + 1, last)
        held[inside] = np.interp(time_s[inside], time_s[[first, last]], lid[[first, last]])
    return held
