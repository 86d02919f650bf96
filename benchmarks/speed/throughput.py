"""Frames per second from video files to Parquet and FBX, beside MediaPipe on the same clips, in turns.

    python benchmarks/speed/throughput.py CLIP... [--times 3] [--repeats 3] [--workers 2] \\
        [--baseline-python VENV/bin/python --baseline-model MODEL \\
         [--baseline-script SCRIPT.py]]

Three figures of ours, medians over the repeats:

- whole command: `facecap-batch run` from process start to process end, its own Ray started and stopped;
- Ray running: the same command on a Ray that is there already (`--ray-address`);
- processing: from the first frame that a worker opens to the last file published; long runs approach it.

Measure what users get: an environment as ``pip install ".[cpu]"`` makes it. Ray's `default` extra
starts more processes and cost 1.4 s of each whole command here. The longer a run, the less Ray's start
matters.

The baseline is MediaPipe as `facecap_batch.checks.mediapipe_baseline` runs it, or a script that is given the
clips and `--model` and prints a last line ``TOTAL: N frames, S s`` on its own clock, which leaves out its
imports. Its whole command is timed as well. Runs of ours and of the baseline alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from facecap_batch.checks.mediapipe_baseline import measure

COMMAND = [sys.executable, "-c", "from facecap_batch.cli.app import main; main()"]
TIMEOUT_S = 3600


@dataclasses.dataclass(frozen=True)
class Timing:
    """One execution."""

    frames: int
    command_s: float  # process start to process end
    inner_s: float  # ours: first frame to last file; the baseline's: its own clock


def write_manifest(path: Path, clips: list[Path], times: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "clip_id"])
        for again in range(times):
            writer.writerows(
                [str(clip.resolve()), f"{number:03d}-{again}"] for number, clip in enumerate(clips)
            )


def ours(manifest: Path, workers: int | None, options: list[str], address: str | None = None) -> Timing:
    """Run the manifest into a fresh folder; every clip must come out, as Parquet and FBX."""
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        output = Path(folder) / "out"
        command = [*COMMAND, "run", str(manifest), "--output", str(output), *options]
        command += [] if workers is None else ["--workers", str(workers)]
        command += [] if address is None else ["--ray-address", address]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        took = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        tables = sorted((output / "coefficients").glob("*.parquet"))
        animations = {path.stem for path in (output / "fbx").glob("*.fbx")}
        if not tables or {path.stem for path in tables} != animations:
            raise SystemExit(f"{len(tables)} tables but {len(animations)} animations were written")
        return Timing(sum(pq.read_metadata(path).num_rows for path in tables), took, _processing_s(output))


def _processing_s(output: Path) -> float:
    """From the first start of a clip (its record's time less the worker's seconds) to the last record."""
    ends, starts = [], []
    for path in (output / "ledger").glob("*.json"):
        ends.append(path.stat().st_mtime)
        starts.append(ends[-1] - json.loads(path.read_text(encoding="utf-8"))["wall_s"])
    seconds: float = max(ends) - min(starts)
    return seconds


def baseline(python: Path, script: Path | None, model: Path, clips: list[Path], times: int) -> Timing:
    theirs = measure(clips * times, model, python, script)
    return Timing(theirs.frames, theirs.command_s, theirs.inner_s)


@contextlib.contextmanager
def running_ray(cpus: int) -> Iterator[str]:
    """A Ray of this process's own, and its address; stopped afterwards."""
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")
    import ray

    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, _temp_dir=folder
        )
        try:
            yield ray.get_runtime_context().gcs_address
        finally:
            ray.shutdown()


def median(timings: list[Timing], field: str) -> float:
    """Frames per second, median over the repeats."""
    rates: list[float] = [timing.frames / getattr(timing, field) for timing in timings]
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--times", type=int, default=1, help="give each clip this many times")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, help="workers of ours; default: as the command decides")
    parser.add_argument(
        "--option", action="append", default=[], help="handed on to `run`, as --option=--backend=torch"
    )
    parser.add_argument("--baseline-python", type=Path)
    parser.add_argument("--baseline-script", type=Path)
    parser.add_argument("--baseline-model", type=Path)
    arguments = parser.parse_args()
    python, script, model = arguments.baseline_python, arguments.baseline_script, arguments.baseline_model
    has_baseline = python is not None and model is not None
    if any((python, script, model)) and not has_baseline:
        parser.error("--baseline-python and --baseline-model belong together")
    cpus = len(os.sched_getaffinity(0))
    print(f"{len(arguments.clips)} clips x {arguments.times}, {cpus} CPUs, {arguments.repeats} repeats")

    cold: list[Timing] = []
    warm: list[Timing] = []
    theirs: list[Timing] = []
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        manifest = Path(folder) / "manifest.csv"
        write_manifest(manifest, arguments.clips, arguments.times)
        for repeat in range(arguments.repeats):
            if has_baseline:
                theirs.append(baseline(python, script, model, arguments.clips, arguments.times))
                print(f"{repeat}  baseline {theirs[-1]}", flush=True)
            cold.append(ours(manifest, arguments.workers, arguments.option))
            print(f"{repeat}  command  {cold[-1]}", flush=True)
            with running_ray(cpus) as address:
                warm.append(ours(manifest, arguments.workers, arguments.option, address))
            print(f"{repeat}  on Ray   {warm[-1]}", flush=True)

    figures = {
        "ours, whole command (Ray start included)": median(cold, "command_s"),
        "ours, whole command, Ray running": median(warm, "command_s"),
        "ours, processing": median(cold, "inner_s"),
    }
    reference = median(theirs, "inner_s") if theirs else None
    if reference:
        figures["baseline, its own clock"] = reference
        figures["baseline, whole command"] = median(theirs, "command_s")
    for name, fps in figures.items():
        ratio = f"   {fps / reference:5.2f} x the baseline's own clock" if reference else ""
        print(f"{name:42s} {fps:8.1f} fps{ratio}")


if __name__ == "__main__":
    main()
