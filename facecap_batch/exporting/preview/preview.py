"""Preview: the source video with what was found in it, to check faces and coefficients by eye.

In: a coefficient table (final or raw) and the video that it came from. Out, by the suffix of the output: a
video of every frame with its sound (.mp4, .mov, .mkv), one sheet of the frames that tell most (.png, .jpg),
or, without a suffix, a folder with one image per frame. Beside the actor an animated head does what the
numbers say. Where a table holds several people, all are drawn with their numbers; head, bars and curves are
the main subject's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import CoefficientTable, read_parquet, read_tracks
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.matched_frames import RowPicture, fitted_frames
from facecap_batch.exporting.preview.layout import Layout
from facecap_batch.exporting.preview.picture import CellPicture, Shown, VideoPicture
from facecap_batch.exporting.preview.sheet import write_image, write_sheet
from facecap_batch.exporting.preview.telling import spread_frames, telling_frames
from facecap_batch.exporting.preview.video_file import Progress, write_video
from facecap_batch.storage.publish import StoragePath, storage_path

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MIN_HEIGHT = 240  # pixels; in a smaller picture nothing can be read


class BadPreview(FacecapError):
    """A preview cannot be made: an unknown kind of output, or a table that does not belong to the video."""


@dataclasses.dataclass(frozen=True)
class PreviewSettings:
    """What is drawn."""

    height: int = 720  # pixels, of a video's or a folder's images; their width is 16/9 of it
    head: bool = True  # the animated head beside the actor
    landmarks: bool = False  # over the actor
    sound: bool = True  # that of the source, in videos
    sheet_frames: int = 12  # on a sheet, at most
    spread: bool = False  # a sheet's frames are evenly spread, instead of those that tell most

    def __post_init__(self) -> None:
        """Raises BadPreview where a number is out of range."""
        if self.height < MIN_HEIGHT:
            raise BadPreview(
                f"height must be at least {MIN_HEIGHT} pixels, not {self.height}: nothing can be read in less"
            )
        if self.sheet_frames < 1:
            raise BadPreview(f"a sheet needs at least 1 frame, not {self.sheet_frames}")


def preview(
    table_path: str | StoragePath,
    video_path: str | Path,
    output: str | StoragePath,
    *,
    raw_path: str | StoragePath | None = None,
    every: int = 1,
    settings: PreviewSettings | None = None,
    progress: Progress | None = None,
) -> int:
    """Draw a preview of one clip; the output appears when it is complete.

    Args:
        table_path: a table written by a run, from ``coefficients/`` or ``raw/``.
        video_path: the video that the table was made from; a path or a URI.
        output: a video, an image (a sheet) or a folder, by its suffix.
        raw_path: the raw table of the same clip; its values are marked beside those of `table_path`.
        every: draw each n-th frame only; videos and folders.
        settings: what is drawn; None: the defaults.
        progress: called with the number of frames drawn so far.

    Returns:
        How many frames were drawn, at least 1.

    Raises:
        BadPreview: the output's suffix or an argument makes no preview, the table has no landmarks though
            they are wanted, or no frame belongs to it.
        BadVideo: the video cannot be opened.
        OSError: the output cannot be written.
    """
    settings = settings or PreviewSettings()
    output = storage_path(output)
    suffix = output.suffix.lower()
    if suffix and suffix not in VIDEO_SUFFIXES + IMAGE_SUFFIXES:
        known = " ".join((*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))
        raise BadPreview(
            f"{output.name}: a preview is a video or an image ({known}), or a folder without a suffix"
        )
    if every < 1:
        raise BadPreview(f"every must be at least 1, not {every}")
    shown = _read(table_path, raw_path, settings)
    table = shown.table
    drawn = 0
    if not len(table):
        pass
    elif suffix in IMAGE_SUFFIXES:
        choose = spread_frames if settings.spread else telling_frames
        telling = choose(table, settings.sheet_frames)
        cell = CellPicture(shown)
        frames = _fitted(video_path, table, [each.row for each in telling], cell.layout)
        drawn = write_sheet(output, cell, frames, telling, progress)
    else:
        picture = VideoPicture(shown, settings.height)
        frames = _fitted(video_path, table, range(0, len(table), every), picture.layout)
        if suffix:
            sound_of = video_path if settings.sound else None
            drawn = write_video(output, table, picture, frames, sound_of, progress)
        else:
            drawn = _write_folder(output, table, picture, frames, progress)
    if not drawn:
        raise BadPreview(
            f"no frame of {video_path} belongs to {table_path}; give the video that it was made from"
        )
    return drawn


def _read(
    table_path: str | StoragePath, raw_path: str | StoragePath | None, settings: PreviewSettings
) -> Shown:
    tracks = read_tracks(storage_path(table_path))
    raw = None if raw_path is None else read_parquet(storage_path(raw_path))
    if raw is not None and not np.array_equal(raw.pts, tracks[0].pts):
        raise BadPreview(f"{raw_path} is not the raw table of {table_path}: their frames differ")
    if settings.landmarks and not tracks[0].landmarks.shape[1]:
        raise BadPreview(
            f"{table_path} has no landmarks: they were not asked for; run the clip again with --landmarks, "
            "or leave --landmarks out here"
        )
    return Shown(tracks, raw, settings.head, settings.landmarks)


def _fitted(
    video_path: str | Path, table: CoefficientTable, rows: Sequence[int], layout: Layout
) -> Iterator[RowPicture]:
    return fitted_frames(video_path, table, rows, layout.actor.width, layout.actor.height)


def _write_folder(
    output: StoragePath,
    table: CoefficientTable,
    picture: VideoPicture,
    frames: Iterator[RowPicture],
    progress: Progress | None,
) -> int:
    drawn = 0
    for frame in frames:
        picture.draw(frame)
        write_image(output / f"{int(table.frame_index[frame.row]):06d}.jpg", picture.image)
        drawn += 1
        if progress:
            progress(drawn)
    return drawn
