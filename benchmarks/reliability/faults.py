"""What faults cost: a driver killed half-way, workers killed every few seconds, a clip that kills workers.

    python benchmarks/reliability/faults.py [driver] [workers] [poison] [--clips 40] [--workers 2] [--every 5]

Each run does the same short pieces of the demo's videos with the real engines on a Ray of its own and is
compared, byte for byte, with a run that nothing disturbed. Prints a line and its limit for each:

- driver: the driver gets SIGKILL when half of the clips are done; the same command finishes. Clips done twice
  are those that both runs began.
- workers: one ready worker gets SIGKILL every `--every` seconds until the run ends.
- poison: one more clip, whose worker raises SIGSEGV each time.

Exit code 1 where one is beyond its limit.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "reliability")]

from facecap_batch.runs.worker import ClipWorker  # noqa: E402  the path comes first

if TYPE_CHECKING:
    from facecap_batch.runs.planner import CalibrationItem, Item
    from facecap_batch.scheduling.messages import Done, Failed, Progress

DEMO = ROOT / "manifests" / "demo"
PIECE_S = 0.4  # seconds of video per clip
POISON = "poison"
DRIVE = (
    "import facecap_batch.runs.worker as worker, faults; worker.ClipWorker = faults.PoisonedWorker; "
    "from facecap_batch.cli.app import main; main()"
)


class PoisonedWorker(ClipWorker):
    """The real worker, but one clip ends its process."""

    def work(self, item: Item) -> Iterator[Progress | Done | Failed]:
        if not isinstance(item, CalibrationItem) and item.clip.clip_id == POISON:
            os.kill(os.getpid(), signal.SIGSEGV)
        yield from super().work(item)


class Run:
    """One `facecap-batch run` in a process of its own."""

    def __init__(self, manifest: Path, output: Path, workers: int) -> None:
        self.log = output.with_suffix(f".{time.time_ns()}.jsonl")
        paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks" / "reliability")])
        command = [sys.executable, "-c", DRIVE, "run", manifest, "-o", output, "--log-json", self.log]
        self.process = subprocess.Popen(
            [*map(str, command), "-q", "--workers", str(workers), "--backend", "onnxruntime-cpu"],
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def events(self, *names: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        return [line for line in map(json.loads, lines) if line["event"] in names]

    def finish(self, meanwhile: Callable[[Run], None] = lambda run: None, every_s: float = 0.05) -> int:
        while self.process.poll() is None:
            time.sleep(every_s)
            meanwhile(self)
        return self.process.returncode


def write_manifest(path: Path, clips: int, more: str = "") -> Path:
    """A manifest of `clips` different pieces of the demo's videos, and one more called `more`."""
    videos = sorted(DEMO.glob("*.mp4"))
    rows = ["clip_id,path,start,end"]
    for number in range(clips):
        start = (number // len(videos)) * 0.05
        rows.append(f"clip-{number:02},{videos[number % len(videos)]},{start:.2f},{start + PIECE_S:.2f}")
    path.write_text("\n".join([*rows, *([f"{more},{videos[0]},0,{PIECE_S}"] if more else [])]) + "\n")
    return path


def results(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for kind in ("raw", "coefficients", "fbx")
        for path in (output / kind).iterdir()
        if path.stem != POISON
    }


def kill_driver(folder: Path, manifest: Path, clean: dict[str, bytes], clips: int, workers: int) -> bool:
    output = folder / "driver"
    first = Run(manifest, output, workers)
    while first.process.poll() is None and len(first.events("done")) < clips // 2:
        time.sleep(0.02)
    first.process.kill()
    first.process.wait()
    done = len(first.events("done"))
    second = Run(manifest, output, workers)
    code = second.finish()
    begun = len(first.events("started")) + len(second.events("started"))
    same = results(output) == clean
    print(
        f"driver killed with {done} of {clips} clips recorded, rerun: exit code {code}, work done twice: "
        f"{begun - clips} clips (limit {workers}, one per worker), bytes identical: {same}",
        flush=True,
    )
    return code == 0 and same and begun - clips <= workers


def kill_workers(
    folder: Path, manifest: Path, clean: dict[str, bytes], clips: int, workers: int, every_s: float
) -> bool:
    output = folder / "workers"
    killed: list[int] = []

    def kill_one(run: Run) -> None:
        lost = {line.get("pid") for line in run.events("worker_lost")}
        ready = [line["pid"] for line in run.events("worker_joined") if line["pid"] not in lost]
        ready = [process for process in ready if process not in killed and Path(f"/proc/{process}").exists()]
        if ready:
            os.kill(ready[len(killed) % len(ready)], signal.SIGKILL)
            killed.append(ready[len(killed) % len(ready)])

    run = Run(manifest, output, workers)
    code = run.finish(kill_one, every_s)
    same = results(output) == clean
    retried = len(run.events("retried"))
    print(
        f"a worker killed every {every_s:g} s: {len(killed)} killed, {retried} of them at work, exit code "
        f"{code}, bytes identical: {same}",
        flush=True,
    )
    return code == 0 and same and bool(killed)


def poison(folder: Path, manifest: Path, clean: dict[str, bytes], clips: int, workers: int) -> bool:
    run = Run(write_manifest(folder / "poisoned.csv", clips - 1, POISON), folder / "poisoned", workers)
    code = run.finish()
    begun = collections.Counter(line["clip"] for line in run.events("started"))
    tries = begun.pop(POISON, 0)
    done, failed = len(run.events("done")), [line["clip"] for line in run.events("failed")]
    expected = {name: data for name, data in clean.items() if f"clip-{clips - 1:02}." not in name}
    same = results(folder / "poisoned") == expected
    again = sum(count - 1 for count in begun.values())
    print(
        f"one poison clip among {clips}: {done} done (limit {clips - 1}), {len(failed)} given up after "
        f"{tries} attempts, other clips begun again: {again} (limit 0), exit code {code}, bytes identical: "
        f"{same}",
        flush=True,
    )
    return (code, done, failed, again, same) == (1, clips - 1, [POISON], 0, True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faults", nargs="*", default=[], help="driver, workers, poison; default: all")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    options = parser.parse_args()
    wanted = options.faults or ["driver", "workers", "poison"]
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        manifest = write_manifest(folder / "manifest.csv", options.clips)
        began = time.perf_counter()
        if Run(manifest, folder / "clean", options.workers).finish():
            print("the undisturbed run failed")
            return 1
        clean = results(folder / "clean")
        print(f"undisturbed: {options.clips} clips in {time.perf_counter() - began:.0f} s", flush=True)
        common = (folder, manifest, clean, options.clips, options.workers)
        checks = {
            "driver": lambda: kill_driver(*common),
            "workers": lambda: kill_workers(*common, options.every),
            "poison": lambda: poison(*common),
        }
        good = [checks[fault]() for fault in wanted]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
