"""One run, once its folder is held and its plan is made: workers, records, reports.

In: clips, a plan, a configuration. Out: a `RunSummary`; each clip's record is published after its files, and
``clips.parquet`` and ``run.json`` are written at both ends.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from facecap_batch import machine
from facecap_batch.clip import Clip
from facecap_batch.output import compact_index, reports
from facecap_batch.output.ledger import DONE, FAILED, Ledger, Record
from facecap_batch.output.segment_store import SegmentFolder, remove_done
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.observers.event_log import EventLog
from facecap_batch.runs.observers.progress import Display, ProgressCounter
from facecap_batch.runs.planner import Plan, WorkItem
from facecap_batch.scheduling import cluster, nodes
from facecap_batch.scheduling.listeners import ListenerGroup, WorkerRoster
from facecap_batch.storage.publish import remove_leftovers

if TYPE_CHECKING:
    from facecap_batch.scheduling.messages import Outcome

ROOM_S = 2.0  # how long it may take until a node that joined gets workers


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    clips: int
    done: int
    failed: int
    pending: int
    kept: int  # of those done: by earlier runs
    frames: int  # by this run
    video_s: float  # seconds of video, by this run
    work_s: float  # seconds from the first ready worker to the last record
    elapsed_s: float  # seconds, everything included
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some failed, 130 interrupted."""
        if self.interrupted:
            return 130
        return 0 if self.done == self.clips else 1


