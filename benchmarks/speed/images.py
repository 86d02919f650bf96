"""A folder of 1,000 images against a video of them: frames per second of the capture.

    python benchmarks/speed/images.py [--images 1000] [--rounds 3] [--engines default]

Images and video hold the same pictures of the demo's speaker (640 x 480). Each round captures the video, then
the images, in this process, and decodes each alone. Prints the medians, the ratio, what decoding alone
allows, and the CPU time of a frame: of all threads, and of the one that runs the networks. Where cores are
free the slower of decoding and that thread decides; where none is, the sum. Exits with 1 where the ratio of
JPEG images is below MIN_RATIO.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2

import facecap_batch
from facecap_batch.api.captures import OpenEngines
from facecap_batch.video.decoder import decode

ROOT = Path(__file__).resolve().parents[2]
MIN_RATIO = 0.8
RATE = 30
SUFFIXES = ("jpg", "png")  # PNG: to inflate one costs as much as the networks of `default`; no limit


def write_footage(folder: Path, count: int) -> None:
    """`video.mp4`, and a folder of images for every suffix."""
    with av.open(str(ROOT / "manifests/demo/speaking.mp4")) as source:
        pictures = [frame.to_ndarray(format="bgr24") for frame in source.decode(video=0)]
    for suffix in SUFFIXES:
        (folder / suffix).mkdir()
    with av.open(str(folder / "video.mp4"), "w") as target:
        stream = target.add_stream("libx264", rate=RATE)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            lap, position = divmod(number, len(pictures))
            picture = pictures[-1 - position if lap % 2 else position]
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            for suffix in SUFFIXES:
                cv2.imwrite(str(folder / suffix / f"{number:04d}.{suffix}"), picture)
        target.mux(stream.encode(None))


@dataclasses.dataclass(frozen=True)
class Speed:
    """Of one capture."""

    fps: float  # frames per second
    cpu_ms: float  # of all threads, a frame
    networks_ms: float  # of the thread that runs the networks, a frame


def capture(path: Path, engines: OpenEngines, count: int) -> Speed:
    """Capture `path`, which has `count` frames."""
    wall, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
    frames = len(facecap_batch.capture(path, engines=engines).raw)
    wall, cpu, own = time.perf_counter() - wall, time.process_time() - cpu, time.thread_time() - own
    assert frames == count
    return Speed(count / wall, 1000 * cpu / count, 1000 * own / count)


def decoded_alone(path: Path) -> float:
    """Frames per second of decoding `path` and nothing else."""
    started = time.perf_counter()
    return sum(1 for _ in decode(path)) / (time.perf_counter() - started)


def main() -> None:
    """Capture and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", default="default")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        facecap_batch.open_engines(options.engines) as engines,
    ):
        folder = Path(name)
        write_footage(folder, options.images)
        names = {"video": folder / "video.mp4"}
        names |= {suffix: folder / suffix / f"%04d.{suffix}@{RATE}" for suffix in SUFFIXES}
        speeds: dict[str, list[Speed]] = {kind: [] for kind in names}
        alone: dict[str, list[float]] = {kind: [] for kind in names}
        for _ in range(options.rounds):
            for kind, path in names.items():
                speeds[kind].append(capture(path, engines, options.images))
                alone[kind].append(decoded_alone(path))
    medians = {kind: statistics.median(speed.fps for speed in found) for kind, found in speeds.items()}
    for kind, found in speeds.items():
        print(
            f"{kind}: {medians[kind]:.0f} frames per second, {medians[kind] / medians['video']:.2f} of the "
            f"video's; decoding alone {statistics.median(alone[kind]):.0f}; CPU of a frame "
            f"{min(speed.cpu_ms for speed in found):.1f} ms, "
            f"{min(speed.networks_ms for speed in found):.1f} ms of it in the thread of the networks"
        )
    sys.exit(0 if medians["jpg"] >= MIN_RATIO * medians["video"] else 1)


if __name__ == "__main__":
    main()
