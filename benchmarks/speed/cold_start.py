"""How long a user waits for one clip of ten seconds, from a cold start: by one process, and through Ray.

    python benchmarks/speed/cold_start.py [--rounds 5] [--clip VIDEO]

Each round is a new interpreter and a new output folder; modules are compiled before, as an installation has
them. Prints the medians, the CPU time of all processes and whether the results are the same bytes; exits with
1 where they are not, or where one process takes longer than LIMIT_S.
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
LIMIT_S = 5.0  # on two cores
SECONDS, RATE = 10, 30
WAYS = {"one process": ["--workers", "1"], "Ray": ["--workers", "1", "--cpus-per-worker", "0.5"]}


def write_clip(path: Path) -> None:
    """Ten seconds of the demo's speaker, forwards and backwards."""
    with av.open(str(ROOT / "manifests/demo/speaking.mp4")) as source:
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(SECONDS * RATE):
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


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clip", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = options.clip or folder / "ten.mp4"
        if options.clip is None:
            write_clip(clip)
        (folder / "clips.csv").write_text(f"path\n{clip.resolve()}\n")
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        medians, found = {}, {}
        for way, arguments in WAYS.items():
            times, cpu = [], []
            for number in range(options.rounds + 1):
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
    same = found["one process"] == found["Ray"]
    print("the same bytes" if same else "the results differ")
    sys.exit(0 if same and medians["one process"] <= LIMIT_S else 1)


if __name__ == "__main__":
    main()
