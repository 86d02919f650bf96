"""Carries a small run out in one worker process of this machine, without Ray.

In: options of the run. Out: a scheduler over that process. A process and not the driver itself: a decoder
that a bad file crashes must cost an attempt and not the run. Neither the driver nor the process imports Ray.
"""

from __future__ import annotations

import contextlib
import functools
import platform
from typing import TYPE_CHECKING

from facecap_batch import machine
from facecap_batch.output.ownership.claim import Claim
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.executors.executor import Assigned
from facecap_batch.scheduling.messages import Listener
from facecap_batch.scheduling.nodes import NodeKind

if TYPE_CHECKING:
    from facecap_batch.runs.worker import ClipWorker
    from facecap_batch.scheduling.process_scheduler import ProcessScheduler


class ProcessExecutor:
    """See `executor.Executor`."""

    def __init__(self, options: RunOptions, why: str) -> None:
        """`why` it was chosen, for ``run.json``."""
        self.reason = f"one process: {why}"
        self._options = options

    def connected(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def metrics(self) -> None:
        return None

    def node_kind(self, node_id: str) -> NodeKind:
        found = machine.hardware()
        return NodeKind(
            cpus=float(found["cpus"]),
            gpus=float(len(found["gpus"])),
            accelerator=", ".join(sorted(set(found["gpus"]))),
            memory_bytes=found["memory_bytes"] or 0,
        )

    def scheduler(self, assigned: Assigned, listener: Listener) -> ProcessScheduler:
        from facecap_batch.scheduling.process_scheduler import ProcessScheduler
        from facecap_batch.scheduling.task_queue import Limits

        make = functools.partial(
            make_worker, assigned.config, assigned.claim, assigned.captures, self._options.segment_s
        )
        return ProcessScheduler(make, listener, Limits(attempts=self._options.attempts))


def make_worker(config: RunConfig, claim: Claim, captures: bool, segment_s: float) -> ClipWorker:
    """The worker, made in its process: the driver needs neither decoder nor engines."""
    from facecap_batch.runs.worker import ClipWorker

    return ClipWorker(config, claim, captures, segment_s, platform.node)
