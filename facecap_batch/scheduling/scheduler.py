"""Tasks to Ray workers and back; knows nothing of faces.

In: tasks with an expected cost, and a function that starts one worker actor. Out: one `Outcome` for
every task, in order of completion; after each, more tasks may be added. Workers pull, the costliest task
first: each holds at most one, so when a worker dies the task that was in its hands is known. Attempts
belong to the driver: Ray itself restarts and retries nothing.

A worker is an actor with two methods: ``hello() -> Hello`` makes it ready, and ``work(payload)`` is a
generator of `Progress` records that ends with one `Done` or `Failed`. Progress is the heartbeat: a worker
that says nothing for `Limits.stall_s` is killed and replaced.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import logging
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    ActorUnschedulableError,
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RaySystemError,
    RayTaskError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from facecap_batch.errors import WorkerLost
from facecap_batch.scheduling.messages import Done, Failed, Hello, Listener, Outcome, Progress, Task

log = logging.getLogger(__name__)

# How long ray.wait may hold the loop: the delay with which stalls, new nodes and Ctrl-C are noticed.
TICK_S = 0.5
# How long idle workers may take to leave when a run ends, before they are killed.
LEAVE_S = 5.0
# How long Ray may take to notice that a node is gone: five health checks, 3 s apart, and some more. Until
# then it says only that the worker cannot be reached.
VERDICT_S = 30.0
# Ends of a worker process, not of the work in it. Everything else is a bug of ours and is raised.
WORKER_DEATHS = (
    RayActorError,  # includes ActorDiedError
    NodeDiedError,
    WorkerCrashedError,
    OutOfMemoryError,
    ObjectLostError,  # its record went with the node
    RaySystemError,
    GetTimeoutError,
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where patience ends."""

    attempts: int = 3  # per task; a task that killed this many workers is given up
    # Tasks lost to a node that went away are not to blame; this many such losses end them all the same.
    node_losses: int = 20
    # A worker reports every second or so; the slowest known silent step is the export of a long clip.
    stall_s: float = 600.0
    # Workers that die before they are ready, in a row: then no worker can live here.
    start_failures: int = 3


@dataclasses.dataclass
class _Waiting:
    """A task that is not in a worker's hands."""

    task: Task
    failures: int = 0
    node_losses: int = 0

    @property
    def rank(self) -> tuple[bool, float, str]:
        """Least first. What was tried before may kill again: it must not keep the others waiting. The key
        breaks ties, so that the order is the same everywhere."""
        return self.failures + self.node_losses > 0, -self.task.cost, self.task.key


