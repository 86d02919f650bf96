"""The workflow of a run whose clips are calibrated by actor: captures, the calibration, solves.

In: a plan, the outcomes of tasks. Out: tasks, and how clips ended. A clip with an actor is captured as any
other (see `workflow`) and then waits. When all clips of its actor are captured or have failed, one task
measures the calibration on all their raw tables; then each clip is solved with it, those excepted that were
solved with the same one before. Where the calibration fails, so do its clips; their raw tables are kept for a
rerun. Clips without an actor go through as they come.
"""

from __future__ import annotations

import dataclasses
import math

from facecap_batch.output.ledger import CAPTURED, Record
from facecap_batch.runs.planner import ActorGroup, CalibrationItem, CapturedClip, Plan, SolveItem
from facecap_batch.runs.workflow import ClipWorkflow, WorkflowStep
from facecap_batch.scheduling.messages import Outcome, Task
from facecap_batch.solve.actors import ActorCalibration
from facecap_batch.storage.publish import StoragePath

# Of the keys of calibrations: a clip's id holds no slash, so no task of a clip begins like this.
CALIBRATION = "/calibration of "


class _Actor:
    """The clips of an actor under way."""

    def __init__(self, group: ActorGroup) -> None:
        self.name = group.actor
        self.uncaptured = set(group.uncaptured)
        self.captured = {own.clip.clip_id: own for own in group.captured}
        self._is_settled = group.is_settled

    def add(self, own: CapturedClip) -> None:
        """A clip is captured now."""
        self.captured[own.clip.clip_id] = own
        self._is_settled = False

    def next_task(self) -> list[Task]:
        """The calibration, once it can be measured and if it must be."""
        if self.uncaptured or self._is_settled:
            return []
        item = CalibrationItem(self.name, tuple(sorted(self.captured)))
        return [Task(CALIBRATION + self.name, item, math.inf)] if self.captured else []


class ActorWorkflow:
    """Follows every clip of a run."""

    def __init__(self, plan: Plan, output: StoragePath) -> None:
        self._actors = [_Actor(group) for group in plan.actors]
        self._items = {item.clip.clip_id: item for item in plan.items}
        self._actor_of = {clip_id: actor for actor in self._actors for clip_id in actor.uncaptured}
        self._calibrating = {CALIBRATION + actor.name: actor for actor in self._actors}
        self._solving: dict[str, CapturedClip] = {}  # key of a task -> its clip
        solved_later = {clip_id for actor in self._actors for clip_id in actor.captured}
        self._clips = ClipWorkflow(
            [item for item in plan.items if item.clip.clip_id not in solved_later], output
        )
        self.calibrations: dict[str, ActorCalibration] = dict(plan.calibrations)  # actor -> as of now

    def first(self) -> list[Task]:
        """The tasks that a run begins with."""
        return self._clips.first() + [task for actor in self._actors for task in actor.next_task()]

    def advance(self, outcome: Outcome) -> list[WorkflowStep]:
        """What follows from `outcome`, clip by clip."""
        if outcome.key in self._calibrating:
            return self._calibrated(self._calibrating.pop(outcome.key), outcome)
        if outcome.key in self._solving:
            return [_solved(self._solving.pop(outcome.key), outcome)]
        step = self._clips.advance(outcome)
        actor = self._actor_of.get(step.clip_id)
        if step.ended is None or actor is None:
            return [step]
        actor.uncaptured.remove(step.clip_id)
        if step.ended.ok:
            record = dataclasses.replace(step.ended.result, attempts=step.ended.attempts)
            actor.add(CapturedClip(self._items[step.clip_id].clip, record, is_done=False))
            step = dataclasses.replace(step, ended=None, captured=record)
        return [dataclasses.replace(step, tasks=(*step.tasks, *actor.next_task()))]

    def _calibrated(self, actor: _Actor, outcome: Outcome) -> list[WorkflowStep]:
        """Solve the clips of an actor, or give them up."""
        if not outcome.ok:
            self.calibrations.pop(actor.name, None)
            return [
                dataclasses.replace(_given_up(own, outcome), reopened=self._reopened(own))
                for own in actor.captured.values()
            ]
        calibration: ActorCalibration = outcome.result
        self.calibrations[actor.name] = calibration
        digest = calibration.digest()
        steps = []
        for clip_id, own in actor.captured.items():
            if own.is_done and own.record.calibration == digest:
                continue
            record = own.record
            item = SolveItem(own.clip, record.input_key, calibration, record.raw_checksum)
            task = Task(f"{clip_id}/solve", item, math.inf)
            self._solving[task.key] = own
            steps.append(WorkflowStep(clip_id, (task,), reopened=self._reopened(own)))
        return steps

    def _reopened(self, own: CapturedClip) -> Record | None:
        """The record of a clip that had ended before this run."""
        return None if own.clip.clip_id in self._items else own.record


def _solved(own: CapturedClip, outcome: Outcome) -> WorkflowStep:
    if not outcome.ok:
        return _given_up(own, outcome)
    clip_id, result = own.clip.clip_id, outcome.result
    assert isinstance(result, Record)
    attempts = outcome.attempts
    if own.record.status == CAPTURED:
        attempts = max(attempts, own.record.attempts)
        result = dataclasses.replace(result, wall_s=round(result.wall_s + own.record.wall_s, 3))
    return WorkflowStep(clip_id, ended=Outcome(clip_id, attempts, result=result))


def _given_up(own: CapturedClip, outcome: Outcome) -> WorkflowStep:
    """A clip that is captured and cannot be solved: its record, of which the raw table stays, comes along."""
    clip_id = own.clip.clip_id
    error = f"{outcome.key.lstrip('/')}: {outcome.error}"
    failed = Outcome(clip_id, outcome.attempts, own.record, outcome.error_type, error)
    return WorkflowStep(clip_id, ended=failed)
