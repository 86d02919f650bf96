"""What a preview draws over a frame: the face box, the head's axes, the frame's number and time, the
coefficients.

In: an upright picture and one row of a `CoefficientTable`. Out: a picture. Nothing is read or written here.
"""

from __future__ import annotations

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


def annotate(image: np.ndarray, table: CoefficientTable, row: int, height: int) -> np.ndarray:
    """The frame scaled to `height` pixels with box, axes and caption: uint8 [height, W, 3] RGB, W even.

    image: uint8 [H, W, 3] RGB, upright, the picture that `table`'s boxes are in.
    """
    source_height, source_width = image.shape[:2]
    scale = height / source_height
    width = max(2, round(source_width * scale) // 2 * 2)
    shrinking = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(image, (width, height), interpolation=shrinking)
    known = bool(np.isfinite(table.box[row]).all())
    colour = SEEN if table.face_found[row] else FILLED if known else LOST
    thick = max(1, height // 360)
    if known:
        x0, y0, x1, y1 = (round(float(edge) * scale) for edge in table.box[row])
        cv2.rectangle(picture, (x0, y0), (x1, y1), colour, thick, cv2.LINE_AA)
    if np.isfinite(table.head[row]).all():
        _draw_axes(
            picture, table.head[row].astype(np.float64), max(source_width, source_height) * scale, thick
        )
    if not known:
        cv2.rectangle(picture, (0, 0), (width - 1, height - 1), LOST, 2 * thick)
    _caption(picture, _words(table, row, known), colour)
    return picture


def _words(table: CoefficientTable, row: int, known: bool) -> str:
    time_s = float(int(table.pts[row]) * table.info.time_base)
    words = f"frame {table.frame_index[row]}  {time_s:.3f} s"
    if table.face_found[row]:
        score = float(table.score[row])
        return words if np.isnan(score) else f"{words}  score {score:.2f}"
    return f"{words}  interpolated" if known else f"{words}  NO FACE"


def _caption(picture: np.ndarray, words: str, colour: tuple[int, int, int]) -> None:
    """Words at the top left on a dark ground, as large as the picture allows."""
    height, width = picture.shape[:2]
    size = height / 1300 + 0.2
    (across, down), _ = cv2.getTextSize(words, _FONT, size, 1)
    size *= min(1.0, (width - 8) / max(across, 1))
    (across, down), _ = cv2.getTextSize(words, _FONT, size, 1)
    cv2.rectangle(picture, (0, 0), (across + 8, down + 10), GROUND, -1)
    cv2.putText(picture, words, (4, down + 5), _FONT, size, colour, 1, cv2.LINE_AA)


def _draw_axes(picture: np.ndarray, head: np.ndarray, long_side: float, thick: int) -> None:
    """The head's axes from between the eyes, through the camera that the pose was computed with."""
    height, width = picture.shape[:2]
    focal = FOCAL_PER_LONG_SIDE * long_side
    rotation = matrix_from_euler(head[:3])
    points = head[3:] + np.concatenate([np.zeros((1, 3)), AXIS_CM * rotation.T])
    if (points[:, 2] > -1.0).any():  # behind or in the camera: nothing to draw
        return
    places = np.stack(
        [
            width / 2 + focal * points[:, 0] / -points[:, 2],
            height / 2 - focal * points[:, 1] / -points[:, 2],
        ],
        axis=1,
    )
    if np.abs(places).max() > 1e4:
        return
    origin = (round(places[0, 0]), round(places[0, 1]))
    for (x, y), colour in zip(places[1:], AXIS_COLOURS, strict=True):
        cv2.line(picture, origin, (round(x), round(y)), colour, thick, cv2.LINE_AA)


class Panel:
    """The bars beside a frame: one a coefficient, a mark where the raw value stood, the head below."""

    def __init__(self, height: int) -> None:
        """`height` in pixels; below about 500 the labels are left out for want of room."""
        self.height = height
        self._step = height / (len(ARKIT_NAMES) + 4)
        self._ground = np.full((height, PANEL_WIDTH, 3), GROUND, np.uint8)
        if self._step >= 9:
            for number, name in enumerate(ARKIT_NAMES):
                self._write(self._ground, name, number, DIM)

    def draw(self, table: CoefficientTable, row: int, raw: CoefficientTable | None = None) -> np.ndarray:
        """uint8 [height, PANEL_WIDTH, 3] RGB for one row; `raw` adds the unsolved values of the same row."""
        picture = self._ground.copy()
        left, full = _LABEL_WIDTH, PANEL_WIDTH - _LABEL_WIDTH - 6
        values = table.coefficients[row]
        colour = SEEN if table.face_found[row] else FILLED
        for number in range(len(ARKIT_NAMES)):
            top, bottom = round(number * self._step) + 1, round((number + 1) * self._step) - 1
            cv2.line(picture, (left, bottom), (left + full, bottom), (44, 44, 48), 1)
            if np.isfinite(values[number]):
                end = left + round(full * float(np.clip(values[number], 0, 1)))
                cv2.rectangle(picture, (left, top), (end, max(top, bottom - 1)), colour, -1)
            if raw is not None and np.isfinite(raw.coefficients[row, number]):
                mark = left + round(full * float(np.clip(raw.coefficients[row, number], 0, 1)))
                cv2.line(picture, (mark, top), (mark, max(top, bottom - 1)), RAW_MARK, 1)
        head = table.head[row].astype(np.float64)
        if np.isfinite(head).all() and self._step >= 9:
            yaw, pitch, roll = np.degrees(head[:3])
            x, y, z = head[3:]
            self._write(picture, f"yaw {yaw:6.1f}  pitch {pitch:6.1f}  roll {roll:6.1f} deg", 52, INK)
            self._write(picture, f"x {x:6.1f}  y {y:6.1f}  z {z:6.1f} cm", 53, INK)
        return picture

    def _write(self, picture: np.ndarray, words: str, line: int, colour: tuple[int, int, int]) -> None:
        base = round((line + 1) * self._step) - 3
        cv2.putText(picture, words, (6, base), _FONT, self._step / 38, colour, 1, cv2.LINE_AA)
