"""One run in a folder that it holds: workers, records, reports.

In: an `Assignment` (clips, plan, configuration) and options. Out: a `RunSummary`; each clip's record is
published after its files, and ``clips.parquet`` and ``run.json`` are written at both ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from facecap_batch import machine
from facecap_batch.clip import named
from facecap_batch.errors import FacecapError, OutputLost, RunBroken
from facecap_batch.output import compact_index, reports
from facecap_batch.output.actors import write_actors
from facecap_batch.output.ledger import DONE, FAILED, Ledger, Record
from facecap_batch.output.ownership.claim import Claim
from facecap_batch.output.ownership.folders import remove_leftovers
from facecap_batch.output.segment_store import remove_done
from facecap_batch.runs.actors.workflow import ActorWorkflow
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.executors.choice import choose_executor
from facecap_batch.runs.executors.executor import Assigned
from facecap_batch.runs.manifest import Manifest
from facecap_batch.runs.observers.event_log import EventLog
from facecap_batch.runs.observers.progress import Display, ProgressCounter
from facecap_batch.runs.planner import Plan, WorkItem
from facecap_batch.runs.records import RunRecords
from facecap_batch.scheduling.ends.interruption import interruptible
from facecap_batch.scheduling.listeners import ListenerGroup, WorkerRoster

if TYPE_CHECKING:
    from facecap_batch.runs.workflow import WorkflowStep
    from facecap_batch.scheduling.messages import Outcome

# Of ``run.json``: what a run measures. A run that finds nothing to do keeps what the one before measured.
MEASURED = (
    *("run_id", "executor", "workers", "kept", "started_at", "finished_at", "elapsed_s", "frames", "video_s"),
    *("retries", "lost_workers", "lost_to_nodes", "hosts"),
)


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What a run has to do."""

    manifest: Manifest
    plan: Plan
    config: RunConfig
    last_run: Mapping[str, Any]  # ``run.json`` as the folder's last run left it; empty where there is none


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    clips: int
    done: int
    failed: int
    pending: int
    kept: int  # of those done: by earlier runs
    without_face: int  # of those done: no face was found in any frame
    frames: int  # by this run
    video_s: float  # seconds of video, by this run
    work_s: float  # seconds from the first ready worker to the last record
    elapsed_s: float  # seconds, everything included
    interrupted: bool = False
    output_lost: bool = False  # the folder does not belong to the run any more: it has no reports
    unreported: bool = False  # the storage refused the last look at the files, or the reports
    no_face: tuple[str, ...] = ()  # the clips that `without_face` counts, by name

    @property
    def exit_code(self) -> int:
        """0 all done, seen to be there and reported; 1 some failed, or that is not so; 130 interrupted."""
        if self.interrupted:
            return 130
        return 0 if self.done == self.clips and not self.output_lost and not self.unreported else 1


