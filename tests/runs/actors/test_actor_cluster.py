"""Clips of one actor on a cluster of two nodes: the bytes are those of one machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from facecap_batch.engines.sets import EngineSet
from facecap_batch.scheduling.cluster import OBJECT_STORE_BYTES
from tests.support.faulty_workers import TogetherWorker
from tests.support.local_ray import ROOT, local_ray
from tests.support.runs import make_config_of, results, run_quietly, write_clips, write_manifest

NODE = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        cluster.add_node(**NODE)
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    names = ("one", "two", "three")
    write_clips(tmp_path, dict.fromkeys(names, 12))
    return write_manifest(tmp_path, [{"path": f"{name}.mp4", "actor": "Ada"} for name in names])


def test_the_same_bytes_as_on_one_machine(
    manifest: Path,
    random_engines: EngineSet,
    two_nodes: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config_of(random_engines, calibrate="actor")
    monkeypatch.setattr("facecap_batch.runs.worker.ClipWorker", TogetherWorker)
    assert run_quietly(manifest, tmp_path / "cluster", config, workers=2).exit_code == 0
    hosts = json.loads((tmp_path / "cluster/run.json").read_text())["hosts"]
    assert sum(host["nodes"] for host in hosts) == 2
    ray.shutdown()
    monkeypatch.undo()
    with local_ray():
        assert run_quietly(manifest, tmp_path / "local", config, workers=1).exit_code == 0
    assert results(tmp_path / "cluster") == results(tmp_path / "local")
    calibrations = [(tmp_path / name / "actors.parquet").read_bytes() for name in ("cluster", "local")]
    assert calibrations[0] == calibrations[1]
