"""What a preview draws over a frame: face boxes, landmarks, the axes of heads, the frame's number and time,
the coefficients.

In: an upright image and one row of a `CoefficientTable` of every person in it. Out: an image. Nothing is
read or written here.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.geometry import FOCAL_PER_LONG_SIDE, matrix_from_euler

# RGB.
SEEN = (90, 220, 120)
FILLED = (255, 190, 60)  # values interpolated over a gap
LOST = (240, 80, 80)
INK = (235, 235, 235)
DIM = (110, 110, 110)
GROUND = (24, 24, 28)
RAW_MARK = (250, 250, 120)
AXIS_COLOURS = ((240, 90, 90), (90, 220, 120), (100, 150, 255))  # x subject's left, y up, z out of the face
AXIS_CM = 9.0

PANEL_WIDTH = 288
_LABEL_WIDTH = 132
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(
    image: np.ndarray,
    table: CoefficientTable,
    row: int,
    height: int,
    others: Sequence[tuple[CoefficientTable, int]] | None = None,
) -> np.ndarray:
    """Draw box, landmarks, axes and caption of a row over its frame, and the same of other people.

    Args:
        image: uint8 [H, W, 3] RGB, upright, of the size that `table`'s boxes refer to.
        table: the clip.
        row: the frame's row in `table`.
        height: pixels, of the result.
        others: of the other people in the frame, table and row; then everyone's number is drawn, too. None:
            of a clip in which nobody else was looked for.

    Returns:
        uint8 [height, W, 3] RGB, W even: the frame scaled to `height`.
    """
    source_height, source_width = image.shape[:2]
    scale = height / source_height
    width = max(2, round(source_width * scale) // 2 * 2)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    drawn = cv2.resize(image, (width, height), interpolation=interpolation)
    known = bool(np.isfinite(table.box[row]).all())
    for person, at in ((table, row), *(others or ())):
        _draw_person(drawn, person, at, scale, max(source_width, source_height) * scale)
        if others is not None:
            _draw_number(drawn, person, at, scale)
    if not known:
        cv2.rectangle(drawn, (0, 0), (width - 1, height - 1), LOST, 2 * _thick(height))
    _draw_caption(drawn, _caption(table, row, known), _colour(table, row))
    return drawn


def _colour(table: CoefficientTable, row: int) -> tuple[int, int, int]:
    known = bool(np.isfinite(table.box[row]).all())
    return SEEN if table.face_found[row] else FILLED if known else LOST


def _thick(height: int) -> int:
    return max(1, height // 360)


def _draw_person(
    image: np.ndarray, table: CoefficientTable, row: int, scale: float, long_side: float
) -> None:
    """Draw box, landmarks and axes of one person; `long_side`: of the image, pixels."""
    thick = _thick(image.shape[0])
    if np.isfinite(table.box[row]).all():
        x0, y0, x1, y1 = (round(float(edge) * scale) for edge in table.box[row])
        cv2.rectangle(image, (x0, y0), (x1, y1), _colour(table, row), thick, cv2.LINE_AA)
    for x, y in table.landmarks[row] * scale:
        if 0 <= x < image.shape[1] and 0 <= y < image.shape[0]:  # not of points that are not known
            cv2.circle(image, (int(x), int(y)), thick, _colour(table, row), -1, cv2.LINE_AA)
    if np.isfinite(table.head[row]).all():
        _draw_axes(image, table.head[row].astype(np.float64), long_side, thick)


def _draw_number(image: np.ndarray, table: CoefficientTable, row: int, scale: float) -> None:
    """Draw the number of a person at the box's lower left corner."""
    if np.isfinite(table.box[row]).all():
        at = round(float(table.box[row, 0]) * scale) + 3, round(float(table.box[row, 3]) * scale) - 4
        size = image.shape[0] / 900 + 0.2
        cv2.putText(image, str(table.track), at, _FONT, size, GROUND, 4, cv2.LINE_AA)
        cv2.putText(image, str(table.track), at, _FONT, size, _colour(table, row), 1, cv2.LINE_AA)


def _caption(table: CoefficientTable, row: int, known: bool) -> str:
    time_s = float(int(table.pts[row]) * table.info.time_base)
    text = f"frame {table.frame_index[row]}  {time_s:.3f} s"
    if table.face_found[row]:
        score = float(table.score[row])
        return text if np.isnan(score) else f"{text}  score {score:.2f}"
    return f"{text}  interpolated" if known else f"{text}  NO FACE"


