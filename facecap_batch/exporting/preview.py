"""Preview: the source video with what was found in it drawn over it, to check faces and coefficients by eye.

In: a coefficient table (final or raw) and the video that it came from. Out, by the suffix of the output: a
video of every frame with bars beside it (.mp4, .mov, .mkv), one sheet of frames spread over the clip (.png,
.jpg), or, without a suffix, a folder with one image a frame. Frames are matched to rows by their pts, so a
table of a time range or of a variable-rate clip meets its own frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from facecap_batch.coefficients import CoefficientTable, read_parquet
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.overlay import GROUND, Panel, annotate
from facecap_batch.storage.publish import StoragePath, published, storage_path
from facecap_batch.video.decoder import Video

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
SHEET_COLUMNS = 4
SHEET_CELL_HEIGHT = 270  # pixels


class BadPreview(FacecapError):
    """A preview cannot be made: an unknown kind of output, or a table that does not belong to the video."""


def preview(
    table_path: str | StoragePath,
    video_path: str | Path,
    output: str | StoragePath,
    *,
    raw_path: str | StoragePath | None = None,
    height: int = 720,
    every: int = 1,
    sheet_frames: int = 12,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Draw a preview of one clip; returns how many frames were drawn.

    table_path: a table written by a run, from ``coefficients/`` or ``raw/``. raw_path: the raw table of the
    same clip, to mark what the networks said beside what the solve made of it. height: pixels of a video's
    or a folder's images. every: draw each n-th frame only (video and folder). sheet_frames: frames on a
    sheet, spread evenly. progress is called with the number of frames drawn so far.

    Raises BadPreview, BadVideo, or OSError where the output cannot be written. The output appears when
    complete.
    """
    table = read_parquet(storage_path(table_path))
    raw = None if raw_path is None else read_parquet(storage_path(raw_path))
    if raw is not None and not np.array_equal(raw.pts, table.pts):
        raise BadPreview(f"{raw_path} is not the raw table of {table_path}: their frames differ")
    if every < 1 or sheet_frames < 1 or height < 32:
        raise BadPreview("every and sheet_frames must be at least 1, height at least 32 pixels")
    output = storage_path(output)
    kind = output.suffix.lower()
    if kind in VIDEO_SUFFIXES:
        pictures = _with_panel(video_path, table, raw, range(0, len(table), every), height)
        drawn = _write_video(output, table, pictures, progress)
    elif kind in IMAGE_SUFFIXES:
        spread = np.linspace(0, max(len(table) - 1, 0), min(sheet_frames, len(table)))
        rows = np.unique(spread.round().astype(int))
        cells = _annotated(video_path, table, rows, SHEET_CELL_HEIGHT)
        drawn = _write_sheet(output, cells, progress)
    elif not kind:
        pictures = _with_panel(video_path, table, raw, range(0, len(table), every), height)
        drawn = _write_folder(output, table, pictures, progress)
    else:
        known = " ".join((*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))
        raise BadPreview(
            f"{output.name}: a preview is a video or an image ({known}), or a folder without a suffix"
        )
    if not drawn:
        raise BadPreview(
            f"no frame of {video_path} belongs to {table_path}; give the video that it was made from"
        )
    return drawn


def matched_frames(
    video_path: str | Path, table: CoefficientTable, rows: Any
) -> Iterator[tuple[int, np.ndarray]]:
    """The pictures of the wanted rows: (row, uint8 [H, W, 3] RGB, upright as the table has it), in order.

    The video is read from its beginning, and only wanted frames are converted. What is damaged is shown as
    far as it decodes. A picture of another size than the table's is scaled to it.
    """
    wanted = sorted(int(row) for row in rows)
    place = 0
    by_pts: dict[int, list[int]] = {}
    for row, pts in enumerate(table.pts.tolist()):
        by_pts.setdefault(pts, []).append(row)
    size = (table.info.width, table.info.height)
    with Video(video_path, damage="keep") as video:
        turn = table.info.rotation - video.info.orientation.rotation
        for frame in video.frames():
            if place == len(wanted):
                return
            same = by_pts.get(frame.pts)
            row = same.pop(0) if same else -1
            while place < len(wanted) and row > wanted[place]:
                place += 1  # a row whose frame did not decode this time
            if place < len(wanted) and row == wanted[place]:
                picture = frame.rotated(turn).rgb()
                if picture.shape[1::-1] != size:
                    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
                yield row, picture
                place += 1


def _annotated(
    video_path: str | Path, table: CoefficientTable, rows: Any, height: int
) -> Iterator[tuple[int, np.ndarray]]:
    for row, picture in matched_frames(video_path, table, rows):
        yield row, annotate(picture, table, row, height)


def _with_panel(
    video_path: str | Path, table: CoefficientTable, raw: CoefficientTable | None, rows: Any, height: int
) -> Iterator[tuple[int, np.ndarray]]:
    height -= height % 2  # 4:2:0 video has even sides
    panel = Panel(height)
    for row, picture in _annotated(video_path, table, rows, height):
        yield row, np.hstack([picture, panel.draw(table, row, raw)])


def _write_video(
    output: StoragePath,
    table: CoefficientTable,
    pictures: Iterator[tuple[int, np.ndarray]],
    progress: Callable[[int], None] | None,
) -> int:
    """H.264 with the source's own timing. A clip of which nothing was drawn leaves no file."""
    first = next(pictures, None)
    if first is None:
        return 0
    drawn = 0
    with published(output) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=table.info.fps)
        stream.width, stream.height = first[1].shape[1], first[1].shape[0]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = table.info.time_base
        last = -1
        while first is not None:
            row, picture = first
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base = table.info.time_base
            # Players want rising times, which a damaged file may not have.
            last = frame.pts = max(last + 1, int(table.pts[row]) - int(table.pts[0]))
            container.mux(stream.encode(frame))
            drawn += 1
            if progress:
                progress(drawn)
            first = next(pictures, None)
        container.mux(stream.encode(None))
    return drawn


def _write_sheet(
    output: StoragePath, cells: Iterator[tuple[int, np.ndarray]], progress: Callable[[int], None] | None
) -> int:
    pictures = []
    for _, picture in cells:
        pictures.append(picture)
        if progress:
            progress(len(pictures))
    if not pictures:
        return 0
    columns = min(SHEET_COLUMNS, len(pictures))
    height, width = pictures[0].shape[:2]
    sheet = np.full((math.ceil(len(pictures) / columns) * height, columns * width, 3), GROUND, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = picture
    _write_image(output, sheet)
    return len(pictures)


def _write_folder(
    output: StoragePath,
    table: CoefficientTable,
    pictures: Iterator[tuple[int, np.ndarray]],
    progress: Callable[[int], None] | None,
) -> int:
    drawn = 0
    for row, picture in pictures:
        _write_image(output / f"{int(table.frame_index[row]):06d}.jpg", picture)
        drawn += 1
        if progress:
            progress(drawn)
    return drawn


def _write_image(path: StoragePath, picture: np.ndarray) -> None:
    done, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError(f"{path} cannot be encoded")
    with published(path) as temporary:
        temporary.write_bytes(data.tobytes())
