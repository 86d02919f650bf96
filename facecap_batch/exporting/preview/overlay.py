"""What a preview draws over a frame: face boxes, landmarks, the axes of heads, the frame's number and time.

In: an upright image and one row of a `CoefficientTable` of every person in it. Out: an image. Nothing is
read or written here.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.preview.style import FILLED, FONT, GROUND, LOST, SEEN
from facecap_batch.geometry import focal_length, matrix_from_euler

AXIS_COLOURS = ((240, 90, 90), (90, 220, 120), (100, 150, 255))  # x subject's left, y up, z out of the face
AXIS_CM = 9.0


def annotate(image: np.ndarray, table: CoefficientTable, row: int, height: int) -> np.ndarray:
    """Scale a frame and draw box, landmarks, axes and caption of its row over it.

    Args:
        image: uint8 [H, W, 3] RGB, upright, of the size that `table`'s boxes refer to.
        table: the clip.
        row: the frame's row in `table`.
        height: pixels, of the result.

    Returns:
        uint8 [height, W, 3] RGB, W even.
    """
    scale = height / image.shape[0]
    width = max(2, round(image.shape[1] * scale) // 2 * 2)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    drawn = cv2.resize(image, (width, height), interpolation=interpolation)
    draw_over(drawn, table, row, scale, landmarks=True)
    return drawn


def draw_over(
    image: np.ndarray,
    table: CoefficientTable,
    row: int,
    scale: float,
    others: Sequence[tuple[CoefficientTable, int]] | None = None,
    landmarks: bool = False,
) -> None:
    """Draw box, axes and caption of a row over its frame, and the same of other people.

    Args:
        image: uint8 [H, W, 3] RGB, upright; drawn into.
        table: the clip.
        row: the frame's row in `table`.
        scale: pixels of `image` per pixel of `table`'s boxes.
        others: of the other people in the frame, table and row; then everyone's number is drawn, too. None:
            of a clip in which nobody else was looked for.
        landmarks: draw them as well.
    """
    height, width = image.shape[:2]
    known = bool(np.isfinite(table.box[row]).all())
    for person, at in ((table, row), *(others or ())):
        _draw_person(image, person, at, scale, landmarks)
        if others is not None:
            _draw_number(image, person, at, scale)
    if not known:
        cv2.rectangle(image, (0, 0), (width - 1, height - 1), LOST, 2 * _thick(height))
    _draw_caption(image, _caption(table, row, known), _colour(table, row))


def _colour(table: CoefficientTable, row: int) -> tuple[int, int, int]:
    known = bool(np.isfinite(table.box[row]).all())
    return SEEN if table.face_found[row] else FILLED if known else LOST


def _thick(height: int) -> int:
    return max(1, height // 360)


def _draw_person(image: np.ndarray, table: CoefficientTable, row: int, scale: float, landmarks: bool) -> None:
    """Draw box, axes and perhaps landmarks of one person."""
    thick = _thick(image.shape[0])
    if np.isfinite(table.box[row]).all():
        x0, y0, x1, y1 = (round(float(edge) * scale) for edge in table.box[row])
        cv2.rectangle(image, (x0, y0), (x1, y1), _colour(table, row), thick, cv2.LINE_AA)
    for x, y in table.landmarks[row] * scale if landmarks else ():
        if 0 <= x < image.shape[1] and 0 <= y < image.shape[0]:  # not of points that are not known
            cv2.circle(image, (int(x), int(y)), thick, _colour(table, row), -1, cv2.LINE_AA)
    if np.isfinite(table.head[row]).all():
        _draw_axes(image, table.head[row].astype(np.float64), thick)


def _draw_number(image: np.ndarray, table: CoefficientTable, row: int, scale: float) -> None:
    """Draw the number of a person at the box's lower left corner."""
    if np.isfinite(table.box[row]).all():
        at = round(float(table.box[row, 0]) * scale) + 3, round(float(table.box[row, 3]) * scale) - 4
        size = image.shape[0] / 900 + 0.2
        cv2.putText(image, str(table.track), at, FONT, size, GROUND, 4, cv2.LINE_AA)
        cv2.putText(image, str(table.track), at, FONT, size, _colour(table, row), 1, cv2.LINE_AA)


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
    (text_width, text_height), _ = cv2.getTextSize(text, FONT, size, 1)
    size *= min(1.0, (width - 8) / max(text_width, 1))
    (text_width, text_height), _ = cv2.getTextSize(text, FONT, size, 1)
    cv2.rectangle(image, (0, 0), (text_width + 8, text_height + 10), GROUND, -1)
    cv2.putText(image, text, (4, text_height + 5), FONT, size, colour, 1, cv2.LINE_AA)


def _draw_axes(image: np.ndarray, head: np.ndarray, thick: int) -> None:
    """Draw the head's axes from between the eyes, through the camera that the pose was computed with.

    Args:
        image: uint8 [H, W, 3]; drawn into.
        head: float64 [6], radians and centimetres, as `CoefficientTable.head`.
        thick: pixels, of a line.
    """
    height, width = image.shape[:2]
    focal = focal_length(width, height)
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
