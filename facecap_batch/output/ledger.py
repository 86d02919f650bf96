"""The ledger of what is done: one small record per clip, published after everything else of that clip.

In: the input of a clip (see `input_identity`), the configuration, the files that were made of it. Out: the
same as a `Record`, checked when it is read back. A clip is done when its record matches today's input and
configuration and its files are complete; it is captured while its raw table waits for those of its actor's
other clips. Only the driver of a run says how a clip ended; a worker withdraws the record whose files it is
about to replace. Anyone may read records, during a run and after.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from facecap_batch.output import compact_index
from facecap_batch.output.integrity import is_sound
from facecap_batch.storage import temporary
from facecap_batch.storage.documents import (
    Amount,
    BadDocument,
    Count,
    Sha256,
    SmallCount,
    document_bytes,
    parsed,
)
from facecap_batch.storage.publish import StoragePath, publish_bytes
from facecap_batch.storage.remote import RemotePath

log = logging.getLogger(__name__)

FOLDER = "ledger"
Ending = Literal["done", "failed", "captured"]
DONE: Ending = "done"
FAILED: Ending = "failed"
CAPTURED: Ending = "captured"  # the raw table is there, the rest is not made yet: neither done nor failed
_OF_TRACK = re.compile(r"(fbx/[^/]+)\.track\d+(\.fbx)")


@dataclasses.dataclass(frozen=True)
class Record:
    """How a clip ended, and what was made of it."""

    clip_id: str
    status: Ending
    input_key: str
    capture_fingerprint: str  # of what decided the raw table
    fingerprint: str  # of what decided every file
    calibration: str = ""  # digest of the actor's calibration that the clip was solved with; empty: none
    attempts: SmallCount = 1
    frames: Count = 0
    frames_with_face: Count = 0  # the main subject's face was found
    people: SmallCount | None = None  # tracks with a face; None where the main subject alone was looked for
    shots: SmallCount | None = None  # None where they were not looked for
    landmarks: SmallCount | None = None  # of a face in the tables; None where they were not asked for
    seconds: Amount = 0.0  # of video
    fps: Amount = 0.0  # average rate of the video
    backend: str = ""
    engines: Mapping[str, str] = dataclasses.field(default_factory=dict)  # role -> SHA-256
    # File, relative to the output folder -> bytes.
    outputs: Mapping[str, Count] = dataclasses.field(default_factory=dict)
    # The same files -> SHA-256; none of files that an earlier version made.
    checksums: Mapping[str, Sha256] = dataclasses.field(default_factory=dict)
    wall_s: Amount = 0.0  # seconds a worker spent
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
        return [name for name in self.outputs if _OF_TRACK.fullmatch(name) and name not in following.outputs]

    @property
    def raw(self) -> Mapping[str, int]:
        """Of `outputs`, the raw table; empty where there is none."""
        return {name: size for name, size in self.outputs.items() if name.startswith("raw/")}

    @property
    def raw_checksum(self) -> str:
        """SHA-256 of the raw table; empty where it is not known."""
        return next((self.checksums[name] for name in self.raw if name in self.checksums), "")

    @property
    def names_its_files(self) -> bool:
        """True where `outputs` has everything that is made of a clip."""
        return _files_of(self.clip_id) <= self.outputs.keys()


class Ledger:
    """The records below one output folder."""

    def __init__(self, output: StoragePath, compares_checksums: bool = False) -> None:
        """
        Args:
            output: Folder of a run.
            compares_checksums: Whether `intact` reads every file, and compares its checksum.
        """
        self.output = output
        self.folder = output / FOLDER
        self.compares_checksums = compares_checksums
        self.unsound: dict[str, bool] = {}  # file, relative to `output` -> what the comparison found
        self._reported: set[str] = set()  # broken records that were logged

    def as_of_now(self) -> Ledger:
        """The same records, for many look-ups: behind a URI all are read together, once; on a local disk each
        is read when it is looked up."""
        return (
            _ReadAhead(self.output, self.compares_checksums) if isinstance(self.output, RemotePath) else self
        )

    def path(self, clip_id: str) -> StoragePath:
        """The file of the clip's record."""
        return self.folder / f"{clip_id}.json"

    def get(self, clip_id: str) -> Record | None:
        """The clip's record; None where there is none, or it is broken: that is logged, and a rerun does the
        clip again."""
        try:
            return self._understood(clip_id, document_bytes(self.path(clip_id)))
        except BadDocument as error:
            self._report(clip_id, error)
        except OSError:
            pass
        return None

    def put(self, record: Record) -> None:
        """Publish `record`. Raises OSError."""
        publish_bytes(self.path(record.clip_id), as_bytes(record))

    def withdraw(self, clip_id: str, keeps_raw: bool) -> None:
        """Files of the clip are about to be replaced: what its record says of them ends before.

        Else a run that is killed before it publishes the next record leaves files of its configuration to the
        record of another one, and short clips have the same sizes under both. The names of the files stay.

        Args:
            clip_id: Of the clip; nothing happens where it has no record.
            keeps_raw: Whether the raw table stays as it is; then it is still known.

        Raises:
            OSError: The storage refuses.
        """
        record = self.get(clip_id)
        if record is None or (keeps_raw and record.status != DONE):
            return
        fingerprint = record.capture_fingerprint if keeps_raw else ""
        self.put(dataclasses.replace(record, status=CAPTURED, capture_fingerprint=fingerprint))

    def records(self) -> Iterator[Record]:
        """Every record in the folder, in no order."""
        if not self.folder.is_dir():
            return
        for entry in self.folder.iterdir():
            finished = entry.suffix == ".json" and not entry.name.startswith(temporary.PREFIX)
            record = self.get(entry.name.removesuffix(".json")) if finished else None
            if record is not None:
                yield record

    def intact(self, record: Record) -> bool:
        """True when every file in the record has the recorded size, as a small file or in a compact one; and,
        where checksums are compared, is what was written."""
        whole = all(self._size(name) == size for name, size in record.outputs.items())
        if not whole or not self.compares_checksums:
            return whole
        for name in record.outputs.keys() - self.unsound.keys():
            checksum = record.checksums.get(name)
            self.unsound[name] = not is_sound(self.output, name, checksum, self._compact_reader)
        return not any(self.unsound[name] for name in record.outputs)

    def _understood(self, clip_id: str, content: bytes) -> Record | None:
        """The record of that clip in `content`; None, with a line in the log, where it is broken."""
        path = self.path(clip_id)
        try:
            record = parsed(Record, content, path)
            if problem := _problem(record, clip_id):
                raise BadDocument(f"{path}: {problem}")
        except BadDocument as error:
            self._report(clip_id, error)
            return None
        return record

    def _report(self, clip_id: str, error: BadDocument) -> None:
        if clip_id not in self._reported:
            self._reported.add(clip_id)
            log.warning("broken record %s; the next run does this clip again", error)

    def holds(self, record: Record) -> bool:
        """True when the record is there and so is, in full, every file that it names."""
        return self._size(f"{FOLDER}/{record.clip_id}.json") >= 0 and self.intact(record)

    def _size(self, name: str) -> int:
        try:
            return (self.output / name).stat().st_size
        except OSError:
            return self._compacted.get(name, -1)

    @functools.cached_property
    def _compact_reader(self) -> compact_index.CompactReader:
        return compact_index.CompactReader(self.output)

    @functools.cached_property
    def _compacted(self) -> dict[str, int]:
        """Read once: a plan is made from it, and it only changes under the folder's lock."""
        return compact_index.sizes(self.output)


