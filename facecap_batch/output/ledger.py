"""The ledger of what is done: one small record per clip, published after everything else of that clip.

In: the input of a clip (path, size, time of change, range), the configuration, the files that were made of
it. Out: the same as a `Record`. A clip is done when its record matches today's input and configuration and
its files are complete; it is captured while its raw table waits for those of its actor's other clips. Only
the driver of a run writes records; anyone may read them, during a run and after.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from facecap_batch.clip import Clip
from facecap_batch.output import compact_index
from facecap_batch.storage.image_sequence import ImageSequence, sequence_of
from facecap_batch.storage.publish import StoragePath, publish_bytes
from facecap_batch.storage.remote import TEMPORARY_PREFIX, RemotePath, is_uri
from facecap_batch.storage.remote_video import RemoteInput, look_up

FOLDER = "ledger"
DONE, FAILED = "done", "failed"
_OF_TRACK = re.compile(r"\.track\d+\.fbx$")
CAPTURED = "captured"  # the raw table is there, the rest is not made yet: neither done nor failed


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


@dataclasses.dataclass(frozen=True)
class Record:
    """How a clip ended, and what was made of it."""

    clip_id: str
    status: str  # DONE, FAILED or CAPTURED
    input_key: str
    capture_fingerprint: str  # of what decided the raw table
    fingerprint: str  # of what decided every file
    calibration: str = ""  # digest of the actor's calibration that the clip was solved with; empty: none
    attempts: int = 1
    frames: int = 0
    frames_with_face: int = 0  # the main subject's face was found
    people: int | None = None  # tracks with a face; None where the main subject alone was looked for
    shots: int | None = None  # None where they were not looked for
    seconds: float = 0.0  # of video
    fps: float = 0.0  # average rate of the video
    backend: str = ""
    engines: Mapping[str, str] = dataclasses.field(default_factory=dict)  # role -> SHA-256
    # File, relative to the output folder -> bytes.
    outputs: Mapping[str, int] = dataclasses.field(default_factory=dict)
    wall_s: float = 0.0  # seconds a worker spent
    finished_at: str = ""  # UTC, ISO 8601
    note: str = ""  # what is unusual about a clip that is done, such as a file that ends early
    error_type: str = ""
    error: str = ""

    @property
    def shows_no_face(self) -> bool:
        """True for a clip that is done although no face was found in any frame."""
        return self.status == DONE and self.frames_with_face == 0

    def left_over(self, following: Record) -> list[str]:
        """Animations of further people that the record which follows this one does not have any more."""
        return [name for name in self.outputs if _OF_TRACK.search(name) and name not in following.outputs]

    @property
    def raw(self) -> Mapping[str, int]:
        """Of `outputs`, the raw table; empty where there is none."""
        return {name: size for name, size in self.outputs.items() if name.startswith("raw/")}


class Ledger:
    """The records below one output folder."""

    def __init__(self, output: StoragePath) -> None:
        self.output = output
        self.folder = output / FOLDER

    def as_of_now(self) -> Ledger:
        """The same records, for many look-ups: behind a URI all are read together, once; on a local disk each
        is read when it is looked up."""
        return _ReadAhead(self.output) if isinstance(self.output, RemotePath) else self

    def path(self, clip_id: str) -> StoragePath:
        """The file of the clip's record."""
        return self.folder / f"{clip_id}.json"

    def get(self, clip_id: str) -> Record | None:
        """The clip's record; None where there is none or it is not understood (the clip is done again)."""
        return _read(self.path(clip_id))

    def put(self, record: Record) -> None:
        """Publish `record`. Raises OSError."""
        publish_bytes(self.path(record.clip_id), as_bytes(record))

    def records(self) -> Iterator[Record]:
        """Every record in the folder, in no order."""
        if not self.folder.is_dir():
            return
        for entry in self.folder.iterdir():
            finished = entry.suffix == ".json" and not entry.name.startswith(TEMPORARY_PREFIX)
            record = _read(entry) if finished else None
            if record is not None:
                yield record

    def intact(self, record: Record) -> bool:
        """True when every file in the record has the recorded size, as a small file or in a compact one."""
        return all(self._size(name) == size for name, size in record.outputs.items())

    def _size(self, name: str) -> int:
        try:
            return (self.output / name).stat().st_size
        except OSError:
            return self._compacted.get(name, -1)

    @functools.cached_property
    def _compacted(self) -> dict[str, int]:
        """Read once: a plan is made from it, and it only changes under the folder's lock."""
        return compact_index.sizes(self.output)


def as_bytes(record: Record) -> bytes:
    """The content of the record's file."""
    text = json.dumps(dataclasses.asdict(record), ensure_ascii=False, indent=1, sort_keys=True)
    return text.encode("utf-8", "surrogateescape")


class _ReadAhead(Ledger):
    """The ledger of a remote folder as of one listing and one round of reading, each made when it is first
    needed."""

    def __init__(self, output: RemotePath) -> None:
        super().__init__(output)
        self._remote = output

    @functools.cached_property
    def _sizes(self) -> dict[str, int]:
        return self._remote.sizes()

    @functools.cached_property
    def _records(self) -> dict[str, Record | None]:
        names = [name for name in self._sizes if name.startswith(f"{FOLDER}/") and name.endswith(".json")]
        return {name: _parsed(content) for name, content in self._remote.read_many(names).items()}

    def as_of_now(self) -> Ledger:
        return self

    def get(self, clip_id: str) -> Record | None:
        return self._records.get(f"{FOLDER}/{clip_id}.json")

    def records(self) -> Iterator[Record]:
        yield from (record for record in self._records.values() if record is not None)

    def _size(self, name: str) -> int:
        return self._sizes[name] if name in self._sizes else self._compacted.get(name, -1)


def _read(path: StoragePath) -> Record | None:
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return None


def _parsed(content: bytes) -> Record | None:
    try:
        data: dict[str, Any] = json.loads(content)
        return Record(**data)
    except (ValueError, TypeError):
        return None
