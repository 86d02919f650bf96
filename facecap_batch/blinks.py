"""Blinks close the eye: lids that were read too small are brought to closed.

In: the times of the measured rows of a clip and an eyelid's coefficient there. Out: the coefficient,
stretched above its resting level so that the usual blink of the clip ends closed. A spontaneous blink closes
the lids nearly always and lasts 0.1 to 0.4 s; a network that is unsure of small or shaded eyes says half of
it, and a half closed eye reads as tired on every character. Clips without blinks are left as they are.
"""

from __future__ import annotations

import dataclasses

import numpy as np

REST_WINDOW_S = 2.0  # the median over this long around a frame is where the lid rests
LEAST_RISE = 0.12  # above rest: what is lower is no blink
MOST_REST = 0.3  # a lid that rests lower than this is half closed already: its rises say nothing of blinks
LONGEST_BLINK_S = 0.5  # at half height; what lasts longer is a look down or a rest of the eyes
LEAST_BLINKS = 2  # one may be anything
FULL_QUANTILE = 0.8  # lids also twitch; this high among a clip's rises are its full blinks
CLOSED = 0.95  # what a full blink comes to
MOST_GAIN = 2.0
# Frames that the resting level is judged by, on either side, at most: bounds the cost of high frame rates.
MOST_NEIGHBOURS = 64


@dataclasses.dataclass(frozen=True)
class Blink:
    """One short closing of a lid."""

    first: int  # row
    last: int
    peak: float  # the highest value in it
    rest: float  # resting level around the peak


def find_blinks(time_s: np.ndarray, lid: np.ndarray) -> list[Blink]:
    """Short rises of `lid` (float64 [N], 0..1) above where it rests; time_s: float64 [N] seconds, rising."""
    if len(lid) < 3:
        return []
    rest = _resting(time_s, lid)
    up = np.concatenate([[False], lid - rest > LEAST_RISE, [False]])
    edges = np.flatnonzero(up[1:] != up[:-1])
    found = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        peak = first + int(np.argmax(lid[first:stop]))
        half = rest[peak] + (lid[peak] - rest[peak]) / 2
        above = np.flatnonzero(lid[first:stop] >= half) + first
        brief = time_s[above[-1]] - time_s[above[0]] <= LONGEST_BLINK_S
        if brief and rest[peak] <= MOST_REST:
            found.append(Blink(int(first), int(stop) - 1, float(lid[peak]), float(rest[peak])))
    return found


def _resting(time_s: np.ndarray, lid: np.ndarray) -> np.ndarray:
    """Median of `lid` within REST_WINDOW_S around every row, float64 [N]."""
    step = float(np.median(np.diff(time_s)))
    reach = int(min(max(REST_WINDOW_S / 2 / max(step, 1e-6), 1), MOST_NEIGHBOURS))
    padded = np.pad(lid, reach, mode="reflect" if len(lid) > reach else "edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)


def closing_gain(blinks: list[Blink], rest: float) -> float:
    """What the lid is to be stretched by above `rest`, 1..MOST_GAIN, so that full blinks end at CLOSED."""
    if len(blinks) < LEAST_BLINKS:
        return 1.0
    # "higher": of few blinks the highest.
    full = float(np.quantile([blink.peak for blink in blinks], FULL_QUANTILE, method="higher"))
    return float(np.clip((CLOSED - rest) / (full - rest), 1.0, MOST_GAIN)) if full > rest else 1.0


def closed_lids(time_s: np.ndarray, lid: np.ndarray) -> np.ndarray:
    """`lid` (float64 [N]) with its full blinks closed, clipped at 1; values at rest and below stay."""
    if not len(lid):
        return lid
    rest = float(np.median(lid))
    gain = closing_gain(find_blinks(time_s, lid), rest)
    return np.where(lid > rest, np.minimum(rest + (lid - rest) * gain, np.maximum(lid, 1.0)), lid)
