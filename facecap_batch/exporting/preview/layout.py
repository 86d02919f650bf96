"""Where the parts of a preview's picture lie.

In: the picture's height, the shape of the video, what is shown. Out: rectangles that begin and end on even
pixels, as 4:2:0 video needs.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

SHAPE = Fraction(16, 9)  # of the whole picture
PANEL_SHARE = Fraction(5, 12)  # width of the panel, of the picture's height
HEAD_SHAPE = Fraction(4, 5)  # width over height of the head's part, at least
MAX_TOP = Fraction(7, 9)  # of the picture's height that actor and head take at most: the curves need the rest
CELL_HEIGHT = 270  # pixels, of the pictures on a sheet
CELL_PANEL = 250  # pixels, width of the bars on a sheet
CELL_TEXT = 28  # pixels, height of what is written under them


@dataclasses.dataclass(frozen=True)
class Box:
    """A part of a picture, pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of an image."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The parts of one picture."""

    width: int  # pixels, of the whole
    height: int
    actor: Box
    head: Box | None  # None: not shown
    panel: Box
    below: Box  # the curves, or what is written under a cell


def video_layout(height: int, aspect: Fraction, with_head: bool) -> Layout:
    """Actor and head side by side, curves below, the panel on the right.

    Args:
        height: pixels, of the whole picture.
        aspect: width over height of the video, upright.
        with_head: whether the head is shown.
    """
    height = _even(height)
    width = _even(height * SHAPE)
    panel = _even(height * PANEL_SHARE)
    left = width - panel
    top = _even(min(left / (aspect + (HEAD_SHAPE if with_head else 0)), height * MAX_TOP))
    actor = min(_even(top * aspect), left) if with_head else left
    return Layout(
        width,
        height,
        Box(0, 0, actor, top),
        Box(actor, 0, left - actor, top) if with_head and left > actor else None,
        Box(left, 0, panel, height),
        Box(0, top, left, height - top),
    )


def cell_layout(aspect: Fraction, with_head: bool) -> Layout:
    """One cell of a sheet: actor, head, bars, and a line of text below."""
    actor = _even(CELL_HEIGHT * aspect)
    head = _even(CELL_HEIGHT * HEAD_SHAPE) if with_head else 0
    width = actor + head + CELL_PANEL
    return Layout(
        width,
        CELL_HEIGHT + CELL_TEXT,
        Box(0, 0, actor, CELL_HEIGHT),
        Box(actor, 0, head, CELL_HEIGHT) if head else None,
        Box(actor + head, 0, CELL_PANEL, CELL_HEIGHT),
        Box(0, CELL_HEIGHT, width, CELL_TEXT),
    )


def _even(length: Fraction | int) -> int:
    """The nearest even number that is not above `length`, at least 2."""
    return max(2, int(length) // 2 * 2)