def _draw_caption(image: np.ndarray, text: str, colour: tuple[int, int, int]) -> None:
    """Draw `text` at the top left on a dark background, as large as the image allows."""
    height, width = image.shape[:2]
    size = height / 1300 + 0.2
    (text_width, text_height), _ = cv2.getTextSize(text, _FONT, size, 1)
    size *= min(1.0, (width - 8) / max(text_width, 1))
    (text_width, text_height), _ = cv2.getTextSize(text, _FONT, size, 1)
    cv2.rectangle(image, (0, 0), (text_width + 8, text_height + 10), GROUND, -1)
    cv2.putText(image, text, (4, text_height + 5), _FONT, size, colour, 1, cv2.LINE_AA)


def _draw_axes(image: np.ndarray, head: np.ndarray, long_side: float, thick: int) -> None:
    """Draw the head's axes from between the eyes, through the camera that the pose was computed with.

    Args:
        image: uint8 [H, W, 3]; drawn into.
        head: float64 [6], radians and centimetres, as `CoefficientTable.head`.
        long_side: pixels, of the image that the focal length is derived from, at the scale of `image`.
        thick: pixels, of a line.
    """
    height, width = image.shape[:2]
    focal = FOCAL_PER_LONG_SIDE * long_side
    rotation = matrix_from_euler(head[:3])
    points = head[3:] + np.concatenate([np.zeros((1, 3)), AXIS_CM * rotation.T])
    if (points[:, 2] > -1.0).any():  # behind or in the camera: nothing to draw
        return
    projected = np.stack(
        [
            width / 2 + focal * points[:, 0] / -points[:, 2],
            height / 2 - focal * points[:, 1] / -points[:, 2],
        ],
        axis=1,
    )
    if np.abs(projected).max() > 1e4:  # pixels; far outside the image, beyond what OpenCV draws
        return
    origin = (round(projected[0, 0]), round(projected[0, 1]))
    for (x, y), colour in zip(projected[1:], AXIS_COLOURS, strict=True):
        cv2.line(image, origin, (round(x), round(y)), colour, thick, cv2.LINE_AA)


class Panel:
    """The bars beside a frame: one per coefficient, a mark at the raw value, the head's pose below."""

    def __init__(self, height: int) -> None:
        """Lay out the panel, `height` pixels high; below about 500 there is no space for labels."""
        self.height = height
        self._step = height / (len(ARKIT_NAMES) + 4)
        self._ground = np.full((height, PANEL_WIDTH, 3), GROUND, np.uint8)
        if self._step >= 9:
            for number, name in enumerate(ARKIT_NAMES):
                self._write(self._ground, name, number, DIM)

    def draw(self, table: CoefficientTable, row: int, raw: CoefficientTable | None = None) -> np.ndarray:
        """Draw one row.

        Args:
            table: the clip.
            row: a row of `table`.
            raw: the unsolved table of the same clip; its values are marked.

        Returns:
            uint8 [height, PANEL_WIDTH, 3] RGB.
        """
        image: np.ndarray = self._ground.copy()
        left, full = _LABEL_WIDTH, PANEL_WIDTH - _LABEL_WIDTH - 6
        values = table.coefficients[row]
        colour = SEEN if table.face_found[row] else FILLED
        for number in range(len(ARKIT_NAMES)):
            top, bottom = round(number * self._step) + 1, round((number + 1) * self._step) - 1
            cv2.line(image, (left, bottom), (left + full, bottom), (44, 44, 48), 1)
            if np.isfinite(values[number]):
                end = left + round(full * float(np.clip(values[number], 0, 1)))
                cv2.rectangle(image, (left, top), (end, max(top, bottom - 1)), colour, -1)
            if raw is not None and np.isfinite(raw.coefficients[row, number]):
                mark = left + round(full * float(np.clip(raw.coefficients[row, number], 0, 1)))
                cv2.line(image, (mark, top), (mark, max(top, bottom - 1)), RAW_MARK, 1)
        head = table.head[row].astype(np.float64)
        if np.isfinite(head).all() and self._step >= 9:
            yaw, pitch, roll = np.degrees(head[:3])
            x, y, z = head[3:]
            self._write(image, f"yaw {yaw:6.1f}  pitch {pitch:6.1f}  roll {roll:6.1f} deg", 52, INK)
            self._write(image, f"x {x:6.1f}  y {y:6.1f}  z {z:6.1f} cm", 53, INK)
        return image

    def _write(self, image: np.ndarray, text: str, line: int, colour: tuple[int, int, int]) -> None:
        base = round((line + 1) * self._step) - 3
        cv2.putText(image, text, (6, base), _FONT, self._step / 38, colour, 1, cv2.LINE_AA)