class Run:
    """One run, once its folder is held and its plan is made."""

    def __init__(
        self,
        manifest: str,
        clips: Sequence[Clip],
        todo: Plan,
        config: RunConfig,
        options: RunOptions,
        ledger: Ledger,
        started: float,
    ) -> None:
        self.manifest, self.clips, self.todo = manifest, clips, todo
        self.config, self.options, self.ledger = config, options, ledger
        self.started, self.started_at = started, machine.utc_now()
        self.records: dict[str, Record] = dict(todo.kept)
        self.items = {item.clip.clip_id: item for item in todo.items}
        costs = {clip_id: item.cost_s for clip_id, item in self.items.items()}
        self.tally_of = lambda display: ProgressCounter(len(clips), len(todo.kept), costs, display)
        self.run_id = uuid.uuid4().hex
        self.roster = WorkerRoster(nodes.node_kind)
        self.journal = EventLog(options.log_json, self.run_id) if options.log_json else None
        self.told: list[Callable[[Record], None]] = [self.journal.kept] if self.journal else []
        self.most_workers = 0
        self.room, self.room_at = 1, -math.inf
        self.work_s = 0.0
        compact_index.invalidate(ledger.output, _redone(todo.items))

    def carry_out(self, display: Display) -> RunSummary:
        state, tally = "broken", self.tally_of(display)
        self._log("run_started", output=str(self.ledger.output), manifest=self.manifest, left=len(self.items))
        try:
            with _interruptible():
                if self.items:
                    self._work(tally)
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            display.say("interrupted; what is done is kept, the same command goes on from here")
        finally:
            self.most_workers = tally.most_workers
            self.work_s = tally.snapshot().elapsed_s
            display.close()
            self._finish(state, display)
        return self.summary(interrupted=state == "interrupted")

    def _work(self, tally: ProgressCounter) -> None:
        options = self.options
        # A second time inside: Ray has put its own handler of SIGTERM into place.
        joined = cluster.connected(options.ray_address, self._local_cpus(), options.gpus_per_worker)
        with joined, _interruptible():
            # Ray is imported here and not before: see cluster._authenticate.
            from facecap_batch.runs.observers.metrics import RunMetrics
            from facecap_batch.runs.workflow import ClipWorkflow
            from facecap_batch.scheduling.scheduler import Limits, Scheduler

            metrics = RunMetrics()
            self.told.append(metrics.kept)
            listeners = ListenerGroup(tally, self.roster, metrics, *([self.journal] if self.journal else []))
            course = ClipWorkflow(self.todo.items, self.ledger.output)
            scheduler = Scheduler(
                self._worker_starter(), self._wanted, listeners, Limits(attempts=options.attempts)
            )
            with contextlib.closing(scheduler.run(course.first())) as outcomes:
                for outcome in outcomes:
                    step = course.follow(outcome)
                    scheduler.add(step.tasks)
                    scheduler.drop(step.dropped)
                    tally.follow(step)
                    if step.ended is not None:
                        self._end(step.ended)
                    if step.was_cut and self._is_done(step.clip_id):
                        SegmentFolder(self.ledger.output, step.clip_id).remove()

    def _end(self, outcome: Outcome) -> None:
        """Keep the record of a clip."""
        record = outcome.result if outcome.ok else None
        if record is None:
            record = self._failed(outcome.key, outcome.error_type, outcome.error)
        self._keep(dataclasses.replace(record, attempts=outcome.attempts))

    def _worker_starter(self) -> Any:
        import ray

        from facecap_batch.runs.worker import ClipWorker

        actor = ray.remote(ClipWorker).options(
            num_cpus=self.options.cpus_per_worker,
            num_gpus=self.options.gpus_per_worker,
            memory=self._memory_per_worker(),
            max_restarts=0,
            max_task_retries=0,
        )
        config, output = ray.put(self.config), str(self.ledger.output)
        captures = any(not item.reuse_raw for item in self.todo.items)
        segment_s = self.options.segment_s
        return lambda: actor.remote(config, output, captures, segment_s)

    def _local_cpus(self) -> float | None:
        """CPUs that a Ray of our own pretends to have: room for the workers that were asked for."""
        if self.options.workers is None:
            return None
        return max(1, -(-self.options.workers * self.options.cpus_per_worker // 1))

    def _memory_per_worker(self) -> int:
        """Bytes; 0 where the number of workers was given: whoever gives it has decided what fits."""
        return nodes.memory_per_worker() if self.options.workers is None else 0

    def _wanted(self) -> int:
        if self.options.workers is not None:
            return self.options.workers
        now = time.monotonic()
        if now - self.room_at >= ROOM_S:
            self.room_at = now
            self.room = nodes.worker_capacity(
                self.options.cpus_per_worker, self.options.gpus_per_worker, self._memory_per_worker()
            )
        return self.room

    def _keep(self, record: Record) -> None:
        """Publish a record; a done clip whose record the storage refuses counts as failed until a rerun."""
        try:
            self.ledger.put(record)
        except OSError as error:
            if record.status == DONE:
                reason = f"its record could not be written: {error.strerror or error}"
                record = self._failed(record.clip_id, "OutputNotWritable", reason)
        self.records[record.clip_id] = record
        for tell in self.told:
            tell(record)

    def _failed(self, clip_id: str, error_type: str, error: str) -> Record:
        item: WorkItem = self.items[clip_id]
        return Record(
            clip_id=clip_id,
            status=FAILED,
            input_key=item.input_key,
            capture_fingerprint=self.config.capture_fingerprint(),
            fingerprint=self.config.fingerprint(),
            finished_at=machine.utc_now(),
            error_type=error_type,
            error=error,
        )

    def _finish(self, state: str, display: Display) -> None:
        try:
            # Workers that were stopped in the middle of a file.
            remove_leftovers(self.ledger.output)
            remove_done(self.ledger.output, self._is_done)  # segments that came in too late
            self.write(state)
        except OSError as error:
            display.say(f"the report could not be written: {error}; the same command writes it again")
        if self.journal:
            summary = self.summary()
            self._log(
                "run_ended", state=state, done=summary.done, failed=summary.failed, left=summary.pending
            )
            self.journal.close()

    def _log(self, event: str, **fields: Any) -> None:
        if self.journal:
            self.journal.write(event, **fields)

    def _is_done(self, clip_id: str) -> bool:
        record = self.records.get(clip_id)
        return record is not None and record.status == DONE

    def write(self, state: str) -> None:
        """Publish ``clips.parquet`` and ``run.json``."""
        reports.write_clips(self.ledger.output, self.clips, self.records)
        summary = self.summary()
        ended = state != "running"
        reports.write_run(
            self.ledger.output,
            reports.RunReport(
                run_id=self.run_id,
                state=state,
                manifest=self.manifest,
                workers=self.most_workers,
                clips=summary.clips,
                done=summary.done,
                failed=summary.failed,
                pending=summary.pending,
                kept=summary.kept,
                started_at=self.started_at,
                finished_at=machine.utc_now() if ended else None,
                elapsed_s=round(summary.elapsed_s, 3) if ended else None,
                frames=summary.frames,
                video_s=summary.video_s,
                errors=self._errors(),
                retries=self.roster.retries,
                lost_workers=self.roster.lost_workers,
                lost_to_nodes=self.roster.lost_to_nodes,
                hosts=self.roster.host_kinds(),
                fingerprint=self.config.fingerprint(),
                capture_fingerprint=self.config.capture_fingerprint(),
                config=self.config.describe(),
            ),
        )

    def _errors(self) -> dict[str, int]:
        """error_type -> failed clips, the most frequent first."""
        types = (record.error_type for record in self.records.values() if record.status == FAILED)
        return dict(collections.Counter(types).most_common())

    def summary(self, interrupted: bool = False) -> RunSummary:
        status = [record.status for record in self.records.values()]
        own = [record for clip_id, record in self.records.items() if clip_id in self.items]
        return RunSummary(
            clips=len(self.clips),
            done=status.count(DONE),
            failed=status.count(FAILED),
            pending=len(self.clips) - len(status),
            kept=sum(1 for record in self.todo.kept.values() if record.status == DONE),
            frames=sum(record.frames for record in own),
            video_s=sum(record.seconds for record in own),
            work_s=self.work_s,
            elapsed_s=time.monotonic() - self.started,
            interrupted=interrupted,
        )


def _redone(items: Sequence[WorkItem]) -> set[str]:
    """The tables that will be written anew."""
    return {
        compact_index.table_name(kind, item.clip.clip_id)
        for item in items
        for kind in (("coefficients",) if item.reuse_raw else ("coefficients", "raw"))
    }


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends a run like Ctrl-C does: cluster managers send it before they kill."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
