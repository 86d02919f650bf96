"""What is done: one small record per clip, published after everything else of that clip.

A record says which input (path, size, time of change, range) became which files under which
configuration. A clip is done when its record says so for the input and configuration of today and its
files are there in full. Only the driver of a run writes records; anyone may read them, during a run and
after.
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from facecap_batch import compact_index
from facecap_batch.errors import OutputBusy, OutputNotWritable
from facecap_batch.manifest import Clip, is_uri
from facecap_batch.storage import TEMPORARY_PREFIX, publish_bytes

FOLDER = "ledger"
LOCK_NAME = ".lock"
DONE, FAILED = "done", "failed"


@dataclasses.dataclass(frozen=True)
class InputIdentity:
    """What makes an input the same input. A touched or replaced file is another one."""

    source: str  # path or URI as the manifest gives it
    size: int  # bytes; -1 where it cannot be known (missing, or a URI)
    mtime_ns: int  # nanoseconds since 1970; -1 as above
    start: str  # seconds as a fraction, or empty
    end: str
    actor: str  # written into the clip's files, hence part of it
    timecode: str

    def key(self) -> str:
        """Digest of all fields."""
        # Not dataclasses.astuple: it copies deeply, and a plan asks for 100,000 keys.
        fields = [getattr(self, field.name) for field in dataclasses.fields(self)]
        text = json.dumps(fields, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def identify(clip: Clip) -> InputIdentity:
    """Look at the clip's file; a missing one is an identity too, so that its arrival is noticed."""
    size = mtime_ns = -1
    if not is_uri(clip.path):
        try:
            status = Path(clip.path).stat()
            size, mtime_ns = status.st_size, status.st_mtime_ns
        except (OSError, ValueError):
            pass
    return InputIdentity(
        source=clip.source,
        size=size,
        mtime_ns=mtime_ns,
        start="" if clip.start is None else str(clip.start),
        end="" if clip.end is None else str(clip.end),
        actor=clip.actor or "",
        timecode=clip.timecode or "",
    )


@dataclasses.dataclass(frozen=True)
class Record:
    """How a clip ended."""

    clip_id: str
    status: str  # DONE or FAILED
    input_key: str
    capture_fingerprint: str  # what decided raw/
    fingerprint: str  # what decided everything
    attempts: int = 1
    frames: int = 0
    frames_with_face: int = 0
    seconds: float = 0.0  # of video
    fps: float = 0.0  # average rate of the video
    backend: str = ""
    engines: Mapping[str, str] = dataclasses.field(default_factory=dict)  # role -> SHA-256
    outputs: Mapping[str, int] = dataclasses.field(
        default_factory=dict
    )  # file relative to the folder -> bytes
    wall_s: float = 0.0  # seconds a worker spent
    finished_at: str = ""  # UTC, ISO 8601
    note: str = ""  # what is worth knowing about a clip that is done, as a file that ends early
    error_type: str = ""
    error: str = ""


class Ledger:
    """The records below one output folder."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / FOLDER

    def path(self, clip_id: str) -> Path:
        return self.folder / f"{clip_id}.json"

    def get(self, clip_id: str) -> Record | None:
        """The clip's record; None where there is none or it cannot be understood (the clip is redone)."""
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
        """True when every file that the record names is there with the recorded size, or gone but in a
        compact file.
        """
        return all(self._size(name) == size for name, size in record.outputs.items())

    def _size(self, name: str) -> int:
        try:
            return (self.output / name).stat().st_size
        except OSError:
            return self._compacted.get(name, -1)

    @functools.cached_property
    def _compacted(self) -> dict[str, int]:
        """Read once: a plan is made from it, and what it says only changes under the folder's lock."""
        return compact_index.sizes(self.output)


def as_bytes(record: Record) -> bytes:
    """What a record's file holds."""
    text = json.dumps(dataclasses.asdict(record), ensure_ascii=False, indent=1, sort_keys=True)
    return text.encode("utf-8", "surrogateescape")


def _read(path: Path) -> Record | None:
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        return Record(**data)
    except (OSError, ValueError, TypeError):
        return None


class OutputLock:
    """Holds an output folder for one run. The operating system lets go when the process dies, however."""

    def __init__(self, output: Path) -> None:
        self.path = output / LOCK_NAME
        self._file: IO[str] | None = None

    def __enter__(self) -> OutputLock:
        """Raises OutputBusy where another run holds the folder, OutputNotWritable where it refuses."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+")
        except OSError as error:
            raise not_writable(self.path.parent, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise OutputBusy(
                f"{self.path.parent}: another run is writing here (process {holder}); "
                "wait for it, stop it, or choose another --output"
            ) from error
        self._file = file
        try:
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}")
            file.flush()
        except OSError as error:
            self.__exit__()
            raise not_writable(self.path.parent, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def not_writable(folder: Path, error: OSError) -> OutputNotWritable:
    """The error of a run whose output folder refuses."""
    return OutputNotWritable(
        f"{folder}: the output folder cannot be written: {error.strerror or error}; "
        "make it writable (or free space), or choose another --output"
    )