@dataclasses.dataclass(eq=False)
class _Slot:
    """One worker."""

    actor: Any
    stream: Any = None  # what it owes: the reference of its Hello, or the generator of its task
    hello: Hello | None = None
    job: _Waiting | None = None
    heard: float = dataclasses.field(default_factory=time.monotonic)
    unreachable: str = ""  # why it is given up, once Ray knows whether its node is gone


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
        """`start_worker` creates an actor (max_restarts=0, max_task_retries=0); `wanted` says how many
        workers the cluster has room for now and is asked again all the time."""
        self.start_worker = start_worker
        self.wanted = wanted
        self.listener = listener
        self.limits = limits or Limits()
        self._slots: list[_Slot] = []
        self._queue: list[tuple[tuple[bool, float, str], _Waiting]] = []  # a heap
        self._dropped: set[str] = set()
        self._start_failures = 0

    def add(self, tasks: Iterable[Task]) -> None:
        """More to be done."""
        for task in tasks:
            self._put(_Waiting(task))

    def drop(self, keys: Iterable[str]) -> None:
        """Tasks that need not be done any more. Those in a worker's hands end, but are not tried again."""
        dropped = set(keys)
        if not dropped:
            return
        self._dropped |= dropped
        self._queue = [entry for entry in self._queue if entry[1].task.key not in self._dropped]
        heapq.heapify(self._queue)

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        """Yield an outcome for every task that is not dropped. Closing the generator stops all workers.

        Raises WorkerLost when no worker can be started, and whatever ``hello`` raises.
        """
        self.add(tasks)
        try:
            while self._queue or any(slot.job for slot in self._slots):
                self._staff()
                for slot in self._ready_slots():
                    outcome = self._hear(slot)
                    if outcome is not None:
                        # The next task first: the worker must not wait while the outcome is written.
                        self._staff()
                        self.listener.ended(outcome)
                        yield outcome
                for slot, reason, node_died in self._given_up():
                    outcome = self._lose(slot, reason, node_died)
                    if outcome is not None:
                        self.listener.ended(outcome)
                        yield outcome
        finally:
            self._dismiss()

    # --- workers and tasks together -------------------------------------------------------------

    def _staff(self) -> None:
        """Start the workers that there is room and work for; give each free one the next task."""
        for slot in self._slots:
            if slot.hello and slot.stream is None and slot.job is None and self._queue:
                _, slot.job = heapq.heappop(self._queue)
                slot.heard = time.monotonic()
                slot.stream = slot.actor.work.options(num_returns="streaming").remote(slot.job.task.payload)
                self.listener.started(slot.job.task.key, slot.hello)
        starting = sum(1 for slot in self._slots if slot.hello is None)
        room = self.wanted() - len(self._slots)
        for _ in range(min(room, len(self._queue) - starting)):
            actor = self.start_worker()
            self._slots.append(_Slot(actor, stream=actor.hello.remote()))

    def _ready_slots(self) -> list[_Slot]:
        """Slots with something to hear; waits at most a tick for the first."""
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

    def _hear(self, slot: _Slot) -> Outcome | None:
        """Take one message from a worker."""
        try:
            if slot.hello is None:
                slot.hello = ray.get(slot.stream)
                slot.stream = None
                self._start_failures = 0
                self.listener.joined(slot.hello)
                self._count()
                return None
            message = ray.get(next(slot.stream))
        except RayTaskError as error:
            if slot.hello is None:
                raise error.as_instanceof_cause() from None
            message = Failed(type(error.cause).__name__, f"a bug, please report it: {error.cause!r}")
        except StopIteration:
            message = Failed("WorkerLost", "the worker ended its task without a result", retry=True)
        except (TaskUnschedulableError, ActorUnschedulableError) as error:
            raise WorkerLost(f"the cluster cannot hold a worker: {error}") from error
        except ActorUnavailableError as error:
            slot.unreachable, slot.stream, slot.heard = _reason(error), None, time.monotonic()
            return None
        except WORKER_DEATHS as error:
            return self._lose(slot, _reason(error), self._node_died(slot, error))
        slot.heard = time.monotonic()
        assert slot.job is not None
        if isinstance(message, Progress):
            self.listener.progress(slot.job.task.key, message)
            return None
        job, slot.job, slot.stream = slot.job, None, None
        if isinstance(message, Done):
            return Outcome(job.task.key, job.failures + 1, result=message.result)
        job.failures += 1
        if message.retry and job.failures < self.limits.attempts and job.task.key not in self._dropped:
            self._requeue(job, message.error)
            return None
        return Outcome(job.task.key, job.failures, error_type=message.error_type, error=message.error)

    def _lose(self, slot: _Slot, reason: str, node_died: bool) -> Outcome | None:
        """A worker is gone: forget it, and try its task again or give it up."""
        self._slots.remove(slot)
        with contextlib.suppress(Exception):
            ray.kill(slot.actor)
        self.listener.lost(slot.hello, reason, node_died)
        self._count()
        if slot.job is None:
            self._start_failures += 0 if node_died else 1
            if self._start_failures >= self.limits.start_failures:
                raise WorkerLost(
                    f"{self._start_failures} workers in a row died before they were ready: {reason}"
                )
            return None
        job = slot.job
        if node_died:
            job.node_losses += 1
        else:
            job.failures += 1
        patient = job.failures < self.limits.attempts and job.node_losses < self.limits.node_losses
        if patient and job.task.key not in self._dropped:
            self._requeue(job, reason)
            return None
        tries = job.failures + job.node_losses
        return Outcome(
            job.task.key, tries, error_type="WorkerLost", error=f"lost {tries} worker(s), the last: {reason}"
        )

    def _requeue(self, job: _Waiting, reason: str) -> None:
        self._put(job)
        self.listener.retried(job.task.key, reason)

    def _put(self, job: _Waiting) -> None:
        heapq.heappush(self._queue, (job.rank, job))

    # --- the life of workers ---------------------------------------------------------------------

    def _given_up(self) -> list[tuple[_Slot, str, bool]]:
        """Workers that say nothing or cannot be reached: (slot, reason, whether its node is gone)."""
        found = []
        for slot in self._slots:
            silent_s = time.monotonic() - slot.heard
            if slot.unreachable:
                node_died = not self._lives_on(slot)
                if node_died or silent_s > VERDICT_S:
                    found.append((slot, slot.unreachable, node_died))
            elif slot.job and silent_s > self.limits.stall_s:
                found.append((slot, f"no progress for {self.limits.stall_s:.0f} s", False))
        return found

    def _node_died(self, slot: _Slot, error: Exception) -> bool:
        """True when the worker went because its node did: preemption, not a crash."""
        if isinstance(error, NodeDiedError) or getattr(error, "preempted", False):
            return True
        return slot.hello is not None and not self._lives_on(slot)

    @staticmethod
    def _lives_on(slot: _Slot) -> bool:
        """True while the worker's node, or one that it may have been started on, is there."""
        alive = {node["NodeID"]: node["Alive"] for node in ray.nodes()}
        return slot.hello is None or alive.get(slot.hello.node_id, False)

    def _count(self) -> None:
        self.listener.workers(sum(1 for slot in self._slots if slot.hello))

    def _dismiss(self) -> None:
        """Stop every worker: busy ones at once; idle ones are asked, waited for, then killed."""
        idle = [slot for slot in self._slots if slot.job is None and slot.hello is not None]
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


def _reason(error: Exception) -> str:
    """The telling part of Ray's long message."""
    text = " ".join(str(error).split())
    # Not "memory" alone: of every worker that dies Ray says that the kernel may have wanted its memory.
    if isinstance(error, OutOfMemoryError) or "OutOfMemory" in text or "running low on memory" in text:
        return "the worker was stopped because its node ran out of memory"
    for mark in ("Worker exit detail:", "The actor is dead because"):
        if mark in text:
            return f"the worker process died: {text.split(mark, 1)[1].strip()[:160]}"
    return f"the worker process died: {text[:200]}"
