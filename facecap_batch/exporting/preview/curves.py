"""The curves of a take below its picture, with a line at the frame that is shown.

In: a coefficient table. Out: an image, drawn once; the line is moved by giving back what it covered. Lanes
are parts of the face from the brows down, with the channels that move farthest, a pair as the mean of its
sides; then the head's turn. Each lane reaches from 0 to what it reaches in this take.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.preview.channels import MOVES, all_lines
from facecap_batch.exporting.preview.style import (
    DIM,
    FILLED,
    GROOVE,
    GROUND,
    INK,
    LOST,
    SEEN,
    Colour,
    fitting,
    letters,
)

LANES = ("brow", "eye", "jaw", "mouth")  # groups of channels with a lane of their own
PER_LANE = 4  # curves
COLOURS: tuple[Colour, ...] = ((255, 165, 85), (100, 175, 255), (120, 205, 150), (235, 130, 190))
MIN_REACH = 0.25  # a lane of small movements is not stretched beyond it
MIN_TURN = 10.0  # degrees; the same of the head's
_LEGEND = 0.135  # of the width, on the left
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)  # seconds between two marks
_MOST_MARKS = 10
_BITS = 4  # fractional bits of the points that OpenCV draws


@dataclasses.dataclass(frozen=True, eq=False)
class _Lane:
    names: tuple[str, ...]
    values: np.ndarray  # float64 [N, curves]
    lowest: float
    highest: float
    unit: str


class Curves:
    """The curves of one take in one size."""

    def __init__(self, width: int, height: int, table: CoefficientTable) -> None:
        """Draw the curves of `table` on `width` by `height` pixels."""
        seconds = table.time_s() - (table.time_s()[:1] if len(table) else 0)
        duration = max(float(seconds[-1]), 1e-3) if len(table) else 1.0
        self._left = round(_LEGEND * width)
        self._right = width - 8
        self._x = self._left + seconds / duration * (self._right - self._left)  # pixels, of every row
        self._letter = min(0.011 * width, 0.05 * height)
        self._foot = round(2.6 * self._letter)  # pixels, of times and the strip that shows what was seen
        self.ground = np.full((height, width, 3), GROUND, np.uint8)
        lanes = _lanes(table)
        lane_height = (height - self._foot) / max(len(lanes), 1)
        for number, lane in enumerate(lanes):
            self._draw_lane(lane, number * lane_height, lane_height)
        self._draw_times(duration, height)
        self._draw_seen(table, height)

    def column(self, row: int) -> int:
        """Pixels from the left, even: where the line of a row of the table stands."""
        return round(float(self._x[row])) // 2 * 2

    def _draw_lane(self, lane: _Lane, top: float, height: float) -> None:
        y0, y1 = round(top) + 4, round(top + height) - 4
        image = self.ground
        image[y0:y1, self._left : self._right] = (30, 30, 35)
        span = lane.highest - lane.lowest
        zero = round(y1 - (0 - lane.lowest) / span * (y1 - y0))
        cv2.line(image, (self._left, min(zero, y1 - 1)), (self._right, min(zero, y1 - 1)), GROOVE, 1)
        step = min((y1 - y0) / PER_LANE, 1.9 * self._letter)
        for number, name in enumerate(lane.names):
            colour = COLOURS[number]
            y = y1 - (lane.values[:, number] - lane.lowest) / span * (y1 - y0)
            for points in _unbroken(self._x, y):
                fixed = np.round(points * (1 << _BITS)).astype(np.int32)[:, None]
                cv2.polylines(image, [fixed], False, colour, 1, cv2.LINE_AA, _BITS)
            size = fitting(name, min(self._letter, 0.62 * step), self._left - 46)
            letters(image, name, (6, y0 + (number + 0.75) * step), size, colour)
        letters(image, f"{lane.highest:.2g}{lane.unit}", (self._left - 4, y0 + 0.8 * self._letter),
                0.75 * self._letter, DIM, "right")  # fmt: skip
        if lane.lowest < 0:
            at = self._left - 4, y1
            letters(image, f"{lane.lowest:.2g}{lane.unit}", at, 0.75 * self._letter, DIM, "right")

    def _draw_times(self, duration: float, height: int) -> None:
        step = next((step for step in _STEPS_S if duration / step <= _MOST_MARKS), _STEPS_S[-1])
        for number in range(int(duration / step) + 1):
            x = round(self._left + number * step / duration * (self._right - self._left))
            cv2.line(self.ground, (x, height - self._foot), (x, height - self._foot + 3), DIM, 1)
            text = _time_text(number * step, step)
            anchor = "right" if x > self._right - 3 * self._letter else "left" if not number else "middle"
            letters(self.ground, text, (x, height - 0.4 * self._letter), 0.8 * self._letter, DIM, anchor)

    def _draw_seen(self, table: CoefficientTable, height: int) -> None:
        """A strip that is green where the face was seen, orange where interpolated, red where neither."""
        known = np.isfinite(table.box).all(axis=1)
        edges = np.round(np.append(self._x, self._right)).astype(int)
        top = height - self._foot - 3
        for row in range(len(table)):
            colour = SEEN if table.face_found[row] else FILLED if known[row] else LOST
            self.ground[top : top + 3, edges[row] : max(edges[row + 1], edges[row] + 1)] = colour

    def draw_line(self, image: np.ndarray, row: int, before: int | None) -> None:
        """Move the line.

        Args:
            image: uint8 [height, width, 3] RGB, with the curves; drawn into.
            row: where it goes.
            before: the row where it is; None: nowhere yet.
        """
        if before is not None:
            old = self.column(before)
            image[:, old : old + 2] = self.ground[:, old : old + 2]
        new = self.column(row)
        image[: -self._foot, new : new + 2] = INK


def _lanes(table: CoefficientTable) -> list[_Lane]:
    lanes = []
    for group in LANES:
        lines = [line for line in all_lines(table.shape_names) if line.group == group]
        values = {line.name: line.values(table.coefficients).astype(np.float64) for line in lines}
        reach = {name: _reach(column) for name, column in values.items()}
        farthest = sorted(reach, key=lambda name: -reach[name])[:PER_LANE]
        names = tuple(name for name in values if name in farthest and reach[name] >= MOVES / 2)
        if names:
            block = np.stack([values[name] for name in names], axis=1)
            lanes.append(_Lane(names, block, 0.0, max(MIN_REACH, float(np.nanmax(block))), ""))
    turn = np.degrees(table.head[:, :3].astype(np.float64))
    if np.isfinite(turn).any():
        highest = max(MIN_TURN, float(np.nanmax(turn)))
        lowest = min(-MIN_TURN, float(np.nanmin(turn)))
        lanes.append(_Lane(("head yaw", "pitch", "roll"), turn, lowest, highest, " deg"))
    return lanes


def _reach(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.ptp(known)) if len(known) else 0.0


def _unbroken(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """The pieces of a curve between unknown values: float [M, 2] each."""
    known = np.flatnonzero(np.isfinite(y))
    pieces = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(known) else []
    return [np.stack([x[piece], y[piece]], axis=1) for piece in pieces]


def _time_text(seconds: float, step: float) -> str:
    if step < 1:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
