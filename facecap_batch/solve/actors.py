"""What all clips of one actor say about the face: where each coefficient rests, and how far blinks go.

In: raw tables, one after the other, in any order. Out: a `Calibration`. Counts of all clips add up, so memory
stays the same however long an actor's clips are, and their order does not matter. Lids are apart from the
rest: they rest where they mostly are, and their gain closes the actor's full blinks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.solve.calibration import Calibration
from facecap_batch.solve.eyelids import LIDS, closing_gain, find_blinks
from facecap_batch.solve.smoothing import positive_steps

BINS = 1000  # of 0..1: a rest is known to a thousandth


class ActorStatistics:
    """Counts over the clips of one actor."""

    def __init__(self) -> None:
        self.clips = 0
        self.frames = 0  # with a face
        self._counts = np.zeros((len(ARKIT_NAMES), BINS + 1), np.int64)
        self._peaks: dict[int, list[float]] = {lid: [] for lid in LIDS}

    def add(self, raw: CoefficientTable) -> None:
        """Count one clip.

        Args:
            raw: As captured.
        """
        measured = raw.face_found.astype(bool)
        values = raw.coefficients[measured].astype(np.float64)
        self.clips += 1
        self.frames += int(measured.sum())
        for channel, column in enumerate(values.T):
            known = column[np.isfinite(column)].clip(0, 1)
            self._counts[channel] += np.bincount(np.rint(known * BINS).astype(np.int64), minlength=BINS + 1)
        time_s = positive_steps((raw.pts[measured] - raw.pts[:1]) * float(raw.info.time_base))
        for lid, peaks in self._peaks.items():
            known = np.isfinite(values[:, lid])
            closed = values[known, lid]
            peaks += closed[find_blinks(time_s[known], closed)].tolist()

    def calibration(self, card: Calibration) -> Calibration:
        """The actor's own calibration.

        Args:
            card: The regressor's: its gains are kept but for the lids, and so is the rest of what no clip
                shows.

        Returns:
            A calibration of the columns of `card`.
        """
        rest, gain = card.rest.copy(), card.gain.copy()
        shown = self._counts.sum(axis=1) > 0
        rest[: len(ARKIT_NAMES)][shown] = self._median()[shown]
        for lid, peaks in self._peaks.items():
            own = closing_gain(np.array(sorted(peaks)), float(rest[lid]))
            gain[lid] = own if own is not None else gain[lid]
        return Calibration(rest, gain)

    def _median(self) -> NDArray[np.float64]:
        """float64 [51], to a thousandth."""
        below = self._counts.cumsum(axis=1)
        return (below >= below[:, -1:] / 2).argmax(axis=1) / BINS
