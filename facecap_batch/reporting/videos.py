"""Where the video of a take lies, and what a browser calls its beginning.

In: what the manifest names. Out: `VideoPlace`. Only a single file on a local disk is shown: what is behind a
URI would need the network, and numbered images are no video.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from facecap_batch.clip import resolve_source
from facecap_batch.errors import FacecapError
from facecap_batch.storage.publish import StoragePath
from facecap_batch.storage.remote import is_uri

# Media types by suffix, for browsers. What they cannot play (ProRes, AVI …) they say themselves.
MEDIA_TYPES = {
    ".avi": "video/x-msvideo",
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".mts": "video/mp2t",
    ".mxf": "application/mxf",
    ".ogv": "video/ogg",
    ".ts": "video/mp2t",
    ".webm": "video/webm",
}
MICROSECONDS = 1_000_000  # FFmpeg's AV_TIME_BASE, of which the start of a container is a count


@dataclasses.dataclass(frozen=True)
class VideoPlace:
    """The video of a take."""

    path: str | None  # absolute, local; None: none that a browser could show

    def start_s(self) -> float | None:
        """Where the container begins, on the scale of `time_s`: browsers count from it. None: not known."""
        from facecap_batch.video.container import opened

        if self.path is None:
            return None
        try:
            with opened(self.path) as container:
                start = container.start_time  # of its earliest stream
        except (FacecapError, OSError, ValueError):
            return None
        return None if start is None else float(start) / MICROSECONDS


def video_place(source: str, manifest_folder: StoragePath) -> VideoPlace:
    """The video that a manifest in `manifest_folder` names in its column ``path``."""
    found = resolve_source(source, manifest_folder)
    path = None if is_uri(found) else Path(found).absolute()
    if path is None or path.suffix.lower() not in MEDIA_TYPES or not path.is_file():
        return VideoPlace(None)
    return VideoPlace(str(path))
