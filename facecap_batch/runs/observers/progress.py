"""What a person sees while a run is going: a bar on a terminal, plain lines elsewhere.

In: the scheduler's events (`ProgressCounter` is its listener). Out: text on standard error.
Time left is shown only when something has been finished, and from what was finished.
"""

from __future__ import annotations

import collections
import dataclasses
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from facecap_batch.scheduling.messages import Listener, Outcome, Progress, WorkerReady
from facecap_batch.timecode import clock

if TYPE_CHECKING:
    from facecap_batch.output.ledger import Record
    from facecap_batch.runs.workflow import WorkflowStep

PLAIN_EVERY_S = 10.0  # between two lines where there is no terminal
BAR_EVERY_S = 0.5


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """How far a run is."""

    clips: int  # of the manifest
    kept: int  # finished before this run
    done: int  # by this run
    failed: int
    frames: int  # by this run, clips under way included
    video_s: float  # seconds of video, as above
    elapsed_s: float  # since the first worker was ready
    left_s: float | None  # None: not known yet
    workers: int
    share: float  # 0..1 of the expected work

    @property
    def fps(self) -> float:
        return self.frames / self.elapsed_s if self.elapsed_s > 0 else 0.0


class Display(Protocol):
    """Shows snapshots and remarks."""

    def show(self, snapshot: Snapshot) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


class ProgressCounter(Listener):
    """Counts the events of the scheduler and passes a `Snapshot` to the display, now and then."""

    def __init__(self, clips: int, kept: int, costs: Mapping[str, float], display: Display) -> None:
        """`costs`: clip_id -> expected seconds of video, for every clip of this run."""
        self._costs = dict(costs)
        self._total_cost = sum(costs.values())
        self._display = display
        self._under_way: dict[str, int] = {}  # clip or segment -> frames
        self._segments: collections.Counter[str] = collections.Counter()  # clip_id -> frames done of it
        self._clips, self._kept = clips, kept
        self._done = self._failed = self._frames = self._workers = 0
        self._video_s = self._cost = 0.0
        self._ready_at: float | None = None
        self.most_workers = 0

    # --- the scheduler's listener ---

    def started(self, key: str, worker: WorkerReady) -> None:
        self._under_way[key] = 0

    def progress(self, key: str, progress: Progress) -> None:
        self._under_way[key] = progress.frames
        self._show()

    def retried(self, key: str, reason: str) -> None:
        self._under_way.pop(key, None)
        self._display.say(f"retried: {key}: {reason}")

    def ended(self, outcome: Outcome) -> None:
        self._under_way.pop(outcome.key, None)

    # --- the clips' workflow ---

    def advance(self, step: WorkflowStep) -> None:
        """Count what an outcome means for its clip."""
        costs, clip_id = self._costs, step.clip_id
        if step.reopened is not None:
            self._kept -= 1
            costs[clip_id] = 0.0  # a solve, which is nothing beside a capture
        if step.captured is not None:
            self._segments[clip_id] = step.captured.frames
            self._cost += costs[clip_id]
            costs[clip_id] = 0.0
        if step.video_s is not None:  # now that it is known, it counts instead of what was expected
            self._segments.pop(clip_id, None)
            self._total_cost += step.video_s - costs[clip_id]
            costs[clip_id] = step.video_s
        if step.segments:
            self._segments[clip_id] += sum(record.frames for record in step.segments)
            self._cost += step.segments_s
            costs[clip_id] -= step.segments_s
        if step.ended is not None:
            self._clip_ended(step.ended)
        self._show()

    def _clip_ended(self, outcome: Outcome) -> None:
        self._segments.pop(outcome.key, None)
        self._cost += max(0.0, self._costs.get(outcome.key, 0.0))
        if outcome.ok:
            record: Record = outcome.result
            self._done += 1
            self._frames += record.frames
            self._video_s += record.seconds
            if record.shows_no_face:
                self._display.say(f"no face found: {outcome.key}")
        else:
            self._failed += 1
            self._display.say(f"failed: {outcome.key}: {outcome.error_type}: {outcome.error}")

    def workers(self, count: int) -> None:
        if self._ready_at is None and count:
            self._ready_at = time.monotonic()
        self._workers = count
        self.most_workers = max(self.most_workers, count)
        self._show()

    # --- the sum ---

    def snapshot(self) -> Snapshot:
        elapsed = 0.0 if self._ready_at is None else time.monotonic() - self._ready_at
        open_frames = sum(self._under_way.values()) + self._segments.total()
        # Clips under way count with the average frame duration of those that are done; 1/30 s before that.
        per_frame = self._video_s / self._frames if self._frames else 1 / 30
        share = min(self._cost / self._total_cost, 1.0) if self._total_cost else 1.0
        return Snapshot(
            clips=self._clips,
            kept=self._kept,
            done=self._done,
            failed=self._failed,
            frames=self._frames + open_frames,
            video_s=self._video_s + open_frames * per_frame,
            elapsed_s=elapsed,
            left_s=elapsed / share - elapsed if share > 0 else None,
            workers=self._workers,
            share=share,
        )

    def _show(self) -> None:
        self._display.show(self.snapshot())


class NoDisplay:
    """Shows nothing."""

    def show(self, snapshot: Snapshot) -> None:
        return

    def say(self, text: str) -> None:
        return

    def close(self) -> None:
        return


class PlainDisplay:
    """A line now and then; every remark at once."""

    def __init__(self, stream: TextIO | None = None, every_s: float = PLAIN_EVERY_S) -> None:
        self._stream = stream or sys.stderr
        self._every_s = every_s
        self._shown_at = time.monotonic()

    def show(self, snapshot: Snapshot) -> None:
        if time.monotonic() - self._shown_at >= self._every_s:
            self._shown_at = time.monotonic()
            self.say(describe(snapshot))

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        pass


class BarDisplay:
    """A bar that a terminal redraws."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        self._task = self._bar.add_task("starting", total=1.0)
        self._shown_at = 0.0
        self._bar.start()

    def show(self, snapshot: Snapshot) -> None:
        if time.monotonic() - self._shown_at >= BAR_EVERY_S or snapshot.share >= 1:
            self._shown_at = time.monotonic()
            self._bar.update(self._task, completed=snapshot.share, description=describe(snapshot))

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._bar.stop()


def make_display(quiet: bool = False) -> Display:
    """A bar where standard error is a terminal; lines where it is not, or only remarks when `quiet`."""
    if quiet:
        return PlainDisplay(every_s=float("inf"))
    return BarDisplay() if sys.stderr.isatty() else PlainDisplay()


def describe(snapshot: Snapshot) -> str:
    """One line: ``12/40 clips, 1 failed, 3:05 of video, 212 fps, 2 workers, 0:48 left``."""
    ended = snapshot.kept + snapshot.done + snapshot.failed
    parts = [f"{ended}/{snapshot.clips} clips"]
    if snapshot.failed:
        parts.append(f"{snapshot.failed} failed")
    parts.append(f"{clock(snapshot.video_s)} of video")
    parts.append(f"{snapshot.fps:.0f} fps")
    parts.append(f"{snapshot.workers} worker{'' if snapshot.workers == 1 else 's'}")
    if snapshot.left_s is not None:
        parts.append(f"{clock(snapshot.left_s)} left")
    return ", ".join(parts)
