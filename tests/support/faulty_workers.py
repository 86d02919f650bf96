"""Workers that really fail: the process itself dies or hangs, as the id of its clip orders.

A clip's id orders what happens: ``segfault-always``, ``segfault-once`` (the first time), likewise ``kill-…``
(as the kernel's out-of-memory killer does it) and ``hang-…`` (stopped: it answers nothing). Everything else
is the real worker.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from facecap_batch.runs.planner import CalibrationItem, Item, SolveItem, WorkItem
from facecap_batch.runs.worker import ClipWorker
from facecap_batch.scheduling.messages import Done, Failed, Progress
from tests.support.toy_workers import take_memory_away

PATIENCE_S = 120.0


class DyingWorker(ClipWorker):
    """Leaves a file in ``<output>.marks`` for every attempt at a clip."""

    signals: ClassVar = {"segfault": signal.SIGSEGV, "kill": signal.SIGKILL}

    def work(self, item: WorkItem) -> Iterator[Progress | Done | Failed]:
        clip_id = item.clip.clip_id
        marks = Path(f"{self.claim.output}.marks")
        marks.mkdir(exist_ok=True)
        first = not any(marks.glob(f"{clip_id}.*"))
        (marks / f"{clip_id}.{time.time_ns()}").touch()
        fault = clip_id.split("-")[0]
        if fault in self.signals and (first or "-once" not in clip_id):
            yield Progress(1)  # the driver knows that the task has begun
            os.kill(os.getpid(), self.signals[fault])
        yield from super().work(item)


def make_dying_worker(*arguments: Any) -> DyingWorker:
    """What a process makes its worker with, in place of `process_executor.make_worker`."""
    return DyingWorker(*arguments)


class StarvedWorker(ClipWorker):
    """Gets no further memory once it was given ``starve-once`` the first time, or ``starve-always``."""

    def work(self, item: Item) -> Iterator[Progress | Done | Failed]:
        clip_id, mark = item.clip.clip_id, Path(f"{self.claim.output}.{item.clip.clip_id}")
        if clip_id == "starve-always" or (clip_id == "starve-once" and not mark.exists()):
            mark.touch()
            take_memory_away()
        yield from super().work(item)


def make_starved_worker(*arguments: Any) -> StarvedWorker:
    """As `make_dying_worker`."""
    return StarvedWorker(*arguments)


class ReplacingWorker(DyingWorker):
    """Dies as often as it is given ``kill-always``; the second time it changes the engines on disk before."""

    def work(self, item: WorkItem) -> Iterator[Progress | Done | Failed]:
        tries = list(Path(f"{self.claim.output}.marks").glob("kill-always.*"))
        if item.clip.clip_id == "kill-always" and tries:
            card = Path(self.config.engines) / "detector.json"
            card.write_text(card.read_text().replace('"nms_iou": 0.3', '"nms_iou": 0.4'))
        yield from super().work(item)


def make_replacing_worker(*arguments: Any) -> ReplacingWorker:
    """As `make_dying_worker`."""
    return ReplacingWorker(*arguments)


class HangingWorker(DyingWorker):
    """The same for clips that hang."""

    signals: ClassVar = {"hang": signal.SIGSTOP}


class GatedWorker(ClipWorker):
    """Waits with every clip but ``free…`` until ``<output>.gate`` is there; reports progress meanwhile."""

    def work(self, item: Item) -> Iterator[Progress | Done | Failed]:
        gate = Path(f"{self.claim.output}.gate")
        while self.waits(item) and not gate.exists():
            yield Progress(0)
            time.sleep(0.2)
        yield from super().work(item)

    def waits(self, item: Item) -> bool:
        return not isinstance(item, CalibrationItem) and not item.clip.clip_id.startswith("free")


def make_gated_worker(*arguments: Any) -> GatedWorker:
    """As `make_dying_worker`."""
    return GatedWorker(*arguments)


class GatedSolver(GatedWorker):
    """The same with the solve of clips that are calibrated by actor; everything else is done."""

    def waits(self, item: Item) -> bool:
        return isinstance(item, SolveItem) and super().waits(item)


class TogetherWorker(ClipWorker):
    """Begins its first clip when another worker is at its own, or after `PATIENCE_S`: else one that is ready
    early might do all clips alone."""

    def work(self, item: WorkItem) -> Iterator[Progress | Done | Failed]:
        marks = Path(f"{self.claim.output}.together")
        marks.mkdir(exist_ok=True)
        (marks / str(os.getpid())).touch()
        deadline = time.monotonic() + PATIENCE_S
        while len(list(marks.iterdir())) < 2 and time.monotonic() < deadline:
            yield Progress(0)
            time.sleep(0.2)
        yield from super().work(item)
