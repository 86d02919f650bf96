"""The panel of a preview: where the head is, and a bar with a number for every channel that is shown.

In: lines of channels; a row of a table. Out: an image. What does not change is drawn once. A pair's bars grow
to either side of its name as the subject's sides lie in the picture: the right one to the left. A mark stands
at the raw value.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.preview.channels import Line
from facecap_batch.exporting.preview.style import (
    BOTH,
    DIM,
    GROOVE,
    GROUND,
    INK,
    LEFT,
    RAW_MARK,
    RIGHT,
    Colour,
    fitting,
    letters,
    mixed,
)

HEADER_LINES = 4  # two of numbers, one of the sides' names, one of space
MAX_LINE = 26.0  # pixels of a picture 720 pixels high
_NAME_SHARE, _NUMBER_SHARE = 0.40, 0.12  # of the panel's width: the name, and a number on either side
_State = tuple[Any, ...]  # whatever decides how a line looks
_PALE = 0.55  # how much of the ground is in a bar whose frame was not seen


class Panel:
    """Draws one size of panel with the same lines in every picture."""

    def __init__(self, width: int, height: int, lines: tuple[Line, ...], with_pose: bool = True) -> None:
        """`width` and `height` in pixels; `lines` from the top down; `with_pose`: the head's numbers above
        them."""
        header = HEADER_LINES if with_pose else 1
        self._lines, self._with_pose = lines, with_pose
        self._width = width
        self._step = min(height / (header + len(lines) + 0.5), MAX_LINE * width / 300)
        self._top = header * self._step
        self._letter = min(0.5 * self._step, 0.036 * width)
        self._number_size = round(_NUMBER_SHARE * width), max(1, round(self._step) - 4)
        half = width / 2
        self._inner = round(_NAME_SHARE * width / 2)
        self._outer = round(half - _NUMBER_SHARE * width)
        self._ground = np.full((height, width, 3), GROUND, np.uint8)
        self._draw_ground()
        self._fresh = True  # nothing was drawn yet
        self._drawn: dict[int, _State] = {}  # what stands in each line; of the head's numbers at -1

    @staticmethod
    def room(width: int, height: int, with_pose: bool = True) -> int:
        """How many lines can be read in a panel of `width` by `height` pixels."""
        smallest = 0.06 * width  # pixels
        return max(1, int(height / smallest) - (HEADER_LINES if with_pose else 1))

    def draw(
        self, image: np.ndarray, table: CoefficientTable, row: int, raw: CoefficientTable | None = None
    ) -> None:
        """Draw the panel of one row.

        Args:
            image: uint8 [height, width, 3] RGB; what this panel drew before, or anything before its first.
            table: the clip.
            row: a row of `table`.
            raw: the unsolved table of the same clip; its values are marked.
        """
        if self._fresh:
            image[:] = self._ground
            self._fresh = False
        pale = 0.0 if table.face_found[row] else _PALE
        bars, numbers = self._pixels(table.coefficients[row]), _hundredths(table.coefficients[row])
        marks = [None] * len(bars) if raw is None else self._pixels(raw.coefficients[row])
        for number, line in enumerate(self._lines):
            right, left = line.right, line.left
            state = (
                pale, bars[right], bars[left], numbers[right], numbers[left], marks[right], marks[left]
            )  # fmt: skip
            if self._drawn.get(number) != state:
                self._drawn[number] = state
                self._draw_line(image, number, line, state)
        pose = table.head[row].astype(np.float64)
        texts = tuple(_whole(value) for value in (*np.degrees(pose[:3]), *pose[3:]))
        if self._with_pose and self._drawn.get(-1) != texts:
            self._drawn[-1] = texts
            self._draw_pose(image, texts)

    def _draw_ground(self) -> None:
        half, letter = self._width / 2, self._letter
        if not self._lines:
            at = half, self._top + self._step
            if self._with_pose:
                letters(self._ground, "no channel moves", at, letter, DIM, "middle")
            return
        base = self._top - 0.35 * self._step
        for side, text, colour in ((-1, "right", RIGHT), (1, "left", LEFT)):
            at = half + side * (self._inner + self._outer) / 2, base
            letters(self._ground, text, at, 0.85 * letter, colour, "middle")
        for number, line in enumerate(self._lines):
            middle = self._top + (number + 0.5) * self._step
            size = fitting(line.name, letter, 2 * self._inner - 6)
            letters(self._ground, line.name, (half, middle + letter / 2), size, INK, "middle")
            for side in (-1, 1):
                self._fill(self._ground, middle, side, 0, self._outer - self._inner, GROOVE)

    def _fill(
        self, image: np.ndarray, middle: float, side: int, start: int, stop: int, colour: Colour
    ) -> None:
        """A piece of a bar, pixels from its beginning; `side` -1 to the left of the name, 1 to the right."""
        near = self._width // 2 + side * (self._inner + start)
        far = self._width // 2 + side * (self._inner + stop)
        thick = max(1, round(0.24 * self._step))
        top, bottom = round(middle) - thick, round(middle) + thick
        image[top : bottom + 1, max(min(near, far), 0) : max(near, far)] = colour

    def _pixels(self, values: np.ndarray) -> list[int | None]:
        """Length of a bar for each of `values`, float [S]; None of an unknown one."""
        return _whole_numbers(np.clip(values, 0, 1) * (self._outer - self._inner))

    def _draw_line(self, image: np.ndarray, number: int, line: Line, state: _State) -> None:
        top, bottom = (round(self._top + (number + more) * self._step) for more in (0, 1))
        image[top:bottom] = self._ground[top:bottom]
        middle = self._top + (number + 0.5) * self._step
        pale, lengths, hundredths, marks = state[0], state[1:3], state[3:5], state[5:7]
        for at, (side, colour) in enumerate(((-1, RIGHT), (1, LEFT))):
            if lengths[at] is not None:
                self._fill(
                    image, middle, side, 0, lengths[at], mixed(colour if line.paired else BOTH, GROUND, pale)
                )
            if marks[at] is not None:
                self._fill(image, middle, side, marks[at] - 1, marks[at] + 1, RAW_MARK)
            if line.paired or side > 0:
                width, height = self._number_size
                left = 1 if side < 0 else self._width - width - 1
                row = round(middle) - height // 2
                drawn = _number(_text(hundredths[at]), width, height, 0.85 * self._letter)
                image[row : row + height, left : left + width] = drawn

    def _draw_pose(self, image: np.ndarray, texts: tuple[str, ...]) -> None:
        """Draw rotation and position in two lines."""
        bottom = round(2.4 * self._step)
        image[:bottom] = self._ground[:bottom]
        for line, (unit, names) in enumerate((("deg", ("yaw", "pitch", "roll")), ("cm", ("x", "y", "z")))):
            base = (line + 1) * self._step
            letters(image, unit, (self._width - 6, base), 0.85 * self._letter, DIM, "right")
            for column, name in enumerate(names):
                at = 0.30 * self._width * column
                letters(image, name, (at + 6, base), 0.85 * self._letter, DIM)
                text = texts[3 * line + column]
                letters(image, text, (at + 0.275 * self._width, base), self._letter, INK, "right")


def _whole_numbers(values: np.ndarray) -> list[int | None]:
    """The nearest whole number to each of `values`, float [S]; None of an unknown one."""
    return [None if value != value else int(value) for value in np.rint(values).tolist()]


def _hundredths(values: np.ndarray) -> list[int | None]:
    return _whole_numbers(values * np.float32(100))


def _text(hundredths: int | None) -> str:
    return "-" if hundredths is None else f"{hundredths / 100:.2f}"


def _whole(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


@functools.lru_cache(maxsize=512)
def _number(text: str, width: int, height: int, letter: float) -> np.ndarray:
    """uint8 [height, width, 3]: a number on the ground; the same few hundred are drawn again and again."""
    image = np.full((height, width, 3), GROUND, np.uint8)
    size = fitting(text, letter, width - 2)
    letters(image, text, (width / 2, (height + size) / 2), size, INK, "middle")
    image.flags.writeable = False
    return image
