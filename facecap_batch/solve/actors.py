"""The calibration of an actor: where the face rests and what closes its blinks, from all clips of one person.

In: raw tables, one after the other, in any order. Out: an `ActorCalibration`. Clips add up as counts, so
memory stays the same however many there are, and their order does not matter. Gains are the regressor's
own, from its card; but an eyelid has the gain that closes the actor's full blinks.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.solve.calibration import Calibration, of_card
from facecap_batch.solve.eyelids import LIDS, closing_gain, find_blinks
from facecap_batch.solve.smoothing import positive_steps

BINS = 1000  # of 0..1: a rest is known to a thousandth
DIGEST_DIGITS = 32  # 128 bits: chance collisions do not happen


@dataclasses.dataclass(frozen=True)
class ActorCalibration:
    """Where one actor's coefficients rest, and what their movements are multiplied by."""

    actor: str
    clips: int  # that it was measured on
    frames: int  # of these clips, with a face
    rest: tuple[float, ...]  # [S], 0..1, `CoefficientTable.shape_names` order
    # [S], above 0; of an eyelid None where too few blinks were seen: then the card's is used.
    gain: tuple[float | None, ...]

    def digest(self) -> str:
        """Of everything in it: what a clip was solved with is recognised by this."""
        text = json.dumps(dataclasses.astuple(self), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_DIGITS]

    def applied_to(self, card: Calibration) -> Calibration:
        """`card` (of the coefficients, then of extra columns) with the actor's own rest and gains."""
        rest, gain = card.rest.copy(), card.gain.copy()
        rest[: len(self.rest)] = self.rest
        for column, own in enumerate(self.gain):
            if own is not None:
                gain[column] = own
        return dataclasses.replace(card, rest=rest, gain=gain)


class ActorStatistics:
    """Counts over the clips of one actor."""

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self._clips = 0
        self._frames = 0
        self._values = np.zeros((0, BINS + 1), np.int64)  # of each coefficient
        self._peaks = np.zeros((len(LIDS), BINS + 1), np.int64)  # of blinks
        self._card: Calibration | None = None

    def add(self, raw: CoefficientTable) -> None:
        """Count one clip, as captured. All clips must be of the same regressor."""
        if self._card is None:
            self._card = of_card(raw)
            self._values = np.zeros((len(raw.shape_names), BINS + 1), np.int64)
        measured = raw.face_found.astype(bool)
        values = raw.coefficients[measured].astype(np.float64)
        self._clips += 1
        self._frames += len(values)
        for counts, column in zip(self._values, values.T, strict=True):
            counts += _histogram(column[np.isfinite(column)])
        first = raw.pts[0] if len(raw) else 0
        time_s = positive_steps((raw.pts[measured] - first) * float(raw.info.time_base))
        for counts, lid in zip(self._peaks, LIDS, strict=True):
            known = np.isfinite(values[:, lid])
            column = values[known, lid]
            counts += _histogram(column[find_blinks(time_s[known], column)])

    def calibration(self) -> ActorCalibration:
        """The actor's own calibration. What no clip shows rests where the card says.

        Raises:
            ValueError: No clip was counted.
        """
        if self._card is None:
            raise ValueError(f"no clip of {self._actor} was counted")
        below = self._values.cumsum(axis=1)
        median = (below * 2 >= below[:, -1:]).argmax(axis=1) / BINS
        rest = np.where(below[:, -1] > 0, median, self._card.rest[: len(median)]).tolist()
        gain: list[float | None] = self._card.gain[: len(median)].tolist()
        for counts, lid in zip(self._peaks, LIDS, strict=True):
            peaks = np.repeat(np.arange(BINS + 1) / BINS, counts)
            gain[lid] = closing_gain(peaks, rest[lid])
        return ActorCalibration(self._actor, self._clips, self._frames, tuple(rest), tuple(gain))


def _histogram(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of `values` (float64 [N], 0..1) are nearest to each thousandth: int64 [BINS + 1]."""
    nearest = np.rint(values.clip(0, 1) * BINS).astype(np.int64)
    return np.bincount(nearest, minlength=BINS + 1).astype(np.int64)
