"""A folder of 1,000 images against a video of them: frames per second of the capture.

    python benchmarks/speed/images.py [--images 1000] [--rounds 3]

Images and video hold the same pictures of the demo's speaker (640 x 480). Each round captures the video, then
the images, in this process. Prints the medians and the ratio; exits with 1 where that of JPEG images is below
MIN_RATIO.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2

import facecap_batch

ROOT = Path(__file__).resolve().parents[2]
MIN_RATIO = 0.8
RATE = 30
SUFFIXES = ("jpg", "png")  # PNG: its compression costs several times what a frame's networks do; no limit


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


def main() -> None:
    """Capture and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, facecap_batch.open_engines() as engines:
        folder = Path(name)
        write_footage(folder, options.images)
        names = {"video": folder / "video.mp4"}
        names |= {suffix: folder / suffix / f"%04d.{suffix}@{RATE}" for suffix in SUFFIXES}
        speeds: dict[str, list[float]] = {kind: [] for kind in names}
        for _ in range(options.rounds):
            for kind, path in names.items():
                started = time.perf_counter()
                frames = len(facecap_batch.capture(path, engines=engines).raw)
                speeds[kind].append(frames / (time.perf_counter() - started))
                assert frames == options.images
    medians = {kind: statistics.median(found) for kind, found in speeds.items()}
    for kind, speed in medians.items():
        print(f"{kind}: {speed:.0f} frames per second, {speed / medians['video']:.2f} of the video's")
    sys.exit(0 if medians["jpg"] >= MIN_RATIO * medians["video"] else 1)


if __name__ == "__main__":
    main()
