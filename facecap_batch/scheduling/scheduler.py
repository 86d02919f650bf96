"""Distributes tasks to Ray workers and collects how they ended; knows nothing of faces.

In: tasks with an expected cost, and a function that starts one worker actor. Out: one `Outcome` for
every task, in order of completion; after each, more tasks may be added. Workers pull, the costliest task
first: each holds at most one, so when a worker dies its task is known. Attempts belong to the driver: Ray
itself restarts and retries nothing.

A worker is an actor with two methods: ``ready() -> WorkerReady`` opens what it works with, and
``work(payload)`` is a generator of `Progress` records that ends with one `Done` or `Failed`. Progress is the
heartbeat: a worker that reports nothing for `Limits.stall_s` is killed and replaced, and so is one that
is not ready after `Limits.open_s`, or says that it is unfit for more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayTaskError

from facecap_batch.errors import WorkerLost
from facecap_batch.scheduling.ends.deaths import WORKER_DEATHS, is_node_death, reason_of
from facecap_batch.scheduling.messages import Failed, Listener, Outcome, Progress, Task, WorkerReady
from facecap_batch.scheduling.nodes import is_alive
from facecap_batch.scheduling.task_queue import Limits, QueuedTask, TaskQueue

# How long ray.wait may hold the loop: the delay with which stalls, new nodes and Ctrl-C are noticed.
TICK_S = 0.5
# How long idle workers may take to leave when a run ends, before they are killed.
LEAVE_S = 5.0
# How long Ray may take to notice that a node is gone: five health checks, 3 s apart, and a reserve. Until
# then it reports only that the worker cannot be reached.
VERDICT_S = 30.0


@dataclasses.dataclass(eq=False)
class _Slot:
    """One worker."""

    actor: Any
    # What is awaited: that its process runs, its WorkerReady, then the generator of its task. None: idle.
    stream: Any
    has_process: bool = False
    ready: WorkerReady | None = None
    task: QueuedTask | None = None
    last_report_at: float = dataclasses.field(default_factory=time.monotonic)  # seconds, monotonic
    unreachable: str = ""  # why it will be given up, once Ray knows whether its node is gone

    @property
    def node_id(self) -> str | None:
        return self.ready.node_id if self.ready else None


class Scheduler:
    """Runs tasks on workers. Use once: ``for outcome in Scheduler(...).run(tasks)``.

    Between two outcomes `add` and `drop` change what is to be done.
    """

    def __init__(
        self,
        start_worker: Callable[[], Any],
        wanted: Callable[[], int],
        listener: Listener,
        limits: Limits | None = None,
    ) -> None:
        """
        Args:
            start_worker: creates one actor (max_restarts=0, max_task_retries=0) and returns its handle.
            wanted: how many workers the cluster has capacity for now; called several times a second.
            listener: receives all events; its methods return at once.
            limits: when to stop waiting or trying; the defaults suit clips.
        """
        self._start_worker = start_worker
        self._wanted = wanted
        self._listener = listener
        self._limits = limits or Limits()
        self._slots: list[_Slot] = []
        self._queue = TaskQueue(listener, self._limits)
        self._start_failures = 0  # in a row
        self._next_start_at = -math.inf  # seconds, monotonic

    def add(self, tasks: Iterable[Task]) -> None:
        """More tasks to be done."""
        self._queue.add(tasks)

    def drop(self, keys: Iterable[str]) -> None:
        """Tasks that need not be done any more. Those that a worker holds end, but are not tried again."""
        self._queue.drop(keys)

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        """Do `tasks` and those that are added. Closing the generator stops all workers.

        Yields:
            An outcome for every task that is not dropped, in order of completion.

        Raises:
            WorkerLost: `Limits.start_failures` workers in a row died or hung before they were ready, and no
                other is left.
            Exception: what ``ready`` raised, where that was the last of these failures.
        """
        self.add(tasks)
        try:
            while self._queue or any(slot.task for slot in self._slots):
                self._staff()
                for slot in self._slots_with_messages():
                    outcome = self._receive(slot)
                    if outcome is not None:
                        # The next task first: the worker must not wait while the outcome is written.
                        self._staff()
                        self._listener.ended(outcome)
                        yield outcome
                for slot, reason, node_died in self._overdue():
                    outcome = self._lose(slot, reason, node_died)
                    if outcome is not None:
                        self._listener.ended(outcome)
                        yield outcome
        finally:
            self._dismiss()

    # --- workers and tasks together -------------------------------------------------------------

    def _staff(self) -> None:
        """Give each free worker the next task; start the workers that there is capacity and work for."""
        for slot in self._slots:
            if slot.ready and slot.stream is None and slot.task is None and self._queue:
                slot.task = self._queue.take()
                slot.last_report_at = time.monotonic()
                slot.stream = slot.actor.work.options(num_returns="streaming").remote(slot.task.task.payload)
                self._listener.started(slot.task.task.key, slot.ready)
        starting = sum(1 for slot in self._slots if slot.ready is None)
        count = min(self._wanted() - len(self._slots), len(self._queue) - starting)
        if self._slots and self._starts_fail():
            count = min(count, 1) if time.monotonic() >= self._next_start_at else 0
        for _ in range(count):
            actor = self._start_worker()
            self._slots.append(_Slot(actor, stream=actor.__ray_ready__.remote()))

    def _slots_with_messages(self) -> list[_Slot]:
        """Slots with something to receive; waits at most a tick for the first."""
        waiting = [slot for slot in self._slots if slot.stream is not None]
        if not waiting:
            time.sleep(TICK_S)
            return []
        streams = [slot.stream for slot in waiting]
        first, _ = ray.wait(streams, num_returns=1, timeout=TICK_S)
        if not first:
            return []
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        found = {id(stream) for stream in [*first, *ready]}
        return [slot for slot in waiting if id(slot.stream) in found]

    def _receive(self, slot: _Slot) -> Outcome | None:
        """Take one message from a worker; the outcome of its task, if that has ended."""
        if slot.task is None:
            self._open(slot)
            return None
        return self._follow(slot, slot.task)

    def _open(self, slot: _Slot) -> None:
        """Take a message of a worker that is not ready: its process runs, or it is ready."""
        try:
            message = ray.get(slot.stream)
        except RayTaskError as error:
            self._lose_start(slot, f"the worker could not get ready: {error.cause}", False, error.cause)
        except ActorUnavailableError as error:
            self._suspect(slot, error)
        except WORKER_DEATHS as error:
            self._lose(slot, reason_of(error), is_node_death(error, None))
        else:
            slot.last_report_at = time.monotonic()
            if slot.has_process:
                slot.ready, slot.stream = message, None
                self._start_failures = 0
                self._listener.joined(message)
                self._count()
            else:
                # Only now does the time for opening begin: an actor may wait long for a node to be started.
                slot.has_process, slot.stream = True, slot.actor.ready.remote()

    def _follow(self, slot: _Slot, queued: QueuedTask) -> Outcome | None:
        """Take a message of a worker that has a task; the outcome of the task, if that has ended."""
        try:
            message = ray.get(next(slot.stream))
        except RayTaskError as error:
            message = Failed(type(error.cause).__name__, f"a bug, please report it: {error.cause!r}")
        except StopIteration:
            message = Failed("WorkerLost", "the worker ended its task without a result", retry=True)
        except ActorUnavailableError as error:
            self._suspect(slot, error)
            return None
        except WORKER_DEATHS as error:
            return self._lose(slot, reason_of(error), is_node_death(error, slot.node_id))
        slot.last_report_at = time.monotonic()
        if isinstance(message, Progress):
            self._listener.progress(queued.task.key, message)
            return None
        slot.task = slot.stream = None
        if isinstance(message, Failed) and message.worker_unfit:
            self._forget(slot, message.error, node_died=False)
        return self._queue.ended(queued, message)

    @staticmethod
    def _suspect(slot: _Slot, error: Exception) -> None:
        """The worker cannot be reached; `_overdue` gives it up once Ray knows more."""
        slot.unreachable, slot.stream = reason_of(error), None
        slot.last_report_at = time.monotonic()

    def _lose(self, slot: _Slot, reason: str, node_died: bool) -> Outcome | None:
        """A worker is gone: forget it, and try its task again or give it up."""
        queued = slot.task
        if queued is None:
            self._lose_start(slot, reason, node_died, WorkerLost(f"no worker can be started: {reason}"))
            return None
        self._forget(slot, reason, node_died)
        return self._queue.lost(queued, reason, node_died)

    def _lose_start(self, slot: _Slot, reason: str, node_died: bool, error: Exception) -> None:
        """A worker never became ready: another is started; raises `error` where none can live here."""
        self._forget(slot, reason, node_died)
        if node_died:
            return
        self._start_failures += 1
        if self._starts_fail():
            if not self._slots:
                raise error
            self._next_start_at = time.monotonic() + self._limits.start_pause_s

    def _starts_fail(self) -> bool:
        return self._start_failures >= self._limits.start_failures

    # --- the life of workers ---------------------------------------------------------------------

    def _overdue(self) -> list[tuple[_Slot, str, bool]]:
        """Workers that report nothing or cannot be reached: (slot, reason, whether its node is gone)."""
        found = []
        for slot in self._slots:
            silent_s = time.monotonic() - slot.last_report_at
            if slot.unreachable:
                node_died = slot.node_id is not None and not is_alive(slot.node_id)
                if node_died or silent_s > VERDICT_S:
                    found.append((slot, slot.unreachable, node_died))
            elif slot.task and silent_s > self._limits.stall_s:
                found.append((slot, f"no progress for {self._limits.stall_s:.0f} s", False))
            elif slot.has_process and not slot.ready and silent_s > self._limits.open_s:
                found.append((slot, f"the worker was not ready after {self._limits.open_s:.0f} s", False))
        return found

    def _forget(self, slot: _Slot, reason: str, node_died: bool) -> None:
        self._slots.remove(slot)
        self._kill(slot)
        self._listener.lost(slot.ready, reason, node_died)
        self._count()

    def _count(self) -> None:
        self._listener.workers(sum(1 for slot in self._slots if slot.ready))

    def _dismiss(self) -> None:
        """Stop every worker: busy ones at once; idle ones are asked, waited for, then killed."""
        idle = [slot for slot in self._slots if slot.task is None and slot.ready is not None]
        for slot in self._slots:
            if slot not in idle:
                self._kill(slot)
        leaving = []
        for slot in idle:
            with contextlib.suppress(Exception):
                leaving.append(slot.actor.__ray_terminate__.remote())
        with contextlib.suppress(Exception):
            ray.wait(leaving, num_returns=len(leaving), timeout=LEAVE_S)
        for slot in idle:  # an exit that hangs would outlive the run
            self._kill(slot)
        self._slots.clear()

    @staticmethod
    def _kill(slot: _Slot) -> None:
        with contextlib.suppress(Exception):
            ray.kill(slot.actor)