def as_bytes(record: Record) -> bytes:
    """The content of the record's file."""
    text = json.dumps(vars(record), ensure_ascii=False, indent=1, sort_keys=True)
    return text.encode("utf-8", "replace")  # errors quote names of files, which may be no text


class _ReadAhead(Ledger):
    """The ledger of a remote folder as of one listing and one round of reading, each made when it is first
    needed."""

    def __init__(self, output: RemotePath, compares_checksums: bool) -> None:
        super().__init__(output, compares_checksums)
        self._remote = output

    @functools.cached_property
    def _sizes(self) -> dict[str, int]:
        return self._remote.sizes()

    @functools.cached_property
    def _records(self) -> dict[str, Record | None]:
        names = [name for name in self._sizes if name.startswith(f"{FOLDER}/") and name.endswith(".json")]
        return {
            name: self._understood(name[len(FOLDER) + 1 : -len(".json")], content)
            for name, content in self._remote.read_many(names).items()
        }

    def as_of_now(self) -> Ledger:
        return self

    def get(self, clip_id: str) -> Record | None:
        return self._records.get(f"{FOLDER}/{clip_id}.json")

    def records(self) -> Iterator[Record]:
        yield from (record for record in self._records.values() if record is not None)

    def _size(self, name: str) -> int:
        return self._sizes[name] if name in self._sizes else self._compacted.get(name, -1)


def _files_of(clip_id: str) -> set[str]:
    """What is made of every clip, relative to the output folder."""
    return {f"raw/{clip_id}.parquet", f"coefficients/{clip_id}.parquet", f"fbx/{clip_id}.fbx"}


def _problem(record: Record, clip_id: str) -> str:
    """What makes a record useless, or dangerous: its files are looked at, and may be removed."""
    if record.clip_id != clip_id:
        return f"it is of the clip {record.clip_id!r}"
    known = _files_of(clip_id)
    for name in (*record.outputs, *record.checksums):
        if name not in known and _OF_TRACK.sub(r"\1\2", name) not in known:
            return f"{name!r} is no file of this clip"
    return ""
