"""The workflow of a clip: which tasks follow from one that has ended.

In: the work items of a plan, the outcomes of tasks. Out: tasks, and how clips ended. A clip is one task,
unless its worker finds it long: then its segments are tasks, those that an earlier run left done excepted,
and when the last is in, the join, which goes before everything else. A join may send the clip back to be
taken in another orientation or in one piece; a segment whose video is damaged does the latter. A segment
that fails fails its clip: its other segments are dropped, and what is done of them is kept for a rerun.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from facecap_batch.capturing.segments.plan import SegmentPlan
from facecap_batch.output.ledger import Record
from facecap_batch.output.segment_store import SegmentFolder, SegmentRecord
from facecap_batch.runs.planner import JOIN_SHARE, JoinItem, SegmentItem, WorkItem
from facecap_batch.scheduling.messages import Outcome, Task
from facecap_batch.storage.publish import StoragePath


@dataclasses.dataclass(frozen=True)
class WorkflowStep:
    """What follows from one outcome."""

    clip_id: str
    tasks: tuple[Task, ...] = ()  # to be done now
    dropped: tuple[str, ...] = ()  # keys of tasks that need not be done any more
    ended: Outcome | None = None  # of the clip, its key the clip_id; its result a Record
    segments: tuple[SegmentRecord, ...] = ()  # that are done now, or were by an earlier run
    video_s: float | None = None  # seconds of video of a clip that was cut just now
    segments_s: float = 0.0  # seconds of video of `segments`
    was_cut: bool = False  # the clip has ended, or is captured, and left segments behind
    captured: Record | None = None  # the clip is captured now; it waits for its actor's other clips
    reopened: Record | None = None  # of a clip that had ended before this run and is solved again


@dataclasses.dataclass
class _Clip:
    """A clip under way."""

    item: WorkItem
    tasks: set[str] = dataclasses.field(default_factory=set)  # keys that are not done yet
    cuts: SegmentPlan | None = None
    rounds: int = 0  # how often it was cut
    attempts: int = 1  # of the task that took most
    wall_s: float = 0.0  # seconds workers spent on its segments


class ClipWorkflow:
    """Follows every clip of a run."""

    def __init__(self, items: Iterable[WorkItem], output: StoragePath) -> None:
        self._output = output
        self._clips = {item.clip.clip_id: _Clip(item) for item in items}
        self._clip_of: dict[str, str] = {}  # key of a task -> clip_id

    def first(self) -> list[Task]:
        """The tasks that a run begins with: one for every clip."""
        return [self._whole(clip_id, clip) for clip_id, clip in self._clips.items()]

    def advance(self, outcome: Outcome) -> WorkflowStep:
        """What follows from `outcome`."""
        clip_id = self._clip_of.pop(outcome.key)
        clip = self._clips.get(clip_id)
        if clip is None or outcome.key not in clip.tasks:
            return WorkflowStep(clip_id)  # of a clip that has ended or goes on in another way
        clip.tasks.remove(outcome.key)
        clip.attempts = max(clip.attempts, outcome.attempts)
        result = outcome.result
        if isinstance(result, SegmentPlan):
            return self._cut(clip_id, clip, result)
        if isinstance(result, SegmentRecord):
            return self._segment_done(clip_id, clip, result)
        del self._clips[clip_id]
        if isinstance(result, Record) and clip.rounds:
            result = dataclasses.replace(result, wall_s=round(result.wall_s + clip.wall_s, 3))
        error = outcome.error if outcome.key == clip_id or outcome.ok else f"{outcome.key}: {outcome.error}"
        ended = dataclasses.replace(outcome, key=clip_id, attempts=clip.attempts, result=result, error=error)
        return WorkflowStep(clip_id, dropped=tuple(clip.tasks), ended=ended, was_cut=clip.rounds > 0)

    def _cut(self, clip_id: str, clip: _Clip, cuts: SegmentPlan) -> WorkflowStep:
        """Hand out the segments of a clip, or the clip whole."""
        dropped, clip.tasks = tuple(clip.tasks), set()
        clip.cuts, clip.wall_s = cuts, 0.0
        clip.rounds += 1
        if not cuts.segments:
            return WorkflowStep(clip_id, (self._whole(clip_id, clip),), dropped)
        folder = SegmentFolder(self._output, clip_id)
        video_s = sum(segment.seconds for segment in cuts.segments)
        tasks, records, seconds = [], [], 0.0
        for segment in cuts.segments:
            record = folder.record(cuts, segment.number)
            if record is None:
                item = SegmentItem(clip.item.clip, cuts.only(segment))
                # A segment counts with the join that waits for it: joins should come before the end.
                cost = segment.seconds + JOIN_SHARE * video_s
                tasks.append(self._task(clip_id, clip, f"segment {segment.number}", item, cost))
            else:
                records.append(record)
                seconds += segment.seconds
                clip.wall_s += record.wall_s
        if not tasks:
            tasks.append(self._join(clip_id, clip, cuts))
        return WorkflowStep(clip_id, tuple(tasks), dropped, None, tuple(records), video_s, seconds)

    def _segment_done(self, clip_id: str, clip: _Clip, record: SegmentRecord) -> WorkflowStep:
        assert clip.cuts is not None
        clip.wall_s += record.wall_s
        tasks = () if clip.tasks else (self._join(clip_id, clip, clip.cuts),)
        seconds = clip.cuts.segments[record.number].seconds
        return WorkflowStep(clip_id, tasks, segments=(record,), segments_s=seconds)

    def _whole(self, clip_id: str, clip: _Clip) -> Task:
        clip.tasks.add(clip_id)
        self._clip_of[clip_id] = clip_id
        return Task(clip_id, clip.item, clip.item.cost_s)

    def _join(self, clip_id: str, clip: _Clip, cuts: SegmentPlan) -> Task:
        # Cheap, and all that its clip still waits for.
        item = JoinItem(clip.item.clip, clip.item.input_key, cuts, clip.item.is_new)
        return self._task(clip_id, clip, "join", item, math.inf)

    def _task(
        self, clip_id: str, clip: _Clip, what: str, payload: SegmentItem | JoinItem, cost: float
    ) -> Task:
        cut_anew = f" ({clip.rounds})" if clip.rounds > 1 else ""
        key = f"{clip_id}/{what}{cut_anew}"
        clip.tasks.add(key)
        self._clip_of[key] = clip_id
        return Task(key, payload, cost)