class Run:
    """One run. Use once: `open`, then `carry_out`, while the folder's lock is held."""

    def __init__(
        self, assignment: Assignment, options: RunOptions, ledger: Ledger, claim: Claim, started_s: float
    ) -> None:
        """
        Args:
            assignment: What is to be done.
            options: How.
            ledger: Of the output folder. Nothing is written before `open`.
            claim: To the output folder.
            started_s: When the run began, of time.monotonic().
        """
        self._claim = claim
        self._manifest, self._config = assignment.manifest, assignment.config
        self._plan, self._options, self._ledger = assignment.plan, options, ledger
        self._started_s, self._started_at = started_s, machine.utc_now()
        self._run_id = uuid.uuid4().hex
        self._items = {item.clip.clip_id: item for item in self._plan.items}
        self._records = RunRecords(ledger, self._plan.kept, claim.check)
        self._calibrations = dict(self._plan.calibrations)
        self._executor = choose_executor(self._plan, options)
        self._roster = WorkerRoster(self._executor.node_kind)
        self._event_log: EventLog | None = None
        self._last_run = assignment.last_run
        self._most_workers, self._work_s = 0, 0.0
        self._output_lost = self._unreported = False
        self._is_connected = False  # with what carries it out

    def open(self) -> None:
        """Begin: the event log, the index of the compact files, the reports.

        Raises OutputNotWritable where the event log refuses, OSError where the folder does.
        """
        output = self._ledger.output
        if self._options.log_json:
            self._event_log = EventLog(self._options.log_json, self._run_id)
            self._records.observe(self._event_log.kept)
        try:
            compact_index.invalidate(output, _redone(self._plan.items))
            if not self._plan.is_empty:
                self._write_reports("running")
        except BaseException:
            if self._event_log:
                self._event_log.close()
            raise

    def carry_out(self, display: Display) -> RunSummary:
        """Do what there is to do; return how it ended, also after an interrupt (SIGINT, SIGTERM) or where the
        output folder went away.

        Raises RunBroken when no worker can live, or what it is carried out with fails; ClusterUnavailable
        before anything is.
        """
        state, progress = "broken", self._progress_counter(display)
        self._log(
            "run_started",
            output=str(self._ledger.output),
            manifest=self._manifest.path,
            left=len(self._items),
        )
        try:
            with interruptible():
                if not self._plan.is_empty:
                    self._work(progress)
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            display.say("interrupted; what is done is kept, the same command goes on from here")
        except OutputLost as lost:
            self._output_lost = True
            display.say(str(lost))
        except Exception as error:
            if not self._is_connected:
                raise
            raise self._broken(error) from error
        finally:
            self._most_workers = progress.most_workers
            self._work_s = progress.snapshot().elapsed_s
            display.close()
            self._finish(state, display)
        return self._summary(interrupted=state == "interrupted")

    # --- the work -------------------------------------------------------------------------------

    def _progress_counter(self, display: Display) -> ProgressCounter:
        costs = {clip_id: item.cost_s for clip_id, item in self._items.items()}
        return ProgressCounter(len(self._manifest.clips), len(self._plan.kept), costs, display)

    def _work(self, progress: ProgressCounter) -> None:
        # A second time inside: Ray has put its own handler of SIGTERM into place.
        with self._executor.connected(), interruptible(), contextlib.closing(self._records):
            self._is_connected = True
            metrics = self._executor.metrics()
            if metrics is not None:
                self._records.observe(metrics.kept)
            observers = [observer for observer in (metrics, self._event_log) if observer is not None]
            listeners = ListenerGroup(progress, self._roster, *observers, self._records)
            workflow = ActorWorkflow(self._plan, self._ledger.output)
            self._calibrations = workflow.calibrations
            assigned = Assigned(self._config, self._options, self._claim, self._plan.captures)
            scheduler = self._executor.scheduler(assigned, listeners)
            with contextlib.closing(scheduler.run(workflow.first())) as outcomes:
                for outcome in outcomes:
                    steps = workflow.advance(outcome)
                    self._reopen(steps)
                    for step in steps:
                        scheduler.add(step.tasks)
                        scheduler.drop(step.dropped)
                        progress.advance(step)
                        if step.captured is not None:
                            self._records.publish(step.captured, step.was_cut)
                        if step.ended is not None:
                            self._records.publish(self._record_of(step.ended), step.was_cut)

    def _broken(self, error: Exception) -> RunBroken:
        """The error of a run that `error` has ended."""
        reason = str(error)
        if not isinstance(error, FacecapError | OSError):
            reason = f"unexpected, please report it: {type(error).__name__}: {error}"
        summary = self._summary()
        counts = f"{summary.done} of {summary.clips} clips are done and {summary.failed} failed"
        return RunBroken(
            f"the run broke off, {counts}: {reason}. What is done is kept, the same command goes on"
        )

    def _reopen(self, steps: Sequence[WorkflowStep]) -> None:
        """Clips that were done will be solved again: their tables in compact files are not valid any more."""
        reopened = [step.clip_id for step in steps if step.reopened is not None]
        if reopened:
            tables = {compact_index.table_name("coefficients", clip_id) for clip_id in reopened}
            compact_index.invalidate(self._ledger.output, tables)
        for clip_id in reopened:
            self._records.reopen(clip_id)

    def _record_of(self, outcome: Outcome) -> Record:
        """The record of a clip that has ended."""
        if outcome.ok:
            record: Record = outcome.result
            if record.attempts == outcome.attempts:
                return record
            return dataclasses.replace(record, attempts=outcome.attempts)
        captured = outcome.result  # the record of a clip that is captured, and could not be solved
        return Record(
            clip_id=outcome.key,
            status=FAILED,
            input_key=(captured or self._items[outcome.key]).input_key,
            outputs=captured.raw if captured else {},
            capture_fingerprint=self._config.capture_fingerprint(),
            fingerprint=self._config.fingerprint(),
            attempts=outcome.attempts,
            finished_at=machine.utc_now(),
            error_type=outcome.error_type,
            error=outcome.error,
        )

    # --- the reports ----------------------------------------------------------------------------

    def _finish(self, state: str, display: Display) -> None:
        try:
            self._look(display)
            if not self._output_lost:
                # Of workers that were stopped in the middle of a file.
                remove_leftovers(self._ledger.output)
                remove_done(self._ledger.output, self._records.is_done)  # segments that came in too late
                self._write_reports(state)
        except OSError as error:
            self._unreported = True
            display.say(f"the report could not be written: {error}; the same command writes it again")
        if self._event_log:
            summary = self._summary()
            self._log(
                "run_ended", state=state, done=summary.done, failed=summary.failed, left=summary.pending
            )
            self._event_log.close()

    def _look(self, display: Display) -> None:
        """See that the folder, and all in it that counts as done, is there. Raises OSError."""
        if not self._output_lost:
            try:
                self._claim.check()
            except OutputLost as lost:
                self._output_lost = True
                display.say(str(lost))
        gone = () if self._plan.is_empty else self._records.look()
        if gone:
            display.say(
                f"files of {len(gone)} clip(s) that were done are not in {self._ledger.output} any more: "
                f"{named(gone)}; give the same command again"
            )

    def _log(self, event: str, **fields: Any) -> None:
        if self._event_log:
            self._event_log.write(event, **fields)

    def _write_reports(self, state: str) -> None:
        """Publish ``clips.parquet``, ``actors.parquet`` and ``run.json``; raises OSError."""
        output = self._ledger.output
        reports.write_clips(output, self._manifest.clips, self._records.by_clip)
        report = self._report(state)
        last = self._last_run
        if state != "running":
            write_actors(output, self._calibrations)
        if self._plan.is_empty and last.get("finished_at") and last.get("fingerprint") == report.fingerprint:
            measured = {name: last[name] for name in MEASURED if name in last}
            report = dataclasses.replace(report, **measured)
            if reports.is_recorded(report, last):
                return
        reports.write_run(output, report)

    def _report(self, state: str) -> reports.RunReport:
        summary = self._summary()
        ended = state != "running"
        return reports.RunReport(
            run_id=self._run_id,
            state=state,
            manifest=self._manifest.path,
            executor=self._executor.reason,
            workers=self._most_workers,
            clips=summary.clips,
            done=summary.done,
            failed=summary.failed,
            pending=summary.pending,
            kept=summary.kept,
            without_face=summary.without_face,
            started_at=self._started_at,
            finished_at=machine.utc_now() if ended else None,
            elapsed_s=round(summary.elapsed_s, 3) if ended else None,
            frames=summary.frames,
            video_s=summary.video_s,
            errors=self._records.errors(),
            retries=self._roster.retries,
            lost_workers=self._roster.lost_workers,
            lost_to_nodes=self._roster.lost_to_nodes,
            hosts=self._roster.host_kinds(),
            fingerprint=self._config.fingerprint(),
            capture_fingerprint=self._config.capture_fingerprint(),
            config=self._config.describe(),
        )

    def _summary(self, interrupted: bool = False) -> RunSummary:
        records = self._records.by_clip
        kept = self._plan.kept
        no_face = self._records.without_face()
        own = [record for clip_id, record in records.items() if record is not kept.get(clip_id)]
        return RunSummary(
            clips=len(self._manifest.clips),
            done=self._records.count(DONE),
            failed=self._records.count(FAILED),
            pending=len(self._manifest.clips) - len(records),
            kept=sum(
                1
                for clip_id, record in kept.items()
                if record.status == DONE and record is records.get(clip_id)
            ),
            without_face=len(no_face),
            frames=sum(record.frames for record in own),
            video_s=sum(record.seconds for record in own),
            work_s=self._work_s,
            elapsed_s=time.monotonic() - self._started_s,
            interrupted=interrupted,
            output_lost=self._output_lost,
            unreported=self._unreported,
            no_face=no_face,
        )


def _redone(items: Sequence[WorkItem]) -> set[str]:
    """The tables that will be written anew."""
    return {
        compact_index.table_name(kind, item.clip.clip_id)
        for item in items
        for kind in (("coefficients",) if item.reuse_raw else ("coefficients", "raw"))
    }
