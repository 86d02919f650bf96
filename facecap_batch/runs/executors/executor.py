"""What a run asks of whatever carries it out.

In: the tasks of a run. Out: their outcomes, by a `TaskScheduler`. `choice` decides between the executors; the
results are the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from facecap_batch.output.ownership.claim import Claim
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.scheduling.messages import Listener, Outcome, Task

if TYPE_CHECKING:
    from facecap_batch.runs.observers.metrics import RunMetrics
    from facecap_batch.scheduling.nodes import NodeKind


class TaskScheduler(Protocol):
    """Runs tasks: `scheduling.scheduler` with Ray's workers, `scheduling.process_scheduler` in a process."""

    def add(self, tasks: Iterable[Task]) -> None:
        """More tasks to be done."""
        ...

    def drop(self, keys: Iterable[str]) -> None:
        """Tasks that need not be done any more."""
        ...

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        """Do `tasks` and those that are added."""
        ...


@dataclasses.dataclass(frozen=True)
class Assigned:
    """What workers must know of their run."""

    config: RunConfig
    options: RunOptions
    claim: Claim  # to the output folder
    captures: bool  # whether any task needs the engines


class Executor(Protocol):
    """Where the tasks of a run are done."""

    @property
    def reason(self) -> str:
        """For ``run.json``: what it is, and why it was chosen, in one line."""
        ...

    def connected(self) -> contextlib.AbstractContextManager[None]:
        """Within this context workers can be started. Raises ClusterUnavailable."""
        ...

    def metrics(self) -> RunMetrics | None:
        """What counts for Prometheus, where there is an endpoint; within `connected`."""
        ...

    def scheduler(self, assigned: Assigned, listener: Listener) -> TaskScheduler:
        """A scheduler for the tasks of one run; within `connected`."""
        ...

    def node_kind(self, node_id: str) -> NodeKind:
        """What the machine of a worker is; within `connected`."""
        ...
