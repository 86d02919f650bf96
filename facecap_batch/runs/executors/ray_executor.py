"""Carries a run out with Ray: workers are actors on a local Ray of the run's own, or on a cluster.

In: options of the run. Out: a scheduler over Ray's workers, as many as are wanted or have room. Ray is
imported within `connected` and not before: see `cluster._authenticate`.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from facecap_batch.runs.config import RunOptions
from facecap_batch.runs.executors.executor import Assigned
from facecap_batch.scheduling import cluster, nodes
from facecap_batch.scheduling.messages import Listener

if TYPE_CHECKING:
    from facecap_batch.runs.observers.metrics import RunMetrics
    from facecap_batch.scheduling.scheduler import Scheduler

CAPACITY_S = 2.0  # how long it may take until a node that joined gets workers


class RayExecutor:
    """See `executor.Executor`."""

    def __init__(self, options: RunOptions, why: str) -> None:
        """`why` it was chosen, for ``run.json``."""
        self.reason = f"Ray: {why}"
        self._options = options
        self._capacity, self._capacity_at = 1, -math.inf

    def connected(self) -> contextlib.AbstractContextManager[None]:
        options = self._options
        return cluster.connected(options.ray_address, self._local_cpus(), options.gpus_per_worker)

    def metrics(self) -> RunMetrics:
        from facecap_batch.runs.observers.metrics import RunMetrics

        return RunMetrics()

    def node_kind(self, node_id: str) -> nodes.NodeKind:
        return nodes.node_kind(node_id)

    def scheduler(self, assigned: Assigned, listener: Listener) -> Scheduler:
        from facecap_batch.scheduling.scheduler import Scheduler
        from facecap_batch.scheduling.task_queue import Limits

        limits = Limits(attempts=self._options.attempts)
        return Scheduler(self._worker_starter(assigned), self._wanted, listener, limits)

    def _worker_starter(self, assigned: Assigned) -> Callable[[], Any]:
        import ray

        from facecap_batch.runs.worker import ClipWorker

        actor = ray.remote(ClipWorker).options(
            num_cpus=self._options.cpus_per_worker,
            num_gpus=self._options.gpus_per_worker,
            memory=self._memory_per_worker(),
            max_restarts=0,
            max_task_retries=0,
        )
        config, segment_s = ray.put(assigned.config), self._options.segment_s
        return lambda: actor.remote(
            config, assigned.claim, assigned.captures, segment_s, nodes.current_node_id
        )

    def _local_cpus(self) -> float | None:
        """CPUs that a Ray of our own pretends to have: enough for the workers that were asked for."""
        if self._options.workers is None:
            return None
        return max(1, -(-self._options.workers * self._options.cpus_per_worker // 1))

    def _memory_per_worker(self) -> int:
        """Bytes; 0 where the number of workers was given: whoever gives it has decided what fits."""
        return nodes.memory_per_worker() if self._options.workers is None else 0

    def _wanted(self) -> int:
        """How many workers there should be now."""
        if self._options.workers is not None:
            return self._options.workers
        now = time.monotonic()
        if now - self._capacity_at >= CAPACITY_S:
            self._capacity_at = now
            self._capacity = nodes.worker_capacity(
                self._options.cpus_per_worker, self._options.gpus_per_worker, self._memory_per_worker()
            )
        return self._capacity
