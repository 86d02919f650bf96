"""What is left to do, and in which order.

In: the manifest's clips, the ledger, the configuration. Out: a `Plan`: work items, longest expected first,
and the records of clips that need nothing. Depends on nothing else, so every cluster gets the same plan.
What follows from a clip that turns out to be long is the business of `workflow`; which clips are calibrated
together, that of `actors.plan`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.clip import Clip
from facecap_batch.output.input_identity import InputIdentity, identify_all
from facecap_batch.output.ledger import DONE, FAILED, Ledger, Record
from facecap_batch.runs.config import RunConfig
from facecap_batch.solve.actors import ActorCalibration

# Expected length where the manifest gives no range: files are not opened to plan (100,000 of them would
# take many minutes), and 4 Mbit/s is a common rate of 720p to 1080p video. Only the order depends on it.
BYTES_PER_SECOND = 500_000
UNKNOWN_SECONDS = 60.0
# Join, solve and export against capture of the same video (measured with the default engines: 1/25).
JOIN_SHARE = 0.04


@dataclasses.dataclass(frozen=True)
class WorkItem:
    """One clip to be done by one worker."""

    clip: Clip
    input_key: str
    cost_s: float  # expected seconds of video
    reuse_raw: bool = False  # raw/<clip_id>.parquet is valid: only solve and export
    raw_checksum: str = ""  # its SHA-256; empty: not known, or it is not reused
    is_new: bool = False  # the clip has no record, so that nobody need look for one


@dataclasses.dataclass(frozen=True)
class SegmentItem:
    """One segment of a clip to be done by one worker."""

    clip: Clip
    cuts: SegmentPlan  # with this segment alone

    @property
    def segment(self) -> Segment:
        return self.cuts.segments[0]


@dataclasses.dataclass(frozen=True)
class JoinItem:
    """A clip all of whose segments are done, to be joined, solved and exported."""

    clip: Clip
    input_key: str
    cuts: SegmentPlan
    is_new: bool = False  # as of its `WorkItem`


@dataclasses.dataclass(frozen=True)
class CalibrationItem:
    """The calibration of an actor, to be measured on raw tables."""

    actor: str
    clip_ids: tuple[str, ...]  # of clips that have one


@dataclasses.dataclass(frozen=True)
class SolveItem:
    """A captured clip to be solved and exported with its actor's calibration."""

    clip: Clip
    input_key: str
    calibration: ActorCalibration
    raw_checksum: str = ""  # SHA-256 of its raw table; empty: not known


Item: TypeAlias = WorkItem | SegmentItem | JoinItem | CalibrationItem | SolveItem  # what a worker is given


@dataclasses.dataclass(frozen=True)
class CapturedClip:
    """A clip whose raw table is valid."""

    clip: Clip
    record: Record
    is_done: bool  # no more is to be made of it, if it was solved with the calibration that its actor has now


@dataclasses.dataclass(frozen=True)
class ActorGroup:
    """The clips of one actor, where some of them may have to be solved."""

    actor: str
    uncaptured: frozenset[str]  # clip_id of the clips to be captured first
    captured: tuple[CapturedClip, ...]  # the others
    is_settled: bool  # without `uncaptured`, `captured` would need nothing


@dataclasses.dataclass(frozen=True)
class Plan:
    items: tuple[WorkItem, ...]  # longest expected first
    kept: dict[str, Record]  # clip_id -> record of a clip that is done, or failed and not to be retried
    actors: tuple[
        ActorGroup, ...
    ] = ()  # whose calibration is to be measured; their clips are not kept for sure
    calibrations: Mapping[str, ActorCalibration] = dataclasses.field(default_factory=dict)  # that are valid

    @property
    def captures(self) -> bool:
        """True when any item needs the engines."""
        return any(not item.reuse_raw for item in self.items)

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to do."""
        return not self.items and not self.actors


def plan(
    clips: Sequence[Clip], ledger: Ledger, config: RunConfig, force: bool = False, retry_failed: bool = True
) -> Plan:
    """Drop what is done under `config`; order the rest.

    `force` drops nothing. With `retry_failed` clips that failed are tried again, else they stay failed as
    long as input and configuration are the same.
    """
    fingerprint, capture_fingerprint = config.fingerprint(), config.capture_fingerprint()
    items: list[WorkItem] = []
    kept: dict[str, Record] = {}
    known = ledger.as_of_now()
    for clip, identity in zip(clips, identify_all(clips), strict=True):
        key = identity.key()
        record = None if force else known.get(clip.clip_id)
        same_input = record is not None and record.input_key == key
        if record is not None and same_input and record.fingerprint == fingerprint:
            if record.status == DONE and record.names_its_files and known.intact(record):
                kept[clip.clip_id] = record
                continue
            if record.status == FAILED and not retry_failed:
                kept[clip.clip_id] = record
                continue
        seconds = expected_seconds(clip, identity)
        if record is not None and same_input and has_raw(known, record, capture_fingerprint):
            items.append(WorkItem(clip, key, seconds, reuse_raw=True, raw_checksum=record.raw_checksum))
        else:
            items.append(WorkItem(clip, key, seconds, is_new=known.get(clip.clip_id) is None))
    # Ties by clip_id: the plan does not depend on the order of the manifest's rows.
    items.sort(key=lambda item: (-item.cost_s, item.clip.clip_id))
    return Plan(tuple(items), kept)


def captured_again(todo: Plan, ledger: Ledger, config: RunConfig) -> list[str]:
    """clip_id of the clips in `todo` that are done, and only count no more under `config`."""
    fingerprint = config.capture_fingerprint()
    return [
        item.clip.clip_id
        for item in todo.items
        if not item.reuse_raw
        and (record := ledger.get(item.clip.clip_id)) is not None
        and record.status == DONE
        and record.input_key == item.input_key
        and record.capture_fingerprint != fingerprint
    ]


def has_raw(ledger: Ledger, record: Record, capture_fingerprint: str) -> bool:
    """True when the record's raw table is there in full, captured under this fingerprint."""
    return (
        record.capture_fingerprint == capture_fingerprint
        and bool(record.raw)
        and ledger.intact(dataclasses.replace(record, outputs=record.raw))
    )


def expected_seconds(clip: Clip, identity: InputIdentity) -> float:
    """Seconds of video that the clip is expected to hold: its range, else a guess from the file's size, or
    the images of a sequence."""
    start = clip.start or 0
    if identity.images_s is not None:
        from_size = identity.images_s
    else:
        from_size = identity.size / BYTES_PER_SECOND if identity.size >= 0 else UNKNOWN_SECONDS
    if clip.end is not None:
        return float(clip.end - start)
    return max(from_size - float(start), from_size * 0.1)
