"""How long a user waits for a first row, and for a clip of ten seconds, from a cold start: by one process,
and through Ray.

    python benchmarks/speed/cold_start.py [--rounds 5] [--clip VIDEO]

The first row is that of a clip of one frame, whose files are published as those of any clip. Each round is a
new interpreter and a new output folder; modules are compiled before, as an installation has them. Prints the
medians, the CPU time of all processes and whether the results are the same bytes; exits with 1 where they are
not, or where one process takes longer than FIRST_ROW_LIMIT_S or LIMIT_S.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[2]
FIRST_ROW_LIMIT_S, LIMIT_S = 3.0, 5.0  # on two cores
SECONDS, RATE = 10, 30
WAYS = {"one process": ["--workers", "1"], "Ray": ["--workers", "1", "--cpus-per-worker", "0.5"]}


def write_clip(path: Path, count: int) -> None:
    """`count` frames of the demo's speaker, forwards and backwards."""
    with av.open(str(ROOT / "manifests/demo/speaking.mp4")) as source:
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            lap, position = divmod(number, len(frames))
            image = frames[-1 - position if lap % 2 else position]
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        target.mux(stream.encode(None))


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run `command`; seconds that pass, and those of the CPUs, in it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def results(output: Path) -> dict[str, bytes]:
    """Every file that was made of the clip."""
    folders = ("raw", "coefficients", "fbx")
    return {
        str(path.relative_to(output)): path.read_bytes()
        for name in folders
        for path in (output / name).iterdir()
    }


def medians_of(clip: Path, folder: Path, rounds: int) -> dict[str, float]:
    """Seconds until `clip` is done, the median of `rounds`, by way. Prints them; exits where the results
    differ."""
    folder.mkdir()
    (folder / "clips.csv").write_text(f"path\n{clip.resolve()}\n")
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    medians, found = {}, {}
    for way, arguments in WAYS.items():
        times, cpu = [], []
        for number in range(rounds + 1):
            output = folder / f"{way} {number}"
            command = [sys.executable, "-m", "facecap_batch", "run", str(folder / "clips.csv")]
            wall_s, cpu_s = timed([*command, "--output", str(output), *arguments], environment)
            if number:  # the first one compiles
                times.append(wall_s)
                cpu.append(cpu_s)
            found[way] = results(output)
        medians[way] = statistics.median(times)
        print(
            f"{way}: {medians[way]:.2f} s ({min(times):.2f} to {max(times):.2f} s), "
            f"{statistics.median(cpu):.2f} s of CPU"
        )
    if found["one process"] != found["Ray"]:
        sys.exit("the results differ")
    print("the same bytes")
    return medians


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clip", type=Path, help="instead of the ten seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clip(folder / "first.mp4", 1)
        write_clip(folder / "ten.mp4", SECONDS * RATE)
        print("the first row")
        first = medians_of(folder / "first.mp4", folder / "first", options.rounds)
        print("ten seconds" if options.clip is None else options.clip.name)
        whole = medians_of(options.clip or folder / "ten.mp4", folder / "whole", options.rounds)
    met = first["one process"] <= FIRST_ROW_LIMIT_S and whole["one process"] <= LIMIT_S
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
