"""Frames of a video matched to the rows of the table that was made from it, by their PTS.

In: a table of a clip and its video. Out: the images of the rows that are wanted, so that a table of a time
range or of a variable-rate clip meets its own frames.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.video.container import opened, time_origin, video_stream
from facecap_batch.video.decoder import Video
from facecap_batch.video.formats.limits import Limits
from facecap_batch.video.frame import Frame
from facecap_batch.video.views import SAME_SHAPE_WITHIN

RowImage = tuple[int, np.ndarray]  # a row of the table; its image, uint8 [H, W, 3] RGB


@dataclasses.dataclass(frozen=True, eq=False)
class RowPicture:
    """The frame of a row, scaled to fit."""

    row: int
    image: np.ndarray  # uint8 [H, W, 3] RGB, upright
    scale: float  # its pixels per pixel that the row's box and landmarks count in


def matched_frames(
    video_path: str | Path, table: CoefficientTable, rows: Sequence[int]
) -> Iterator[RowImage]:
    """The images of the wanted rows, in ascending order, each row at most once.

    The video is read from the keyframe before the first wanted row, and only wanted frames are converted.
    Damaged videos are shown as far as they decode. An image of another size than the table's is scaled to it;
    one of another shape, whose boxes refer to its own pixels, is not.

    Args:
        video_path: a path or a URI.
        table: gives the PTS of each row, and the rotation and size of the images.
        rows: rows of `table`.

    Yields:
        The row, and uint8 [H, W, 3] RGB, upright as the table has it.
    """
    size = (table.info.width, table.info.height)
    for row, frame in _frames(video_path, table, rows):
        image = frame.rgb()
        if image.shape[1::-1] != size and _same_shape(image.shape[1::-1], size):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        yield row, image


def fitted_frames(
    video_path: str | Path, table: CoefficientTable, rows: Sequence[int], width: int, height: int
) -> Iterator[RowPicture]:
    """As `matched_frames`, each scaled to be as large as fits into `width` by `height` pixels.

    Rows and columns are even numbers: swscale converts others at half the speed.
    """
    for row, frame in _frames(video_path, table, rows):
        down = max(2, min(height, width * frame.height // frame.width) // 2 * 2)
        across = max(2, round(frame.width * down / frame.height / 2) * 2)
        own = _same_shape((frame.width, frame.height), (table.info.width, table.info.height))
        yield RowPicture(row, frame.scaled(across, down), down / (table.info.height if own else frame.height))


def _frames(
    video_path: str | Path, table: CoefficientTable, rows: Sequence[int]
) -> Iterator[tuple[int, Frame]]:
    wanted = deque(sorted(rows))
    if not wanted:
        return
    rows_at: dict[int, deque[int]] = {}
    for row, pts in enumerate(table.pts.tolist()):
        rows_at.setdefault(pts, deque()).append(row)
    limits = Limits.beside(table.info.width, table.info.height, len(table))
    start = _start_of(video_path, table, wanted, limits)
    with Video(video_path, start, damage="keep", limits=limits) as video:
        rotation_degrees = table.info.rotation - video.info.orientation.rotation
        for frame in video.frames():
            candidates = rows_at.get(frame.pts)
            if not candidates:
                continue
            row = candidates.popleft()
            while wanted and wanted[0] < row:
                wanted.popleft()  # a row whose frame did not decode this time
            if wanted and wanted[0] == row:
                wanted.popleft()
                yield row, frame.rotated(rotation_degrees)
            if not wanted:
                return


def _start_of(
    video_path: str | Path, table: CoefficientTable, rows: Sequence[int], limits: Limits
) -> Fraction | None:
    """Seconds at which the decoder must begin to show all `rows`, as `Video` counts them; None: the start.

    Raises BadVideo where the file cannot be opened.
    """
    with opened(str(video_path), limits) as container:
        origin = time_origin(container, video_stream(container, str(video_path)))
    start = min(int(table.pts[row]) for row in rows) * table.info.time_base - origin
    return start if start > 0 else None


def _same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """True where width over height is that of the other, to a rounding to whole blocks."""
    return abs(first[0] * second[1] / (first[1] * second[0]) - 1) <= SAME_SHAPE_WITHIN
