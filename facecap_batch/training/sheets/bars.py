"""Coefficients as named bars, as every sheet draws them.

In: coefficients of one face, from one source or from several that are compared. Out: an image of bars.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES

FONT = cv2.FONT_HERSHEY_SIMPLEX
LINE = 15  # pixels, height of a coefficient's line
NAMES = 118  # pixels, width of the column of names
INK, GROUND = (225, 225, 225), (24, 24, 27)  # RGB


@dataclasses.dataclass(frozen=True)
class Series:
    """One source of coefficients."""

    values: np.ndarray  # float32 [51]
    colour: tuple[int, int, int]  # RGB
    inset: int  # pixels by which its bars are thinner than a line, above and below


def strongest(values: np.ndarray, count: int) -> np.ndarray:
    """The `count` channels of `values` (float32 [51]) that are highest, highest first: int64 [count]."""
    return np.argsort(-values, kind="stable")[:count]


def bars(channels: Sequence[int] | np.ndarray, series: Sequence[Series], width: int) -> np.ndarray:
    """A line for each of `channels`: its name, and a bar of each of `series`, later ones over earlier ones.

    Returns:
        uint8 [len(channels) * LINE, width, 3] RGB; a bar over all that the names leave is 1.
    """
    image = np.full((len(channels) * LINE, width, 3), GROUND, np.uint8)
    full = width - NAMES - 6
    for line, channel in enumerate(channels):
        top = line * LINE
        write(image, ARKIT_NAMES[channel], 4, top + 10)
        for one in series:
            end = NAMES + round(full * float(np.clip(one.values[channel], 0, 1)))
            corner = (end, top + LINE - 2 - one.inset)
            cv2.rectangle(image, (NAMES, top + one.inset), corner, one.colour, -1)
    return image


def write(image: np.ndarray, text: str, x: int, y: int, size: float = 0.33) -> None:
    """Write `text` into `image` (uint8 [H, W, 3]), its base line beginning at pixel (x, y)."""
    cv2.putText(image, text, (x, y), FONT, size, INK, 1, cv2.LINE_AA)
