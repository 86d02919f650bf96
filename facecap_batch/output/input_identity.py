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
from facecap_batch.storage.image_sequence import ImageSequence, sequence_of
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

    def key(self) -> str:
        """Digest of all fields."""
        # Not dataclasses.astuple, which copies deeply: a plan may need 100,000 keys.
        fields = [getattr(self, field.name) for field in dataclasses.fields(self)]
        text = json.dumps(fields if self.version else fields[:-1], ensure_ascii=False)
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
    version = "" if remote is None else remote.version
    sequence = sequence_of(clip.path) if remote is None else None
    if sequence is not None:
        size, mtime_ns, version = _sequence_identity(sequence)
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
    )


def _sequence_identity(sequence: ImageSequence) -> tuple[int, int, str]:
    """Bytes, latest time of change (nanoseconds since 1970) and digest of the images that are there."""
    try:
        files = sequence.files()
    except OSError:
        files = []
    if not files:
        return -1, -1, ""
    text = json.dumps([(file.number, file.size, file.mtime_ns) for file in files])
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return sum(file.size for file in files), max(file.mtime_ns for file in files), digest
