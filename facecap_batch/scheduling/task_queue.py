"""The tasks that wait, in the order in which workers take them, and what becomes of their attempts.

In: tasks, and how their attempts ended. Out: the next task, and an `Outcome` for every task that has ended.
Every scheduler has one, so the order of tasks and the count of attempts do not depend on what runs them.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable

from facecap_batch.scheduling.messages import Done, Failed, Listener, Outcome, Task


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a scheduler stops waiting or trying."""

    attempts: int = 3  # per task; a task that killed this many workers is given up
    # A node that goes away is not the fault of its tasks; this many such losses end a task all the same.
    node_losses: int = 20
    # Seconds. A worker reports about every second; the slowest known silent step is a long clip's export.
    stall_s: float = 600.0
    # Seconds from the start of a worker's process to ready. The slowest known opening builds TensorRT plans:
    # minutes each, for which the other workers of a GPU wait.
    open_s: float = 1800.0
    # Workers that never became ready, in a row: where none is left, the run ends; where others work, starts
    # become rare.
    start_failures: int = 3
    # Seconds between two starts from then on: a broken node must not keep the driver busy, and may be mended.
    start_pause_s: float = 60.0


@dataclasses.dataclass
class QueuedTask:
    """A task and what became of its attempts."""

    task: Task
    failures: int = 0
    node_losses: int = 0

    @property
    def rank(self) -> tuple[bool, float, str]:
        """Least first. A task that was tried before may kill again: it must not keep the others waiting. The
        key breaks ties, so that the order is the same everywhere."""
        return self.failures + self.node_losses > 0, -self.task.cost, self.task.key


class TaskQueue:
    """Tasks that no worker holds."""

    def __init__(self, listener: Listener, limits: Limits) -> None:
        """`listener` hears of every task that waits for another attempt."""
        self._listener = listener
        self._limits = limits
        self._heap: list[tuple[tuple[bool, float, str], QueuedTask]] = []
        self._dropped: set[str] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, tasks: Iterable[Task]) -> None:
        """More tasks to be done."""
        for task in tasks:
            self._put(QueuedTask(task))

    def drop(self, keys: Iterable[str]) -> None:
        """Tasks that need not be done any more. Those that a worker holds end, but are not tried again."""
        dropped = set(keys)
        if not dropped:
            return
        self._dropped |= dropped
        self._heap = [entry for entry in self._heap if entry[1].task.key not in self._dropped]
        heapq.heapify(self._heap)

    def take(self) -> QueuedTask:
        """The next task, now in a worker's hands. Raises IndexError where none waits."""
        return heapq.heappop(self._heap)[1]

    def ended(self, queued: QueuedTask, message: Done | Failed) -> Outcome | None:
        """A worker has ended an attempt: the outcome of the task, or None where it is tried again."""
        key = queued.task.key
        if isinstance(message, Done):
            return Outcome(key, queued.failures + 1, result=message.result)
        queued.failures += 1
        if message.retry and queued.failures < self._limits.attempts and key not in self._dropped:
            self._requeue(queued, message.error)
            return None
        return Outcome(key, queued.failures, error_type=message.error_type, error=message.error)

    def lost(self, queued: QueuedTask, reason: str, node_died: bool) -> Outcome | None:
        """The worker of a task is gone: the outcome of the task, or None where it is tried again."""
        if node_died:
            queued.node_losses += 1
        else:
            queued.failures += 1
        may_retry = queued.failures < self._limits.attempts and queued.node_losses < self._limits.node_losses
        if may_retry and queued.task.key not in self._dropped:
            self._requeue(queued, reason)
            return None
        tries = queued.failures + queued.node_losses
        return Outcome(
            queued.task.key,
            tries,
            error_type="WorkerLost",
            error=f"lost {tries} worker(s), the last: {reason}",
        )

    def _requeue(self, queued: QueuedTask, reason: str) -> None:
        self._put(queued)
        self._listener.retried(queued.task.key, reason)

    def _put(self, queued: QueuedTask) -> None:
        heapq.heappush(self._heap, (queued.rank, queued))
