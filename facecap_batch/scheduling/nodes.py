"""The machines of the connected cluster: which are there, what each is, how many workers they hold.

In: what Ray reports of its nodes. Out: `Node`s, the `NodeKind` that ``run.json`` describes, and the capacity
for workers. Ray must be connected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

# A worker's share of its node's memory. Measured: 0.2 GiB for VGA, 0.4 GiB for 4K of 8 bit, and 0.15 GiB for
# a worker of Ray's; the rest is for frames of higher bit depth and blocks of a remote video (48 MiB).
WORKER_MEMORY_BYTES = 768 * 2**20


@dataclasses.dataclass(frozen=True)
class Node:
    """One machine of the cluster."""

    node_id: str
    is_alive: bool
    resources: Mapping[str, float]  # "CPU", "GPU", "memory" (bytes), "accelerator_type:A10G"


@dataclasses.dataclass(frozen=True)
class NodeKind:
    """What a machine of the cluster is; machines that are alike are equal."""

    cpus: float
    gpus: float
    accelerator: str  # as Ray names it, "A10G"; empty: none
    memory_bytes: int


def all_nodes() -> list[Node]:
    """Every node that Ray knows, dead ones too."""
    import ray

    return [Node(node["NodeID"], node["Alive"], node["Resources"]) for node in ray.nodes()]


def alive_nodes() -> list[Node]:
    """The nodes that Ray counts among those of the cluster."""
    return [node for node in all_nodes() if node.is_alive]


def is_alive(node_id: str) -> bool:
    """Whether the node `node_id` is one of `alive_nodes`."""
    return any(node.node_id == node_id for node in alive_nodes())


def current_node_id() -> str:
    """The node that this process, a worker of Ray's, is on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def node_kind(node_id: str) -> NodeKind:
    """What the node `node_id` brings into the cluster; nothing for one that Ray does not know."""
    resources = next((node.resources for node in all_nodes() if node.node_id == node_id), {})
    accelerators = [name.split(":", 1)[1] for name in resources if name.startswith("accelerator_type:")]
    return NodeKind(
        cpus=resources.get("CPU", 0.0),
        gpus=resources.get("GPU", 0.0),
        accelerator=", ".join(sorted(accelerators)),
        memory_bytes=int(resources.get("memory", 0)),
    )


def memory_per_worker() -> int:
    """Bytes to ask Ray for with every worker: `WORKER_MEMORY_BYTES`, or the memory of the largest node where
    that is less, so that one worker always fits."""
    largest = max((int(node.resources.get("memory", 0)) for node in alive_nodes()), default=0)
    return min(largest, WORKER_MEMORY_BYTES)


def worker_capacity(cpus_per_worker: float, gpus_per_worker: float, memory_per_worker: int = 0) -> int:
    """How many workers of this size the cluster holds now, counted node by node.

    Args:
        cpus_per_worker: CPUs, also a fraction; 0: not counted.
        gpus_per_worker: GPUs, also a fraction; 0: not counted.
        memory_per_worker: bytes; 0: not counted.

    Returns:
        At least 1: on a cluster that grows, the first worker waits for a node.
    """
    wanted = {"CPU": cpus_per_worker, "GPU": gpus_per_worker, "memory": memory_per_worker}
    count = 0
    for node in alive_nodes():
        fits = [int(node.resources.get(name, 0) / each + 1e-9) for name, each in wanted.items() if each > 0]
        count += min(fits, default=1)
    return max(count, 1)
