"""Does tasks one after the other in one worker process of this machine, without Ray.

In: tasks with an expected cost, and a function that makes the worker. Out: what `scheduler` gives: one
`Outcome` for every task, in the same order, with the same attempts, events and limits. A process that dies,
hangs, is unfit or does not become ready is replaced by another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence

from facecap_batch.errors import WorkerLost
from facecap_batch.scheduling.messages import Done, Failed, Listener, Outcome, Progress, Task, WorkerReady
from facecap_batch.scheduling.task_queue import Limits, QueuedTask, TaskQueue
from facecap_batch.scheduling.worker_main import NotReady, Worker
from facecap_batch.scheduling.worker_process import ProcessEnded, WorkerProcess


class ProcessScheduler:
    """Runs tasks in a worker process. Use once: ``for outcome in ProcessScheduler(...).run(tasks)``.

    Between two outcomes `add` and `drop` change what is to be done.
    """

    def __init__(
        self, make_worker: Callable[[], Worker], listener: Listener, limits: Limits | None = None
    ) -> None:
        """
        Args:
            make_worker: Makes the worker in its process; see `WorkerProcess`.
            listener: Receives all events; its methods return at once.
            limits: When to stop waiting or trying; the defaults suit clips.
        """
        self._make_worker = make_worker
        self._listener = listener
        self._limits = limits or Limits()
        self._queue = TaskQueue(listener, self._limits)
        self._process: WorkerProcess | None = None
        self._ready: WorkerReady | None = None

    def add(self, tasks: Iterable[Task]) -> None:
        """More tasks to be done."""
        self._queue.add(tasks)

    def drop(self, keys: Iterable[str]) -> None:
        """Tasks that need not be done any more. The one that the worker holds ends, but not with a retry."""
        self._queue.drop(keys)

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        """Do `tasks` and those that are added. Closing the generator stops the worker.

        Yields:
            An outcome for every task that is not dropped, in order of completion.

        Raises:
            WorkerLost: `Limits.start_failures` workers in a row died or hung before they were ready.
            Exception: What ``ready`` raised, where that was the last of these failures.
        """
        self.add(tasks)
        try:
            while len(self._queue):
                process, worker = self._worker()
                queued = self._queue.take()
                self._listener.started(queued.task.key, worker)
                outcome = self._follow(process, queued)
                if outcome is not None:
                    self._listener.ended(outcome)
                    yield outcome
        except BaseException:
            if self._process is not None:
                self._process.kill()
            raise
        if self._process is not None:
            self._process.leave()

    def _worker(self) -> tuple[WorkerProcess, WorkerReady]:
        """A worker that is ready: the one that is there, or a new one. Raises as `run`."""
        failures = 0
        while self._process is None or self._ready is None:
            self._process = WorkerProcess(self._make_worker)
            reason, error = self._open(self._process)
            if self._ready is not None:
                self._listener.joined(self._ready)
                self._listener.workers(1)
                break
            self._lose(reason)
            failures += 1
            if failures == self._limits.start_failures:
                raise error
        return self._process, self._ready

    def _open(self, process: WorkerProcess) -> tuple[str, Exception]:
        """Wait until the worker is ready; where it does not become so, why, and the error that says it."""
        try:
            message = process.receive(self._limits.open_s)
        except ProcessEnded as end:
            reason = str(end)
        else:
            if isinstance(message, NotReady):
                return f"the worker could not get ready: {message.error}", message.error
            self._ready = message
            reason = f"the worker was not ready after {self._limits.open_s:.0f} s"
        return reason, WorkerLost(f"no worker can be started: {reason}")

    def _follow(self, process: WorkerProcess, queued: QueuedTask) -> Outcome | None:
        """Give the worker a task and wait for its end; None where it is tried again."""
        process.send(queued.task.payload)
        reported_at = time.monotonic()
        while True:
            try:
                message: Progress | Done | Failed | None = process.receive(self._limits.stall_s)
            except ProcessEnded as end:
                self._lose(str(end))
                return self._queue.lost(queued, str(end), node_died=False)
            if message is None:
                reason = f"no progress for {time.monotonic() - reported_at:.0f} s"
                self._lose(reason)
                return self._queue.lost(queued, reason, node_died=False)
            reported_at = time.monotonic()
            if not isinstance(message, Progress):
                if isinstance(message, Failed) and message.worker_unfit:
                    self._lose(message.error)
                return self._queue.ended(queued, message)
            self._listener.progress(queued.task.key, message)

    def _lose(self, reason: str) -> None:
        """The worker is gone, or has to go."""
        process, ready = self._process, self._ready
        self._process = self._ready = None
        if process is not None:
            process.kill()
        self._listener.lost(ready, reason, node_died=False)
        self._listener.workers(0)
