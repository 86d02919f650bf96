"""Eyelids: closed lids that do not flicker.

In: the times of the measured rows of a clip and an eyelid's coefficient there. Out: the coefficient, held
where it falls open for less time than lids take to open and close again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facecap_batch.coefficients import ARKIT_NAMES

LIDS = (ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight"))
SHUT = 0.5  # from here on an eye counts as closed, as blink detectors have it
FLICKER_S = 0.15  # lids that part and meet again within this never parted: to open and close takes them 0.2 s


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
