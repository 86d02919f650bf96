"""The worker that works on clips, as a Ray actor or in a process: it keeps its engines open and reports how
far it is.

In: items of the planner, one at a time. Out: `Progress` records, then one `Done` or `Failed`. The steps
themselves are in `clip_steps`; frames never leave this process.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import platform
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.errors import OutOfMemory
from facecap_batch.output.ownership.claim import Claim
from facecap_batch.runs.clip_steps import classify_error, prepare_exports, process
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.opened_engines import open_engines
from facecap_batch.runs.planner import Item
from facecap_batch.scheduling.ends.memory import end_process, end_without_memory
from facecap_batch.scheduling.messages import Done, Failed, Progress, WorkerReady
from facecap_batch.storage.scratch import remove_abandoned

# glibc's mallopt: arenas, from which threads take memory. Processes of our own have one from the start (see
# `cluster.WORKER_ENVIRONMENT`); those of other people's clusters get no further ones.
M_ARENA_MAX, ARENAS = -8, 1
HEARTBEAT_S = 1.0  # between two progress records; each costs the driver a millisecond or two
_Messages: TypeAlias = "queue.SimpleQueue[Progress | Done | Failed]"


class ClipWorker:
    """A worker (see `scheduler` for what it must offer) that keeps its engines between clips."""

    def __init__(
        self,
        config: RunConfig,
        claim: Claim,
        captures: bool = True,
        segment_s: float = 0.0,
        node_id: Callable[[], str] = platform.node,
    ) -> None:
        """
        Args:
            config: Of the run.
            claim: Of the run to its output folder.
            captures: False where no item will need the engines.
            segment_s: See `process`.
            node_id: Tells the machine that the worker is on.
        """
        self.config = config
        self._node_id = node_id
        self.segment_s = segment_s
        self.captures = captures
        self.claim = claim
        self._engines: FaceCapture | None = None
        self._items: queue.SimpleQueue[tuple[Item, _Messages]] = queue.SimpleQueue()

    def ready(self) -> WorkerReady:
        """Take one thread for everything, open the engines. Raises EngineError."""
        end_without_memory()
        limit_threads()
        limit_arenas()
        # Beside the first clip: it needs the head last, and the networks leave Python idle meanwhile.
        threading.Thread(target=prepare_exports, daemon=True).start()
        # One for all items: where memory runs out, none can be had for the next. A daemon, or a decoder that
        # hangs would keep the process from ending.
        threading.Thread(target=self._work_on_items, daemon=True).start()
        remove_abandoned()  # of workers on this machine that were killed
        backend = self._open().backend if self.captures else ""
        return WorkerReady(self._node_id(), os.getpid(), backend)

    def work(self, item: Item) -> Iterator[Progress | Done | Failed]:
        """Do `item` in the thread for them and yield its progress, then how it ended."""
        messages: _Messages = queue.SimpleQueue()
        self._items.put((item, messages))
        while True:
            message = messages.get()
            yield message
            if not isinstance(message, Progress):
                return

    def _work_on_items(self) -> None:
        try:
            while True:
                self._work(*self._items.get())
        except BaseException:  # nobody would hear of the item any more
            end_process()

    def _work(self, item: Item, messages: _Messages) -> None:
        last = time.monotonic()

        def progress(frames: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= HEARTBEAT_S:
                last = now
                messages.put(Progress(frames))

        outcome = self._outcome(item, progress)
        return_memory()
        messages.put(outcome)

    def _outcome(self, item: Item, progress: Callable[[int], None]) -> Done | Failed:
        """Do `item`, and say how it ended."""
        try:
            return Done(process(item, self.config, self.claim, self._open, progress, self.segment_s))
        except BaseException as error:  # whatever it is, the driver must hear of it
            failed = Failed(*classify_error(error))
            # What is left for the next item is less than a new process has.
            return dataclasses.replace(failed, worker_unfit=failed.error_type == OutOfMemory.__name__)

    def _open(self) -> FaceCapture:
        if self._engines is None:
            self._engines = open_engines(self.config)
        return self._engines


def limit_threads() -> None:
    """One thread per worker: parallelism is workers. Libraries with a setting at run time are set here;
    the others read the environment that a worker is started with."""
    import cv2
    import pyarrow

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cv2.setNumThreads(1)
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)


def limit_arenas() -> None:
    """Let all threads share an arena of the C library, where that is glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)


def return_memory() -> None:
    """Give the operating system back what is free. The C library (glibc) keeps what lies between pieces in
    use, and asks for more when a clip needs a larger piece: over thousands of clips that adds up."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
