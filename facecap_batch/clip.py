"""A clip: one row of the manifest, as every later step is given it.

In: the fields of a row. Out: `Clip`, and the path of its video. Imports `storage` alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

from facecap_batch.storage.publish import StoragePath
from facecap_batch.storage.remote import is_uri

CLIPS_NAME = "clips.parquet"  # of an output folder: one row for each clip
MAX_NAMED = 5  # clips in one message


@dataclasses.dataclass(frozen=True)
class Clip:
    """One row of the manifest: one video, or a time range of it."""

    clip_id: str  # unique in the manifest, safe as a file name
    path: str  # absolute local path, or a URI
    start: Fraction | None = None  # seconds on the scale of `time_s`, inclusive; None: the beginning
    end: Fraction | None = None  # seconds on the scale of `time_s`, exclusive; None: the end
    actor: str | None = None
    timecode: str | None = None  # of the clip's first frame, as the manifest gives it
    extra: dict[str, str] = dataclasses.field(default_factory=dict, hash=False)  # carried columns
    row: int = 0  # 1-based row of the manifest, header and blank lines not counted
    source: str = ""  # path as the manifest gives it; defaults to `path`

    def __post_init__(self) -> None:
        if not self.source:
            object.__setattr__(self, "source", self.path)

    @property
    def file_name(self) -> str:
        """Name of the video file, without folders and without the query of a URI."""
        return Path(unquote(urlsplit(self.path).path) if is_uri(self.path) else self.path).name


def named(clip_ids: Sequence[str]) -> str:
    """The first few of many clips, for a message."""
    return ", ".join(clip_ids[:MAX_NAMED]) + (", …" if len(clip_ids) > MAX_NAMED else "")


def resolve_source(source: str, folder: StoragePath) -> str:
    """The video that a manifest in `folder` names in its `path` column.

    Args:
        source: The text of the column; a relative path is relative to `folder`.
        folder: Of the manifest, on a local disk or behind a URI.

    Returns:
        An absolute local path, or a URI.
    """
    if source.startswith("file://"):
        return unquote(urlsplit(source).path)
    return source if is_uri(source) or source.startswith("/") else str(folder / source)
