"""Workers are as many as fit into the memory of their nodes: real Ray, nodes that pretend to be small."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray
from ray.cluster_utils import Cluster

from facecap_batch.scheduling import cluster, nodes
from facecap_batch.scheduling.cluster import DRIVER_MEMORY_BYTES, OBJECT_STORE_BYTES
from facecap_batch.scheduling.nodes import WORKER_MEMORY_BYTES


def node(cpus: int, memory_bytes: int) -> dict[str, int]:
    return {"num_cpus": cpus, "memory": memory_bytes, "object_store_memory": OBJECT_STORE_BYTES}


@pytest.fixture
def small_node() -> Iterator[Cluster]:
    """Eight CPUs, and memory for two workers and a half."""
    size = node(8, WORKER_MEMORY_BYTES * 5 // 2)
    made = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        ray.init(address=made.address, log_to_driver=False)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def test_nodes_hold_as_many_workers_as_fit_into_their_memory(small_node: Cluster) -> None:
    each = nodes.memory_per_worker()
    assert each == WORKER_MEMORY_BYTES
    assert nodes.worker_capacity(1.0, 0.0, each) == 2
    assert nodes.worker_capacity(1.0, 0.0) == 8
    small_node.add_node(**node(1, 20 * WORKER_MEMORY_BYTES))
    assert nodes.worker_capacity(1.0, 0.0, each) == 3


@pytest.mark.parametrize(
    ("usable", "workers"),
    [(DRIVER_MEMORY_BYTES + 3 * WORKER_MEMORY_BYTES, 3), (WORKER_MEMORY_BYTES // 2, 1)],
)
def test_a_ray_of_our_own_knows_the_memory_of_its_container(
    usable: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small it is: one worker always fits."""
    monkeypatch.setattr(cluster, "usable_memory_bytes", lambda: usable)
    with cluster.connected(num_cpus=8):
        assert nodes.worker_capacity(1.0, 0.0, nodes.memory_per_worker()) == workers
        worker = ray.remote(num_cpus=1, memory=nodes.memory_per_worker())(lambda: "fits")
        assert ray.get(worker.remote(), timeout=120) == "fits"
