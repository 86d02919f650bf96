"""What a run's driver costs per clip, and how many clips a second it keeps workers busy with.

    python benchmarks/speed/driver.py clips [--clips 100000] [--profile FILE]
    python benchmarks/speed/driver.py curve [--clip-s 0.5 2] [--workers 1 2 4 8 16 32 64 128 256]

Plan, scheduler, workflow, ledger, records and reports are those of a run on a Ray of its own, and so is the
driver's process, which is measured. Workers are simulated, and that is all that is: they wait as long as a
clip takes, write nothing, and return the record of a clip that is done. Many of them share a process, so that
hundreds fit on this machine; each is a worker of its own to the driver, on a node of `WORKERS_PER_NODE`.

- clips: that many clips of one second whose capture takes no time. CPU time of the driver's process per clip
  (not wall time, so that a busy machine counts little): its own (this package's code in all threads, imports
  included), Ray's (its threads, and its functions while the driver calls them) and the storage's (the kernel,
  while records are published and synced). The limit, 2 ms, is for its own. --profile writes the profile of
  its main thread (`pstats`), which makes the figures larger.
- curve: clips per second with more and more workers, each waiting as long as a clip takes (default: as long
  as a second of 360p takes here), against what they could do if they waited for nobody; the driver's CPU time
  per clip, and how many cores that is.

Exit code 1 where the limit is not kept.
"""

from __future__ import annotations

import argparse
import collections
import cProfile
import itertools
import json
import os
import resource
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

LIMIT_MS = 2.0
WORKERS_PER_NODE = 8
HOSTS = 2  # processes that the simulated workers share
CLIP_S = 1.0  # seconds of video of a clip
MIN_CLIPS = 20  # of a point of the curve
PHASES = {"planning": ("start", "connected"), "work": ("connected", "worked"), "end": ("worked", "ended")}


class WorkerHost:
    """Many simulated workers in one process of Ray's; each call is a thread that waits."""

    def __init__(self, config: Any, node: int, clip_s: float) -> None:
        self.capture, self.whole = config.capture_fingerprint(), config.fingerprint()
        self.engines = dict(config.engine_hashes)
        self.nodes = itertools.count(node)
        self.clip_s = clip_s

    def ready(self) -> Any:
        from facecap_batch.scheduling.messages import WorkerReady

        node = next(self.nodes) // WORKERS_PER_NODE
        return WorkerReady(f"simulated-{node:03}", os.getpid(), "simulated")

    def work(self, item: Any) -> Iterator[Any]:
        from facecap_batch import machine
        from facecap_batch.output.ledger import DONE, Record
        from facecap_batch.scheduling.messages import Done

        time.sleep(self.clip_s)
        record = Record(
            item.clip.clip_id, DONE, item.input_key, self.capture, self.whole, frames=30, frames_with_face=30,
            seconds=CLIP_S, fps=30.0, backend="simulated", engines=self.engines, wall_s=self.clip_s,
            finished_at=machine.utc_now(),
        )  # fmt: skip
        yield Done(record)


class Timed:
    """A function, and the CPU seconds that its calls took in their own threads."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.user: collections.deque[float] = collections.deque()  # of each call
        self.kernel: collections.deque[float] = collections.deque()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        before = resource.getrusage(resource.RUSAGE_THREAD)
        try:
            return self.function(*arguments, **named)
        finally:
            after = resource.getrusage(resource.RUSAGE_THREAD)
            self.user.append(after.ru_utime - before.ru_utime)
            self.kernel.append(after.ru_stime - before.ru_stime)

    def total_s(self) -> float:
        return sum(self.user) + sum(self.kernel)


def timed_method(owner: Any, name: str) -> Timed:
    """Have every call of a method, or of a module's function, timed."""
    timed = Timed(getattr(owner, name))
    setattr(owner, name, lambda *arguments, **named: timed(*arguments, **named))
    return timed


