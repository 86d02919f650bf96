"""Preview: the source video with what was found in it drawn over it, to check faces and coefficients by eye.

In: a coefficient table (final or raw) and the video that it came from. Out, by the suffix of the output: a
video of every frame with bars beside it (.mp4, .mov, .mkv), one sheet of frames spread over the clip (.png,
.jpg), or, without a suffix, a folder with one image per frame. Frames are matched to rows by their PTS, so a
table of a time range or of a variable-rate clip meets its own frames. Where a table holds several people,
all are drawn with their numbers; the bars are the main subject's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from facecap_batch.coefficients import CoefficientTable, read_parquet, read_tracks
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.overlay import GROUND, Panel, annotate
from facecap_batch.storage.publish import StoragePath, published, storage_path
from facecap_batch.video.container import opened, time_origin, video_stream
from facecap_batch.video.decoder import Video
from facecap_batch.video.formats.limits import Limits
from facecap_batch.video.views import SAME_SHAPE_WITHIN

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
SHEET_COLUMNS = 4
SHEET_CELL_HEIGHT = 270  # pixels
MIN_HEIGHT = 32  # pixels

Progress = Callable[[int], None]  # called with the number of frames drawn so far
RowImage = tuple[int, np.ndarray]  # a row of the table; its image, uint8 [H, W, 3] RGB


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
    progress: Progress | None = None,
) -> int:
    """Draw a preview of one clip; the output appears when it is complete.

    Args:
        table_path: a table written by a run, from ``coefficients/`` or ``raw/``.
        video_path: the video that the table was made from; a path or a URI.
        output: a video, an image (a sheet) or a folder, by its suffix.
        raw_path: the raw table of the same clip; its values are marked beside those of `table_path`.
        height: pixels, of a video's or a folder's images.
        every: draw each n-th frame only; videos and folders.
        sheet_frames: frames on a sheet, spread evenly.
        progress: called with the number of frames drawn so far.

    Returns:
        How many frames were drawn, at least 1.

    Raises:
        BadPreview: the output's suffix or an argument makes no preview, or no frame belongs to the table.
        BadVideo: the video cannot be opened.
        OSError: the output cannot be written.
    """
    tracks = read_tracks(storage_path(table_path))
    table = tracks[0]
    raw = None if raw_path is None else read_parquet(storage_path(raw_path))
    if raw is not None and not np.array_equal(raw.pts, table.pts):
        raise BadPreview(f"{raw_path} is not the raw table of {table_path}: their frames differ")
    if every < 1 or sheet_frames < 1 or height < MIN_HEIGHT:
        raise BadPreview(
            f"every and sheet_frames must be at least 1, height at least {MIN_HEIGHT} pixels; they are "
            f"{every}, {sheet_frames} and {height}"
        )
    output = storage_path(output)
    suffix = output.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        images = _with_panel(video_path, tracks, raw, range(0, len(table), every), height)
        drawn = _write_video(output, table, images, progress)
    elif suffix in IMAGE_SUFFIXES:
        spread = np.linspace(0, max(len(table) - 1, 0), min(sheet_frames, len(table)))
        rows = np.unique(spread.round().astype(int)).tolist()
        drawn = _write_sheet(output, _annotated(video_path, tracks, rows, SHEET_CELL_HEIGHT), progress)
    elif not suffix:
        images = _with_panel(video_path, tracks, raw, range(0, len(table), every), height)
        drawn = _write_folder(output, table, images, progress)
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
    wanted = deque(sorted(rows))
    if not wanted:
        return
    rows_at: dict[int, deque[int]] = {}
    for row, pts in enumerate(table.pts.tolist()):
        rows_at.setdefault(pts, deque()).append(row)
    size = (table.info.width, table.info.height)
    limits = Limits.beside(*size, len(table))
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
                image = frame.rotated(rotation_degrees).rgb()
                if image.shape[1::-1] != size and _same_shape(image.shape[1::-1], size):
                    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                yield row, image
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


def _annotated(
    video_path: str | Path, tracks: Sequence[CoefficientTable], rows: Sequence[int], height: int
) -> Iterator[RowImage]:
    table = tracks[0]
    width: int | None = None
    for row, image in matched_frames(video_path, table, rows):
        others = None if table.shot is None else _others(tracks, int(table.frame_index[row]))
        drawn = annotate(image, table, row, height, others)
        width = drawn.shape[1] if width is None else width
        yield row, _letterboxed(drawn, width)


def _others(tracks: Sequence[CoefficientTable], frame: int) -> list[tuple[CoefficientTable, int]]:
    """Table and row of everyone but the main subject who has one for a frame."""
    rows = ((table, frame - int(table.frame_index[0])) for table in tracks[1:])
    return [(table, row) for table, row in rows if 0 <= row < len(table)]


def _same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """True where width over height is that of the other, to a rounding to whole blocks."""
    return abs(first[0] * second[1] / (first[1] * second[0]) - 1) <= SAME_SHAPE_WITHIN


def _letterboxed(image: np.ndarray, width: int) -> np.ndarray:
    """`image` uint8 [H, W, 3] on a black one of [H, width, 3], shrunk where it is too wide."""
    height = image.shape[0]
    if image.shape[1] > width:
        shrunk = max(1, round(height * width / image.shape[1]))
        image = cv2.resize(image, (width, shrunk), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def _with_panel(
    video_path: str | Path,
    tracks: Sequence[CoefficientTable],
    raw: CoefficientTable | None,
    rows: Sequence[int],
    height: int,
) -> Iterator[RowImage]:
    height -= height % 2  # 4:2:0 video has even sides
    panel = Panel(height)
    for row, image in _annotated(video_path, tracks, rows, height):
        yield row, np.hstack([image, panel.draw(tracks[0], row, raw)])


def _write_video(
    output: StoragePath, table: CoefficientTable, images: Iterator[RowImage], progress: Progress | None
) -> int:
    """Write H.264 with the source's own timing; a clip of which nothing was drawn leaves no file."""
    item = next(images, None)
    if item is None:
        return 0
    drawn = 0
    with published(output) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=table.info.fps)
        stream.width, stream.height = item[1].shape[1], item[1].shape[0]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = table.info.time_base
        last_pts = -1
        while item is not None:
            row, image = item
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base = table.info.time_base
            # Players need rising times, which a damaged file may not have.
            last_pts = frame.pts = max(last_pts + 1, int(table.pts[row]) - int(table.pts[0]))
            container.mux(stream.encode(frame))
            drawn += 1
            if progress:
                progress(drawn)
            item = next(images, None)
        container.mux(stream.encode(None))
    return drawn


def _write_sheet(output: StoragePath, cells: Iterator[RowImage], progress: Progress | None) -> int:
    images = []
    for _, image in cells:
        images.append(image)
        if progress:
            progress(len(images))
    if not images:
        return 0
    columns = min(SHEET_COLUMNS, len(images))
    height, width = images[0].shape[:2]
    sheet = np.full((math.ceil(len(images) / columns) * height, columns * width, 3), GROUND, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = image
    _write_image(output, sheet)
    return len(images)


def _write_folder(
    output: StoragePath, table: CoefficientTable, images: Iterator[RowImage], progress: Progress | None
) -> int:
    drawn = 0
    for row, image in images:
        _write_image(output / f"{int(table.frame_index[row]):06d}.jpg", image)
        drawn += 1
        if progress:
            progress(drawn)
    return drawn


def _write_image(path: StoragePath, image: np.ndarray) -> None:
    encoded, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise OSError(f"{path} cannot be encoded as {path.suffix}")
    with published(path) as temporary:
        temporary.write_bytes(data.tobytes())
