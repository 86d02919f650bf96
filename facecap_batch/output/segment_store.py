"""The segments of clips on disk: ``segments/<clip_id>/`` in the output folder, until the clip is done.

In: a `SegmentPlan`, and the `SegmentResult` of each segment. Out: the same, read back by another worker or
by a rerun, which takes what has a record that fits the plan and does the rest. ``cuts.json`` holds the
plan; ``0003.npz`` holds the result of segment 3, whose fields that are no arrays are JSON in ``plain``, and
``0003.json`` its record, published after it.
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
from pathlib import Path
from typing import Any

import numpy as np

from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import CannotJoin, SegmentResult
from facecap_batch.numerals import exact
from facecap_batch.storage.publish import StoragePath, publish_bytes, published
from facecap_batch.storage.remote import RemotePath

FOLDER = "segments"
PLAN_NAME = "cuts.json"


@dataclasses.dataclass(frozen=True)
class SegmentRecord:
    """A segment is done."""

    token: str  # of the plan that it belongs to
    number: int
    size: int  # bytes of its result
    frames: int  # core frames
    wall_s: float  # seconds a worker spent


def plan_key(input_key: str, capture_fingerprint: str, segment_s: float) -> str:
    """Digest of what a plan depends on.

    Args:
        input_key: of the clip, as `ledger.InputIdentity.key`.
        capture_fingerprint: of what decides the raw table.
        segment_s: seconds of video that a segment should have.
    """
    text = json.dumps([input_key, capture_fingerprint, segment_s])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class SegmentFolder:
    """The segments of one clip. Methods that write raise OSError."""

    def __init__(self, output: StoragePath, clip_id: str) -> None:
        self.path = output / FOLDER / clip_id

    def plan(self, key: str) -> SegmentPlan | None:
        """The clip's plan, if one was made for the same `key`."""
        try:
            found = _plan_from(json.loads((self.path / PLAN_NAME).read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return found if found.key == key else None

    def begin(self, plan: SegmentPlan) -> None:
        """Publish `plan`; results that belong to another one do not count any more."""
        publish_bytes(self.path / PLAN_NAME, json.dumps(dataclasses.asdict(plan), default=str).encode())

    def put(self, result: SegmentResult, plan: SegmentPlan, segment: Segment, wall_s: float) -> SegmentRecord:
        """Publish the result of a segment, then its record."""
        path = self._result(result.number)
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(SegmentResult)}
        arrays: dict[str, Any] = {}
        plain: dict[str, Any] = {}
        for name, value in fields.items():
            (arrays if isinstance(value, np.ndarray) else plain)[name] = value
        with published(path) as temporary, temporary.open("wb") as file:
            np.savez(file, plain=np.array(json.dumps(plain)), **arrays)
        end = plan.frames if segment.end is None else segment.end
        record = SegmentRecord(
            plan.token, result.number, path.stat().st_size, end - segment.first, round(wall_s, 3)
        )
        publish_bytes(self._record(result.number), json.dumps(dataclasses.asdict(record)).encode())
        return record

    def record(self, plan: SegmentPlan, number: int) -> SegmentRecord | None:
        """The record of a segment that is done under `plan` and whose result is there in full."""
        path = self._result(number)
        try:
            record = SegmentRecord(**json.loads(self._record(number).read_bytes()))
            whole = path.stat().st_size == record.size
        except (OSError, ValueError, TypeError):
            return None
        return record if whole and record.token == plan.token else None

    def result(self, number: int) -> SegmentResult:
        """The result of a segment. Raises OSError, and CannotJoin where the file is damaged."""
        try:
            with np.load(io.BytesIO(self._result(number).read_bytes()), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            plain = json.loads(str(arrays.pop("plain")))
            lists = {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
            return SegmentResult(**{**plain, **lists}, **arrays)
        except (zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
            raise CannotJoin(f"{self._result(number)} is damaged: {error}") from error

    def remove(self) -> None:
        """Remove the clip's segments; harmless when there are none."""
        with contextlib.suppress(OSError):
            # First, so that a removal that is interrupted leaves nothing that looks complete.
            (self.path / PLAN_NAME).unlink(missing_ok=True)
        _remove(self.path)

    def _result(self, number: int) -> StoragePath:
        return self.path / f"{number:04}.npz"

    def _record(self, number: int) -> StoragePath:
        return self.path / f"{number:04}.json"


def remove_done(output: StoragePath, is_done: Callable[[str], bool]) -> None:
    """Remove the segments of every clip (given by its clip_id) that is done."""
    folder = output / FOLDER
    clips: list[StoragePath] = list(folder.glob("*"))
    for clip in clips:
        if is_done(clip.name):
            SegmentFolder(output, clip.name).remove()
    if isinstance(folder, Path):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if nothing is left


def remove_segments(output: StoragePath) -> None:
    """Remove the segments of every clip."""
    _remove(output / FOLDER)


def _remove(folder: StoragePath) -> None:
    if isinstance(folder, RemotePath):
        with contextlib.suppress(OSError):
            for name in folder.sizes():
                (folder / name).unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _plan_from(data: dict[str, Any]) -> SegmentPlan:
    segments = [
        Segment(**{**fields, "start": None if fields["start"] is None else exact(fields["start"])})
        for fields in data["segments"]
    ]
    return SegmentPlan(**{**data, "segments": tuple(segments)})
