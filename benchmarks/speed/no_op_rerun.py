"""A rerun over a folder in which everything is done: how long until it ends.

    python benchmarks/speed/no_op_rerun.py [--clips 100000] [--repeats 3] [--limit 30]

Makes a manifest, its inputs and the folder of a finished run (records, and small files of the recorded sizes:
a rerun looks at sizes, not into tables), then times `facecap-batch run` on it from process start to process
end. Exit code 1 where the median is above the limit or anything would have been done again. Files are removed
afterwards; 100,000 clips are 500,000 files and 2.1 GB of small blocks.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
COMMAND = [sys.executable, "-c", "from facecap_batch.cli.app import main; main()"]


def finished_folder(folder: Path, clips: int) -> tuple[Path, Path]:
    """(manifest, output folder) of a run that has done `clips` clips."""
    from facecap_batch.output.input_identity import identify
    from facecap_batch.output.ledger import DONE, Ledger, Record, as_bytes
    from facecap_batch.runs.clip_steps import output_names
    from facecap_batch.runs.config import make_config
    from facecap_batch.runs.manifest import read_manifest

    inputs, output = folder / "in", folder / "out"
    inputs.mkdir()
    names = [f"take-{number:06}" for number in range(clips)]
    manifest = inputs / "manifest.csv"
    manifest.write_text("path\n" + "".join(f"{name}.mp4\n" for name in names))
    for name in names:
        (inputs / f"{name}.mp4").touch()
    config, ledger = make_config(), Ledger(output)
    for kind in ("raw", "coefficients", "fbx", "ledger"):
        (output / kind).mkdir(parents=True)
    capture_fingerprint, fingerprint = config.capture_fingerprint(), config.fingerprint()
    for clip in read_manifest(manifest).clips:
        outputs = {}
        for name in (*output_names(clip.clip_id).values(), f"fbx/{clip.clip_id}.fbx"):
            (output / name).write_bytes(b"done")
            outputs[name] = 4
        record = Record(
            clip.clip_id, DONE, identify(clip).key(), capture_fingerprint, fingerprint,
            frames=300, frames_with_face=290, seconds=10.0, fps=30.0, backend="onnxruntime-cpu",
            engines=dict(config.engine_hashes), outputs=outputs, wall_s=1.5,
            finished_at="2026-01-01T00:00:00+00:00",
        )  # fmt: skip
        ledger.path(clip.clip_id).write_bytes(as_bytes(record))
    return manifest, output


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds")
    options = parser.parse_args()
    took = []
    with tempfile.TemporaryDirectory(prefix="no-op-") as folder:
        began = time.perf_counter()
        manifest, output = finished_folder(Path(folder), options.clips)
        print(f"{options.clips} clips made in {time.perf_counter() - began:.0f} s", flush=True)
        for _ in range(options.repeats):
            began = time.perf_counter()
            done = subprocess.run(
                [*COMMAND, "run", str(manifest), "--output", str(output), "-q"],
                capture_output=True, text=True, cwd=ROOT,
            )  # fmt: skip
            took.append(time.perf_counter() - began)
            expected = (
                f"{options.clips} of {options.clips} clips done, {options.clips} of them by earlier runs"
            )
            if done.returncode or expected not in done.stdout:
                print(done.stdout + done.stderr)
                return 1
            print(f"{took[-1]:.1f} s", flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = (used.ru_utime + used.ru_stime) / len(took)
    median = statistics.median(took)
    print(
        f"no-op rerun over {options.clips} clips: {median:.1f} s (limit {options.limit:g}), "
        f"{cpu_s:.1f} s of CPU, {used.ru_maxrss / 1024:.0f} MiB"
    )
    return 0 if median <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
