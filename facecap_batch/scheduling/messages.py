"""The messages between driver and workers: tasks one way, progress and results the other.

In and out: small frozen records that are pickled. Nothing here knows Ray or faces.
"""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Task:
    """Work for one worker."""

    key: str  # unique
    payload: Any  # pickled to the worker; small
    cost: float  # any unit, only the order counts


@dataclasses.dataclass(frozen=True)
class WorkerReady:
    """A worker is ready for tasks."""

    node_id: str
    pid: int
    backend: str = ""  # what it computes with, for reports


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a worker is with its task."""

    frames: int  # done so far
    seconds: float = 0.0  # of video done so far


@dataclasses.dataclass(frozen=True)
class Done:
    """A worker has done its task."""

    result: Any  # pickled to the driver; small


@dataclasses.dataclass(frozen=True)
class Failed:
    """A worker could not do its task."""

    error_type: str
    error: str
    retry: bool = False  # True where another attempt may fare better
    worker_unfit: bool = False  # True where the worker must be given nothing more


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a task ended: with a result, or with an error after its attempts."""

    key: str
    attempts: int  # with the last
    result: Any = None
    error_type: str = ""  # empty: none
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error_type


class Listener:
    """Receives the scheduler's events as they happen. A subclass overrides those that it needs; its methods
    return at once, as the scheduler waits for them."""

    def started(self, key: str, worker: WorkerReady) -> None:
        """`worker` was given the task `key`."""

    def progress(self, key: str, progress: Progress) -> None:
        """The worker of the task `key` has reported."""

    def ended(self, outcome: Outcome) -> None:
        """A task has ended, after its last attempt."""

    def retried(self, key: str, reason: str) -> None:
        """The task `key` waits for another attempt."""

    def workers(self, count: int) -> None:
        """So many workers are ready now."""

    def joined(self, worker: WorkerReady) -> None:
        """A worker has become ready."""

    def lost(self, worker: WorkerReady | None, reason: str, node_died: bool) -> None:
        """A worker died or was killed; None: one that never became ready."""