def drive(folder: Path, workers: int, clip_s: float, profile: str) -> None:
    """Be the driver of a run over the manifest in `folder`, and print what it cost as JSON."""
    import ray.actor
    import ray.util.metrics

    from facecap_batch.output.ledger import Ledger
    from facecap_batch.runs import start
    from facecap_batch.runs.config import RunOptions, make_config
    from facecap_batch.runs.executors.ray_executor import RayExecutor
    from facecap_batch.runs.manifest import read_manifest
    from facecap_batch.runs.observers.progress import PlainDisplay
    from facecap_batch.runs.records import RunRecords
    from facecap_batch.runs.run import Run
    from facecap_batch.scheduling.nodes import NodeKind

    publishing = timed_method(RunRecords, "_publish")
    # What the scheduler asks of Ray, and the metrics; all on the main thread.
    in_ray = [
        timed_method(ray, "wait"),
        timed_method(ray, "get"),
        timed_method(ray.actor.ActorMethod, "_remote"),
        timed_method(ray.ObjectRefGenerator, "__next__"),
        timed_method(ray.util.metrics.Metric, "_record"),
    ]
    marks: dict[str, dict[str, float]] = {}

    def mark(name: str) -> None:
        """CPU seconds of this process so far, by whose they are."""
        main, called = time.thread_time(), sum(timed.total_s() for timed in in_ray)
        own = main - called + sum(publishing.user)
        kernel = sum(publishing.kernel)
        marks[name] = {"own": own, "storage": kernel, "Ray": time.process_time() - own - kernel}

    def starter(self: RayExecutor, assigned: Any) -> Any:
        import ray

        mark("connected")
        share = -(-workers // HOSTS)
        host = ray.remote(WorkerHost).options(
            num_cpus=0, max_restarts=0, max_task_retries=0, max_concurrency=share + 2
        )
        hosts = itertools.cycle([host.remote(assigned.config, n * share, clip_s) for n in range(HOSTS)])
        return lambda: next(hosts)

    finish = Run._finish

    def finishing(self: Run, state: str, display: Any) -> None:
        mark("worked")
        finish(self, state, display)

    RayExecutor._worker_starter = starter  # type: ignore[method-assign]
    RayExecutor.node_kind = lambda self, node_id: NodeKind(WORKERS_PER_NODE, 0, "", 0)  # type: ignore[method-assign]
    Run._finish = finishing  # type: ignore[method-assign]
    profiler = cProfile.Profile(time.thread_time)
    mark("start")
    if profile:
        profiler.enable()
    manifest = read_manifest(folder / "manifest.csv")
    # A worker's size means Ray, whatever their number.
    options = RunOptions(folder / "out", workers=workers, cpus_per_worker=0.01)
    summary = start.start_run(manifest, make_config(), options, PlainDisplay(every_s=float("inf")))
    if profile:
        profiler.disable()
        profiler.dump_stats(profile)
    mark("ended")
    assert summary.done == len(manifest.clips), f"{summary.done} of {len(manifest.clips)} clips are done"
    assert sum(1 for _ in Ledger(folder / "out").records()) == summary.done
    told = {"work_s": summary.work_s, "clips": summary.done, "marks": marks}
    print(json.dumps(told), flush=True)


def measured(clips: int, workers: int, clip_s: float, profile: str = "") -> dict[str, Any]:
    """A run in a process of its own, and what it cost: CPU milliseconds per clip, by phase and owner."""
    with tempfile.TemporaryDirectory(prefix="driver-") as name:
        folder = Path(name)
        for number in range(clips):
            (folder / f"clip-{number:06}.mp4").touch()
        rows = "".join(f"clip-{number:06}.mp4\n" for number in range(clips))
        (folder / "manifest.csv").write_text(f"path\n{rows}")
        ended = subprocess.run(
            [sys.executable, __file__, "drive", name, str(workers), str(clip_s), profile],
            env={**os.environ, "PYTHONPATH": PATHS}, stdout=subprocess.PIPE, check=True, text=True,
        )  # fmt: skip
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    marks = told["marks"]
    told["cost_ms"] = {
        phase: {who: 1000 * (marks[last][who] - marks[first][who]) / clips for who in marks[first]}
        for phase, (first, last) in PHASES.items()
    }
    return told


def measured_clip_s() -> float:
    """Seconds that a warm worker takes here for a second of 360p video, from its file to FBX."""
    from facecap_batch.checks.bench import clip_speed
    from facecap_batch.engines.sets import load_set

    speed = clip_speed(load_set("default"), "onnxruntime-cpu", ROOT / "manifests" / "demo" / "turning.mp4")
    return round(30 * CLIP_S / speed.fps, 2)


def measure_clips(clips: int, workers: int, profile: str) -> bool:
    told = measured(clips, workers, 0.0, profile)
    cost = told["cost_ms"]
    own: float = sum(parts["own"] for parts in cost.values())
    by_phase = ", ".join(f"{phase} {parts['own']:.2f}" for phase, parts in cost.items())
    others = ", ".join(f"{who} {cost['work'][who]:.2f}" for who in ("Ray", "storage"))
    print(
        f"{clips} clips, {workers} simulated workers: {own:.2f} ms of the driver's own CPU per clip "
        f"({by_phase}; limit {LIMIT_MS}), beside it while it works: {others} ms; "
        f"{clips / told['work_s']:.0f} clips/s",
        flush=True,
    )
    return own <= LIMIT_MS


def measure_curve(clip_seconds: list[float], workers: list[int], rounds: int) -> bool:
    heads = ["a clip takes, s", "workers", "nodes", "clips/s", "of what they could do"]
    print("| " + " | ".join([*heads, "driver's CPU a clip, ms: own, Ray, storage", "cores"]) + " |")
    print("|" + " --- |" * (len(heads) + 2))
    for clip_s in clip_seconds or [measured_clip_s()]:
        for count in workers:
            told = measured(max(count * rounds, MIN_CLIPS), count, clip_s)
            rate, cost = told["clips"] / told["work_s"], told["cost_ms"]["work"]
            parts = ", ".join(f"{cost[who]:.1f}" for who in ("own", "Ray", "storage"))
            print(
                f"| {clip_s:g} | {count} | {-(-count // WORKERS_PER_NODE)} | {rate:.1f} | "
                f"{rate * clip_s / count:.0%} | {parts} | "
                f"{rate * sum(cost.values()) / 1000:.2f} |",
                flush=True,
            )
    return True


def main() -> int:
    if sys.argv[1:2] == ["drive"]:
        drive(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("clips", "curve"))
    parser.add_argument("--clips", type=int, default=100_000, help="of `clips`")
    parser.add_argument("--profile", default="", help="of `clips`: file for the profile")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=None, help="default: of `clips` 8, of `curve` 1 to 256"
    )
    parser.add_argument("--clip-s", type=float, nargs="+", default=[], help="of `curve`, seconds")
    parser.add_argument("--rounds", type=int, default=8, help="of `curve`: clips per worker")
    options = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    if options.what == "clips":
        good = measure_clips(options.clips, (options.workers or [8])[0], options.profile)
    else:
        good = measure_curve(
            options.clip_s, options.workers or [2**power for power in range(9)], options.rounds
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
