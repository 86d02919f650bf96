"""Who hears what a scheduler tells: several at once, and one that keeps count of where work was done.

In: the scheduler's events. Out: the same events to every listener of `ListenerGroup`; from `WorkerRoster` the
machines that took part and what was lost, for ``run.json``.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from facecap_batch.scheduling.messages import Listener, Outcome, Progress, WorkerReady

if TYPE_CHECKING:
    from facecap_batch.scheduling.cluster import NodeKind


class ListenerGroup(Listener):
    """A listener that passes everything on, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def started(self, key: str, worker: WorkerReady) -> None:
        for listener in self._listeners:
            listener.started(key, worker)

    def progress(self, key: str, progress: Progress) -> None:
        for listener in self._listeners:
            listener.progress(key, progress)

    def ended(self, outcome: Outcome) -> None:
        for listener in self._listeners:
            listener.ended(outcome)

    def retried(self, key: str, reason: str) -> None:
        for listener in self._listeners:
            listener.retried(key, reason)

    def workers(self, count: int) -> None:
        for listener in self._listeners:
            listener.workers(count)

    def joined(self, worker: WorkerReady) -> None:
        for listener in self._listeners:
            listener.joined(worker)

    def lost(self, worker: WorkerReady | None, reason: str, node_died: bool) -> None:
        for listener in self._listeners:
            listener.lost(worker, reason, node_died)


@dataclasses.dataclass
class _Host:
    """One node that had workers."""

    kind: NodeKind
    backends: set[str] = dataclasses.field(default_factory=set)
    workers: int = 0  # now
    most_workers: int = 0
    lost_workers: int = 0


class WorkerRoster(Listener):
    """Remembers where workers lived and what became of them."""

    def __init__(self, kind_of: Callable[[str], NodeKind]) -> None:
        """`kind_of`: node id -> what that machine is; asked once per node."""
        self._kind_of = kind_of
        self._hosts: dict[str, _Host] = {}
        self.retries = 0  # tasks that were given to a worker once more
        self.lost_workers = 0  # all of them, those of lost nodes and those that never became ready included
        self.lost_to_nodes = 0  # of these, because their node went away

    def retried(self, key: str, reason: str) -> None:
        self.retries += 1

    def joined(self, worker: WorkerReady) -> None:
        if worker.node_id not in self._hosts:
            self._hosts[worker.node_id] = _Host(self._kind_of(worker.node_id))
        host = self._hosts[worker.node_id]
        host.workers += 1
        host.most_workers = max(host.most_workers, host.workers)
        if worker.backend:
            host.backends.add(worker.backend)

    def lost(self, worker: WorkerReady | None, reason: str, node_died: bool) -> None:
        self.lost_workers += 1
        self.lost_to_nodes += node_died
        if worker is not None:
            self._hosts[worker.node_id].workers -= 1
            self._hosts[worker.node_id].lost_workers += 1

    def host_kinds(self) -> list[dict[str, Any]]:
        """Nodes that are alike as one entry: what they are, how many, and how many workers they had."""
        kinds: dict[tuple[NodeKind, tuple[str, ...]], list[_Host]] = collections.defaultdict(list)
        for host in self._hosts.values():
            kinds[host.kind, tuple(sorted(host.backends))].append(host)
        found = [
            {
                **dataclasses.asdict(kind),
                "backends": list(backends),
                "nodes": len(hosts),
                "workers": sum(host.most_workers for host in hosts),
                "lost_workers": sum(host.lost_workers for host in hosts),
            }
            for (kind, backends), hosts in kinds.items()
        ]
        return sorted(found, key=lambda entry: -entry["workers"])
