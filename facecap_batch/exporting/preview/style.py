"""Colours and letters of everything that previews draw."""

from __future__ import annotations

import functools

import cv2
import numpy as np

Colour = tuple[int, int, int]

# RGB.
SEEN = (90, 220, 120)
FILLED = (255, 190, 60)  # values interpolated over a gap
LOST = (240, 80, 80)
INK = (235, 235, 235)
DIM = (140, 140, 146)
GROUND = (24, 24, 28)
GROOVE = (44, 44, 50)  # what a bar or a curve lies in
RAW_MARK = (250, 250, 120)
RIGHT, LEFT, BOTH = (255, 165, 85), (100, 175, 255), (120, 205, 150)  # of channels of one side, of both

FONT = cv2.FONT_HERSHEY_SIMPLEX
PIXELS_AT_1 = 22  # height of its capitals at size 1


def letters(
    image: np.ndarray, text: str, at: tuple[float, float], size: float, colour: Colour, anchor: str = "left"
) -> None:
    """Write on an image.

    Args:
        image: uint8 [H, W, 3] RGB; written on.
        text: ASCII; the font has nothing else.
        at: pixels, of the base line: its left end, its middle or its right end, as `anchor` says.
        size: pixels, height of capitals.
        colour: RGB.
        anchor: left, middle or right.
    """
    scale = size / PIXELS_AT_1
    width = text_width(text, size)
    left = at[0] - {"left": 0.0, "middle": width / 2, "right": float(width)}[anchor]
    cv2.putText(image, text, (round(left), round(at[1])), FONT, scale, colour, 1, cv2.LINE_AA)


def text_width(text: str, size: float) -> int:
    """Pixels that `text` is wide in capitals of `size` pixels."""
    return int(cv2.getTextSize(text, FONT, size / PIXELS_AT_1, 1)[0][0])


def fitting(text: str, size: float, width: float) -> float:
    """`size`, or the smaller one at which `text` is at most `width` pixels wide."""
    return size * min(1.0, width / max(text_width(text, size), 1))


@functools.lru_cache(maxsize=64)
def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """`colour` with `share` (0..1) of another in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue
