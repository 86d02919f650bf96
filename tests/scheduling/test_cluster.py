"""Several nodes on one machine: some join and die under a run, some are made by `ray start`; a job server."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.run import RunSummary
from facecap_batch.scheduling.cluster import OBJECT_STORE_BYTES
from tests.support.event_logs import lines
from tests.support.faulty_workers import GatedWorker
from tests.support.local_ray import ROOT, local_ray
from tests.support.runs import half_written, results, rows, run_quietly, write_clips

PATHS = str(ROOT)
PATIENCE_S = 240.0
NODE = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert true()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), {f"gated-{number}": 12 for number in range(3)})


@pytest.fixture(scope="module")
def clean(manifest: Path, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of a run on one machine that nothing disturbed."""
    output = tmp_path_factory.mktemp("clean")
    with local_ray():
        assert run_quietly(manifest, output, config).exit_code == 0
    return results(output)


@pytest.fixture
def one_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("PYTHONPATH", PATHS)
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_nodes_join_and_die_under_a_run(
    manifest: Path,
    clean: dict[str, bytes],
    one_node: Cluster,
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, log, gate = tmp_path / "out", tmp_path / "log", tmp_path / "out.gate"
    summaries: list[RunSummary] = []
    monkeypatch.setattr("facecap_batch.runs.worker.ClipWorker", GatedWorker)
    # The run has a thread of its own: Ray adds nodes from the main thread only.
    run = threading.Thread(
        target=lambda: summaries.append(run_quietly(manifest, output, config, workers=None, log_json=log)),
        daemon=True,
    )
    run.start()
    try:
        until(lambda: len(lines(log, "started")) == 1)
        node = one_node.add_node(**NODE)
        until(lambda: len(lines(log, "started")) == 2)
        assert lines(log, "started")[1]["node"] == node.node_id
        one_node.remove_node(node, allow_graceful=False)
        until(lambda: lines(log, "retried"))
        one_node.add_node(**NODE)
        until(lambda: len(lines(log, "worker_joined")) == 3)
    finally:
        gate.touch()
        run.join()
    (summary,) = summaries
    assert summary.exit_code == 0
    report = json.loads((output / "run.json").read_text())
    assert (report["lost_workers"], report["lost_to_nodes"], report["retries"]) == (1, 1, 1)
    assert report["workers"] == 2 and sum(host["nodes"] for host in report["hosts"]) == 3
    assert [line["node_died"] for line in lines(log, "worker_lost")] == [True]
    # Not the clip's fault: it counts as its first attempt.
    assert {row["attempts"] for row in rows(output).values()} == {1}
    assert results(output) == clean and not half_written(output)


def free_ports(count: int) -> list[int]:
    """Below the system's own range, from which connections of Ray's processes would take them again."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.SystemRandom().sample(range(20_000, max(lowest, 21_000)), count * 8):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
    return found[:count]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "PYTHONPATH": PATHS, "RAY_USAGE_STATS_ENABLED": "0", **more}


@contextlib.contextmanager
def started(*arguments: object, env: Mapping[str, str]) -> Iterator[None]:
    """A node as `ray start` makes it; gone afterwards, with every process of its own."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    command += [f"--object-store-memory={OBJECT_STORE_BYTES}", *map(str, arguments)]
    node = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
        assert node.poll() is None, "the node ended by itself"
    finally:
        node.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.wait(timeout=30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)


def test_a_job_on_two_nodes_that_want_a_token(
    manifest: Path, clean: dict[str, bytes], config: RunConfig, tmp_path: Path
) -> None:
    """As in docs/cluster.md: `ray start` twice with a token, then `ray job submit`."""
    pytest.importorskip("aiohttp", reason="Ray's job server is not installed (facecap-batch[cluster])")
    gcs, dashboard, client, *agents = free_ports(5)
    env = environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="7" * 64)
    head = ["--head", f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    head += [f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agents[0]}"]
    head += ["--include-dashboard=true"]
    with started(*head, env=env):
        address = f"127.0.0.1:{gcs}"
        with started(f"--address={address}", f"--dashboard-agent-listen-port={agents[1]}", env=env):
            until_two_nodes(address, env)
            submit = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit"]
            submit += [f"--address=http://127.0.0.1:{dashboard}", "--"]
            arguments = [manifest, "-o", tmp_path / "out", "--workers", 2]
            arguments += ["--engines", config.engines, "--backend", "onnxruntime-cpu"]
            job = [sys.executable, ROOT / "tests/support/together_job.py", *arguments]
            done = call([*submit, *job], env)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "3 of 3 clips done" in done.stdout
            # Without the token nothing is to be had, neither from the job server nor from the cluster.
            stranger = environment(RAY_AUTH_MODE="disabled")
            assert call([*submit, *job], stranger).returncode != 0
            arguments[2] = tmp_path / "nothing"
            run = [sys.executable, "-m", "facecap_batch", "run", *arguments, "--ray-address", address]
            refused = call(run, stranger)
            assert refused.returncode == 2 and "no Ray cluster answers" in refused.stderr
    report = json.loads((tmp_path / "out/run.json").read_text())
    assert (report["done"], report["workers"]) == (3, 2)
    assert sum(host["nodes"] for host in report["hosts"]) == 2
    assert results(tmp_path / "out") == clean


def call(command: list[object], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], env=env, capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT
    )


COUNT_NODES = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False)
print("nodes:", sum(node["Alive"] for node in ray.nodes()))
"""


def until_two_nodes(address: str, env: Mapping[str, str]) -> None:
    until(lambda: "nodes: 2" in call([sys.executable, "-c", COUNT_NODES, address], env).stdout)
