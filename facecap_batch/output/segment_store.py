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
import itertools
import json
import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import CannotJoin, SegmentResult
from facecap_batch.numerals import exact
from facecap_batch.output.ownership.folders import SEGMENTS as FOLDER
from facecap_batch.storage.documents import Amount, BadDocument, Count, parsed, read_document
from facecap_batch.storage.links import refuse_links
from facecap_batch.storage.publish import StoragePath, publish_bytes, published
from facecap_batch.storage.remote import RemotePath

log = logging.getLogger(__name__)

PLAN_NAME = "cuts.json"


@dataclasses.dataclass(frozen=True)
class SegmentRecord:
    """A segment is done."""

    token: str  # of the plan that it belongs to
    number: Count
    size: Count  # bytes of its result
    frames: Count  # core frames
    wall_s: Amount  # seconds a worker spent


@dataclasses.dataclass(frozen=True)
class _SegmentText:
    """`Segment`, as it lies in a plan."""

    number: Count
    start: str | None  # seconds as a fraction, "1001/30"
    preroll_start: Count
    first: Count
    end: Count | None
    seconds: Amount


@dataclasses.dataclass(frozen=True)
class _PlanText:
    """`SegmentPlan`, as it lies in its file."""

    key: str
    detect_every: Annotated[int, Field(ge=1, le=1 << 31)]
    rotation_degrees: Annotated[int, Field(ge=0, lt=360, multiple_of=90)]
    rotation_known: bool
    frames: Count
    segments: tuple[_SegmentText, ...]


@dataclasses.dataclass(frozen=True)
class _Plain:
    """The fields of a `SegmentResult` that are no arrays."""

    number: Count
    video_info: str
    steady: bool
    notes: tuple[str, ...]
    backends: tuple[str, str]


# Of the arrays of a `SegmentResult`: kind of number, axes, and the length that the first axis shares.
_ARRAYS = {
    "pts": ("i", 1, "frames"),
    "detected": ("i", 1, "detected"),
    "digests": ("u", 1, "detected"),
    "face_at": ("i", 1, "faces"),
    "face_boxes": ("f", 2, "faces"),
    "face_scores": ("f", 1, "faces"),
    "sample_at": ("i", 1, "samples"),
    "samples": ("u", 4, "samples"),
    "sample_boxes": ("f", 2, "samples"),
    "sample_scores": ("f", 1, "samples"),
    "rows": ("V", 1, "rows"),
    "boxes": ("f", 2, "rows"),
    "cuts": ("i", 1, "cuts"),
}


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
    """The segments of one clip. Methods that write raise OSError, also where the clip's folder is a link."""

    def __init__(self, output: StoragePath, clip_id: str) -> None:
        self.path = output / FOLDER / clip_id

    def plan(self, key: str) -> SegmentPlan | None:
        """The clip's plan, if one was made for the same `key`. A broken one is logged; the clip is then cut
        anew."""
        try:
            found = _plan_from(read_document(_PlanText, self.path / PLAN_NAME))
        except BadDocument as error:
            log.warning("broken plan %s; the clip is cut anew", error)
            return None
        except OSError:
            return None
        return found if found.key == key else None

    def begin(self, plan: SegmentPlan) -> None:
        """Publish `plan`; results that belong to another one do not count any more."""
        self._refuse_link()
        publish_bytes(self.path / PLAN_NAME, json.dumps(dataclasses.asdict(plan), default=str).encode())

    def put(self, result: SegmentResult, plan: SegmentPlan, segment: Segment, wall_s: float) -> SegmentRecord:
        """Publish the result of a segment, then its record."""
        self._refuse_link()
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
        """The record of a segment that is done under `plan` and whose result is there in full.

        A broken one is logged; the segment is then done again.
        """
        path = self._result(number)
        try:
            record = read_document(SegmentRecord, self._record(number))
            whole = path.stat().st_size == record.size
        except BadDocument as error:
            log.warning("broken record %s; the segment is done again", error)
            return None
        except OSError:
            return None
        return record if whole and (record.token, record.number) == (plan.token, number) else None

    def result(self, number: int) -> SegmentResult:
        """The result of a segment. Raises OSError, and CannotJoin where the file is damaged."""
        path = self._result(number)
        try:
            arrays = _arrays_in(path.read_bytes())
            plain = parsed(_Plain, str(arrays.pop("plain")).encode(), path)
            if plain.number != number:
                raise ValueError(f"it is segment {plain.number}")
            return _checked(SegmentResult(**vars(plain), **arrays))
        except (*_DAMAGE, BadDocument) as error:
            raise CannotJoin(f"{path} is damaged: {error}") from error

    def remove(self) -> None:
        """Remove the clip's segments; harmless when there are none."""
        with contextlib.suppress(OSError):
            self._refuse_link()
            # First, so that a removal that is interrupted leaves nothing that looks complete.
            (self.path / PLAN_NAME).unlink(missing_ok=True)
        _remove(self.path)

    def _refuse_link(self) -> None:
        if isinstance(self.path, Path):
            refuse_links(self.path.parent, [self.path.name])

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


def _plan_from(text: _PlanText) -> SegmentPlan:
    """Raises BadDocument where the segments do not follow each other."""
    try:
        segments = tuple(
            Segment(**{**vars(one), "start": None if one.start is None else exact(one.start)})
            for one in text.segments
        )
    except ValueError as error:
        raise BadDocument(f"{PLAN_NAME} of {text.key}: {error}") from error
    in_order = all(one.number == number for number, one in enumerate(segments)) and all(
        one.preroll_start <= one.first < (text.frames if one.end is None else one.end) for one in segments
    )
    meet = all(one.end == following.first for one, following in itertools.pairwise(segments))
    if segments and not (in_order and meet and segments[0].first == 0 and segments[-1].end is None):
        raise BadDocument(f"{PLAN_NAME} of {text.key}: its segments do not make up a clip")
    return SegmentPlan(**{**vars(text), "segments": segments})


# What NumPy and zipfile raise for a file that is not what they wrote; what it claims may fit no memory.
_DAMAGE = (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, SyntaxError, MemoryError)


def _arrays_in(content: bytes) -> dict[str, Any]:
    """The arrays in an ``.npz`` that is not packed: so it never takes more memory than it has bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise ValueError("it is packed or encrypted")
    if sum(member.file_size for member in members) > len(content):
        raise ValueError("it claims more than it has")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _checked(result: SegmentResult) -> SegmentResult:
    """Raise ValueError unless the arrays have the kinds and the lengths of a `SegmentResult`."""
    lengths: dict[str, int] = {}
    for name, (kind, axes, length) in _ARRAYS.items():
        array = getattr(result, name)
        if array.dtype.kind != kind or (len(array) and array.ndim != axes):
            raise ValueError(f"{name} is {array.dtype} with {array.ndim} axes")
        if lengths.setdefault(length, len(array)) != len(array):
            raise ValueError(f"{name} has {len(array)} entries, others {lengths[length]}")
    return result
