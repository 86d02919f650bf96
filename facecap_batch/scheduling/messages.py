"""What driver and workers say to each other: tasks one way, progress and results the other.

In and out: small frozen records that are pickled. Nothing here knows of Ray or of faces.
"""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Task:
    key: str  # unique
    payload: Any  # pickled to the worker; small
    cost: float  # any unit, only the order counts


@dataclasses.dataclass(frozen=True)
class WorkerReady:
    """A worker is ready."""

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
    result: Any


@dataclasses.dataclass(frozen=True)
class Failed:
    error_type: str
    error: str
    retry: bool = False  # True where another attempt may fare better


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a task ended: with a result, or with an error after its attempts."""

    key: str
    attempts: int
    result: Any = None
    error_type: str = ""
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error_type


class Listener:
    """Hears what happens while it happens; every method returns at once. What a subclass leaves out it does
    not listen to."""

    def started(self, key: str, worker: WorkerReady) -> None: ...
    def progress(self, key: str, progress: Progress) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def retried(self, key: str, reason: str) -> None: ...
    def workers(self, count: int) -> None: ...
    def joined(self, worker: WorkerReady) -> None: ...
    def lost(self, worker: WorkerReady | None, reason: str, node_died: bool) -> None:
        """A worker died or was given up; None: one that never became ready."""
