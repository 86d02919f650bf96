"""Listeners that every run needs: a group of others, and the roster of workers and their machines.

In: the scheduler's events. Out: the same events for every listener of a `ListenerGroup`; from `WorkerRoster`
the machines that took part and the workers that were lost, for ``run.json``.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from facecap_batch.scheduling.messages import Listener, Outcome, Progress, WorkerReady

if TYPE_CHECKING:
    from facecap_batch.scheduling.nodes import NodeKind


class ListenerGroup(Listener):
    """Passes every event on to its listeners, in order."""

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
    """A node that had workers."""

    kind: NodeKind
    backends: set[str] = dataclasses.field(default_factory=set)
    workers: int = 0  # now
    max_workers: int = 0  # at one time
    lost_workers: int = 0


class WorkerRoster(Listener):
    """Counts workers by node, and what was lost."""

    def __init__(self, kind_of: Callable[[str], NodeKind]) -> None:
        """
        Args:
            kind_of: what the node with this id is; called once per node.
        """
        self._kind_of = kind_of
        self._hosts: dict[str, _Host] = {}
        self.retries = 0  # attempts after the first
        self.lost_workers = 0  # with those of lost nodes and those that never became ready
        self.lost_to_nodes = 0  # of these, because their node went away

    def retried(self, key: str, reason: str) -> None:
        self.retries += 1

    def joined(self, worker: WorkerReady) -> None:
        if worker.node_id not in self._hosts:
            self._hosts[worker.node_id] = _Host(self._kind_of(worker.node_id))
        host = self._hosts[worker.node_id]
        host.workers += 1
        host.max_workers = max(host.max_workers, host.workers)
        if worker.backend:
            host.backends.add(worker.backend)

    def lost(self, worker: WorkerReady | None, reason: str, node_died: bool) -> None:
        self.lost_workers += 1
        self.lost_to_nodes += node_died
        if worker is not None:
            self._hosts[worker.node_id].workers -= 1
            self._hosts[worker.node_id].lost_workers += 1

    def host_kinds(self) -> list[dict[str, Any]]:
        """For ``run.json``: one entry per kind of node and set of backends, that with most workers first.

        Returns:
            The fields of `NodeKind`, and ``backends``, ``nodes``, ``workers`` (the most at one time, summed
            over the nodes) and ``lost_workers``.
        """
        kinds: dict[tuple[NodeKind, tuple[str, ...]], list[_Host]] = collections.defaultdict(list)
        for host in self._hosts.values():
            kinds[host.kind, tuple(sorted(host.backends))].append(host)
        found = [
            {
                **dataclasses.asdict(kind),
                "backends": list(backends),
                "nodes": len(hosts),
                "workers": sum(host.max_workers for host in hosts),
                "lost_workers": sum(host.lost_workers for host in hosts),
            }
            for (kind, backends), hosts in kinds.items()
        ]
        return sorted(found, key=lambda entry: -entry["workers"])
