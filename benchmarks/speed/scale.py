"""Speed of two nodes against one, and memory over 10,000 tasks, with simulated work.

    python benchmarks/speed/scale.py [nodes] [memory] [--tasks 10000]

- nodes: the scheduler with workers that only wait (a GPU does the work, the CPU hardly any) on a Ray cluster
  of one node and of two of the same size, on this machine. Tasks per second once all workers are there; the
  limit is 1.9 times.
- memory: `facecap-batch run` over that many clips whose capture is simulated (an array of some megabytes,
  small files); resident memory of the driver and of a worker, medians of the second tenth and of the last.
  The limit is 1.1 times. The first tenth is left out: engines, Ray and Arrow allocate there.

Exit code 1 where one is beyond its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks" / "speed")])
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "speed")]

from facecap_batch.output.ledger import DONE, Record  # noqa: E402  the path comes first
from facecap_batch.runs.clip_steps import output_names  # noqa: E402
from facecap_batch.runs.planner import Item, WorkItem  # noqa: E402
from facecap_batch.runs.worker import ClipWorker  # noqa: E402
from facecap_batch.scheduling.messages import Listener, Outcome, WorkerReady  # noqa: E402
from facecap_batch.storage.publish import publish_bytes  # noqa: E402

NODES_LIMIT, MEMORY_LIMIT = 1.9, 1.1
WORKERS_PER_NODE = 2
TASK_S = 0.5
DRIVE = (
    "import facecap_batch.runs.worker as worker, scale; worker.ClipWorker = scale.SimulatedWorker; "
    "from facecap_batch.cli.app import main; main()"
)


class SimulatedWorker(ClipWorker):
    """A worker without decoding and networks."""

    def ready(self) -> WorkerReady:
        import ray

        return WorkerReady(ray.get_runtime_context().get_node_id(), os.getpid(), "simulated")

    def work(self, item: Item) -> Iterator[Any]:
        import numpy as np

        from facecap_batch.scheduling.messages import Done, Progress

        assert isinstance(item, WorkItem), "no clip of this benchmark is long"
        frames = np.random.default_rng(0).integers(0, 255, (4, 360, 640, 3), np.uint8)
        yield Progress(len(frames))
        outputs = {}
        for name in (*output_names(item.clip.clip_id).values(), f"fbx/{item.clip.clip_id}.fbx"):
            publish_bytes(self.claim.output / name, frames[0, 0].tobytes())
            outputs[name] = frames[0, 0].nbytes
        yield Done(
            Record(
                item.clip.clip_id, DONE, item.input_key, self.config.capture_fingerprint(),
                self.config.fingerprint(), frames=len(frames), seconds=1.0, fps=30.0, outputs=outputs,
            )
        )  # fmt: skip


class Waiting:
    """A worker whose work is to wait."""

    def ready(self) -> WorkerReady:
        import ray

        return WorkerReady(ray.get_runtime_context().get_node_id(), os.getpid(), "simulated")

    def work(self, seconds: float) -> Iterator[Any]:
        from facecap_batch.scheduling.messages import Done

        time.sleep(seconds)
        yield Done(None)


class Clock(Listener):
    """Records when tasks ended and when workers joined, seconds, monotonic."""

    def __init__(self) -> None:
        self.ended_at: list[float] = []
        self.joined_at: list[float] = []

    def ended(self, outcome: Outcome) -> None:
        self.ended_at.append(time.monotonic())

    def joined(self, worker: WorkerReady) -> None:
        self.joined_at.append(time.monotonic())


def tasks_per_second(nodes: int, tasks: int) -> float:
    """On a cluster of `nodes`, from when the last worker joined to when the queue was empty."""
    import ray
    from ray.cluster_utils import Cluster

    from facecap_batch.scheduling.cluster import OBJECT_STORE_BYTES
    from facecap_batch.scheduling.messages import Task
    from facecap_batch.scheduling.nodes import worker_capacity
    from facecap_batch.scheduling.scheduler import Scheduler

    size: dict[str, Any] = {"num_cpus": WORKERS_PER_NODE, "object_store_memory": OBJECT_STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**size)
        ray.init(address=cluster.address, log_to_driver=False)
        actor = ray.remote(Waiting).options(num_cpus=1, max_restarts=0, max_task_retries=0)
        clock = Clock()
        scheduler = Scheduler(lambda: actor.remote(), lambda: worker_capacity(1, 0), clock)
        for outcome in scheduler.run([Task(f"{number:05}", TASK_S, 1.0) for number in range(tasks)]):
            assert outcome.ok
        workers = len(clock.joined_at)
        assert workers == nodes * WORKERS_PER_NODE, f"{workers} workers on {nodes} node(s)"
        all_there = max(clock.joined_at)
        # In the last round workers run out of tasks: left out.
        counted = [at for at in clock.ended_at[:-workers] if at > all_there]
        return (len(counted) - 1) / (counted[-1] - counted[0])
    finally:
        ray.shutdown()
        cluster.shutdown()


def measure_nodes(tasks: int) -> bool:
    one = tasks_per_second(1, tasks)
    two = tasks_per_second(2, 2 * tasks)
    print(
        f"simulated work of {TASK_S:g} s, {WORKERS_PER_NODE} workers a node: {one:.2f} tasks/s on one node, "
        f"{two:.2f} on two, {two / one:.2f} x (limit {NODES_LIMIT})",
        flush=True,
    )
    return two / one >= NODES_LIMIT


def resident_mib(process: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _samples(driver: subprocess.Popen[bytes], log: Path, ledger: Path) -> Iterator[tuple[int, float, float]]:
    """(clips done, MiB of the driver, MiB of the worker), twice a second until the driver ends."""
    worker = None
    while driver.poll() is None:
        time.sleep(0.5)
        if worker is None and log.exists():
            joined = [line for line in log.read_text().splitlines() if '"worker_joined"' in line]
            worker = json.loads(joined[0])["pid"] if joined else None
        if worker is not None and ledger.is_dir():
            sizes = resident_mib(driver.pid), resident_mib(worker)
            if sizes[0] is not None and sizes[1] is not None:
                yield sum(1 for _ in os.scandir(ledger)), sizes[0], sizes[1]


def measure_memory(tasks: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        rows = [f"clip-{number:06}" for number in range(tasks)]
        for row in rows:
            (folder / f"{row}.mp4").touch()
        (folder / "manifest.csv").write_text("path\n" + "".join(f"{row}.mp4\n" for row in rows))
        log, ledger = folder / "log.jsonl", folder / "out" / "ledger"
        command = [sys.executable, "-c", DRIVE, "run", folder / "manifest.csv", "-o", folder / "out", "-q"]
        began = time.perf_counter()
        driver = subprocess.Popen(
            # A size of a worker means Ray, and so the simulated worker.
            [*map(str, command), "--workers", "1", "--cpus-per-worker", "0.5", "--log-json", str(log)],
            env={**os.environ, "PYTHONPATH": PATHS}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            samples = list(_samples(driver, log, ledger))
        finally:
            driver.kill()
        took = time.perf_counter() - began
        assert driver.returncode == 0, f"the run ended with {driver.returncode}"
    good = True
    for column, who in ((1, "driver"), (2, "worker")):
        first = statistics.median(sample[column] for sample in samples if 0.1 <= sample[0] / tasks < 0.2)
        last = statistics.median(sample[column] for sample in samples if sample[0] / tasks >= 0.9)
        good = good and last / first <= MEMORY_LIMIT
        print(
            f"{who}: {first:.1f} MiB at 10 to 20 % of {tasks} tasks, {last:.1f} MiB at the end, "
            f"{last / first:.3f} x (limit {MEMORY_LIMIT})",
            flush=True,
        )
    print(f"{tasks} tasks in {took:.0f} s, {1000 * took / tasks:.1f} ms each, one worker", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=[], help="nodes, memory; default: both")
    parser.add_argument("--tasks", type=int, default=10_000, help="of the memory run")
    parser.add_argument("--node-tasks", type=int, default=60, help="per node, of the other")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = PATHS
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    checks = {
        "nodes": lambda: measure_nodes(options.node_tasks),
        "memory": lambda: measure_memory(options.tasks),
    }
    return 0 if all([checks[name]() for name in options.what or checks]) else 1


if __name__ == "__main__":
    sys.exit(main())
