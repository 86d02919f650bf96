"""The channels of a take as people speak of them: sides, pairs, and how far each moves.

In: names of coefficients, coefficients. Out: what plots and previews choose and label channels by.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES

# Movement is measured between these percentiles: a few wild frames do not decide, a blink does.
MOVEMENT_PERCENTILES = (1.0, 99.0)


def side_of(name: str) -> str:
    """ "left", "right" (the subject's), or "" for a channel that is not one of two sides."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side) and name.removesuffix(side) + other in ARKIT_NAMES:
            return side.lower()
    return ""


def stem_of(name: str) -> str:
    """The name without the side: what both channels of a pair share."""
    side = side_of(name)
    return name[: -len(side)] if side else name


# Stem to the left and the right channel.
PAIRS = {stem_of(name): (name, f"{stem_of(name)}Right") for name in ARKIT_NAMES if side_of(name) == "left"}


def movement(coefficients: np.ndarray) -> np.ndarray:
    """float64 [S]: how far each channel moves, between MOVEMENT_PERCENTILES; 0 of one that is never known.

    `coefficients`: float [N, S], NaN where nothing is known.
    """
    moved = np.zeros(coefficients.shape[1])
    known = np.isfinite(coefficients).any(axis=0)
    if known.any():
        low, high = np.nanpercentile(coefficients[:, known], MOVEMENT_PERCENTILES, axis=0)
        moved[known] = high - low
    return moved
