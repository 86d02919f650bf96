"""The segments of clips on disk: ``segments/<clip_id>/`` in the output folder, until the clip is done.

``cuts.json`` says how the clip is cut; ``0003.npz`` is what segment 3 yielded, and ``0003.json`` its record,
published after it. A rerun takes what has a record that fits the cuts, and does the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import CannotJoin, SegmentResult
from facecap_batch.storage.publish import StoragePath, publish_bytes, published
from facecap_batch.storage.remote import RemotePath

FOLDER = "segments"
CUTS_NAME = "cuts.json"
_WORDS = ("number", "picture", "steady", "notes", "backends")


@dataclasses.dataclass(frozen=True)
class SegmentRecord:
    """A segment is done."""

    token: str  # of the cuts that it belongs to
    number: int
    size: int  # bytes of its result
    frames: int  # its own
    wall_s: float  # seconds a worker spent


def cuts_key(input_key: str, capture_fingerprint: str, segment_s: float) -> str:
    """What cuts depend on: the input, what decides the raw table, and how long a segment should be."""
    text = json.dumps([input_key, capture_fingerprint, segment_s])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class SegmentFolder:
    """The segments of one clip. Methods that write raise OSError."""

    def __init__(self, output: StoragePath, clip_id: str) -> None:
        self.path = output / FOLDER / clip_id

    def cuts(self, key: str) -> SegmentPlan | None:
        """How the clip is cut, if that was decided for the same `key`."""
        try:
            found = _cuts_from(json.loads((self.path / CUTS_NAME).read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return found if found.key == key else None

    def begin(self, cuts: SegmentPlan) -> None:
        """Publish `cuts`; results that belong to other ones do not count any more."""
        publish_bytes(self.path / CUTS_NAME, json.dumps(dataclasses.asdict(cuts), default=str).encode())

    def put(self, result: SegmentResult, cuts: SegmentPlan, segment: Segment, wall_s: float) -> SegmentRecord:
        """Publish what a segment yielded, then its record."""
        path = self._result(result.number)
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(SegmentResult)}
        words = json.dumps({name: fields.pop(name) for name in _WORDS})
        with published(path) as temporary, temporary.open("wb") as file:
            np.savez(file, words=np.array(words), **fields)
        end = cuts.frames if segment.end is None else segment.end
        record = SegmentRecord(
            cuts.token, result.number, path.stat().st_size, end - segment.first, round(wall_s, 3)
        )
        publish_bytes(self._record(result.number), json.dumps(dataclasses.asdict(record)).encode())
        return record

    def record(self, cuts: SegmentPlan, number: int) -> SegmentRecord | None:
        """The record of a segment that is done and whose result is there in full."""
        path = self._result(number)
        try:
            record = SegmentRecord(**json.loads(self._record(number).read_bytes()))
            whole = path.stat().st_size == record.size
        except (OSError, ValueError, TypeError):
            return None
        return record if whole and record.token == cuts.token else None

    def result(self, number: int) -> SegmentResult:
        """What a segment yielded. Raises OSError, and CannotJoin where the file is damaged."""
        try:
            with np.load(io.BytesIO(self._result(number).read_bytes()), allow_pickle=False) as arrays:
                fields = {name: arrays[name] for name in arrays.files}
            words = json.loads(str(fields.pop("words")))
            words["notes"], words["backends"] = tuple(words["notes"]), tuple(words["backends"])
            return SegmentResult(**words, **fields)
        except (zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
            raise CannotJoin(f"{self._result(number)} is damaged: {error}") from error

    def remove(self) -> None:
        """Forget the clip's segments; harmless when there are none."""
        with contextlib.suppress(OSError):
            # First, so that a removal that is broken off leaves nothing that looks whole.
            (self.path / CUTS_NAME).unlink(missing_ok=True)
        _remove(self.path)

    def _result(self, number: int) -> StoragePath:
        return self.path / f"{number:04}.npz"

    def _record(self, number: int) -> StoragePath:
        return self.path / f"{number:04}.json"


def remove_done(output: StoragePath, is_done: Callable[[str], bool]) -> None:
    """Forget the segments of every clip (given by its clip_id) that is done."""
    folder = output / FOLDER
    clips: list[StoragePath] = list(folder.glob("*"))
    for clip in clips:
        if is_done(clip.name):
            SegmentFolder(output, clip.name).remove()
    if isinstance(folder, Path):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if nothing is left


def remove_segments(output: StoragePath) -> None:
    """Forget the segments of every clip."""
    _remove(output / FOLDER)


def _remove(folder: StoragePath) -> None:
    if isinstance(folder, RemotePath):
        with contextlib.suppress(OSError):
            for name in folder.sizes():
                (folder / name).unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _cuts_from(data: dict[str, Any]) -> SegmentPlan:
    segments = [
        Segment(**{**fields, "start": None if fields["start"] is None else Fraction(fields["start"])})
        for fields in data["segments"]
    ]
    return SegmentPlan(**{**data, "segments": tuple(segments)})
