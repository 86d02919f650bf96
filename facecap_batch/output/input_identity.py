"""What identifies the input of a clip: a file that was touched or replaced is another input.

In: clips. Out: the identity of each one's video as it is now: path, size, time of change, range.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from facecap_batch.clip import Clip
from facecap_batch.storage.image_sequence import ImageFile, ImageSequence, sequence_of
from facecap_batch.storage.remote import is_uri
from facecap_batch.storage.remote_video import RemoteInput, look_up


@dataclasses.dataclass(frozen=True)
class InputIdentity:
    """What identifies an input. A touched or replaced file is another one."""

    source: str  # path or URI as the manifest gives it
    size: int  # bytes; -1 for a file that is missing
    mtime_ns: int  # nanoseconds since 1970; -1 as above, and for a URI
    start: str  # seconds as a fraction; empty: the beginning of the file
    end: str  # seconds as a fraction; empty: the end of the file
    actor: str  # written into the clip's files, hence part of it
    timecode: str
    version: str = ""  # of a URI: ETag or the like; of a sequence: of its images; empty: not known
    images_s: float | None = None  # seconds that a sequence lasts; None: it is none. No part of the key

    def key(self) -> str:
        """Digest of all fields but `images_s`."""
        fields = [self.source, self.size, self.mtime_ns, self.start, self.end, self.actor, self.timecode]
        text = json.dumps([*fields, self.version] if self.version else fields, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def identify(clip: Clip) -> InputIdentity:
    """The identity of a clip's file as it is now. One that is missing has one too, so that its arrival is
    noticed."""
    return identify_all([clip])[0]


def identify_all(clips: Sequence[Clip]) -> list[InputIdentity]:
    """`identify` for many clips, in their order: files behind URIs are looked up together."""
    uris = [clip.path for clip in clips if is_uri(clip.path)]
    known = look_up(uris) if uris else {}
    return [_identity(clip, known.get(clip.path)) for clip in clips]


def _identity(clip: Clip, remote: RemoteInput | None) -> InputIdentity:
    size = mtime_ns = -1
    version, images_s = "" if remote is None else remote.version, None
    sequence = sequence_of(clip.path) if remote is None else None
    if sequence is not None:
        files = _images(sequence)
        images_s = sequence.seconds_of(files)
        if files:
            size, mtime_ns = sum(file.size for file in files), max(file.mtime_ns for file in files)
            version = _version_of(files)
    elif remote is None:
        try:
            status = Path(clip.path).stat()
            size, mtime_ns = status.st_size, status.st_mtime_ns
        except (OSError, ValueError):
            pass
    return InputIdentity(
        source=clip.source,
        size=size if remote is None else remote.size,
        mtime_ns=mtime_ns,
        start="" if clip.start is None else str(clip.start),
        end="" if clip.end is None else str(clip.end),
        actor=clip.actor or "",
        timecode=clip.timecode or "",
        version=version,
        images_s=images_s,
    )


def _images(sequence: ImageSequence) -> list[ImageFile]:
    """The images that are there; none where the folder cannot be listed."""
    try:
        return sequence.files()
    except OSError:
        return []


def _version_of(files: Sequence[ImageFile]) -> str:
    """Digest of the images of a sequence: another one when an image is touched, comes or goes."""
    text = json.dumps([(file.number, file.size, file.mtime_ns) for file in files])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
