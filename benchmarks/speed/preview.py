"""Previews at 720p on one core: frames per second, and what decoding and encoding alone take of it.

    python benchmarks/speed/preview.py [--video face.mp4] [--frames 300]

The video (the demo's speaking face unless one is given) is scaled to 1280 x 720 and captured; this process
then keeps to one core. Decoding every frame, encoding the finished preview's pictures, and the preview itself
are measured in turn, each by the CPU time that it takes, which other processes do not change as much as they
do the clock; frames per second are those of a core of its own. Prints these, and the figure by the clock.
Exits with 1 where the preview is slower than MIN_FPS or takes more than MAX_RATIO times what decoding and
encoding take, which no drawing could avoid.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2

import facecap_batch
from facecap_batch.exporting.preview import preview
from facecap_batch.exporting.preview.video_file import ENCODER
from facecap_batch.exporting.raster.head_painter import HeadPainter
from facecap_batch.video.decoder import decode

ROOT = Path(__file__).resolve().parents[2]
MIN_FPS = 60.0
MAX_RATIO = 2.5
RATE = 25  # frames per second, of what is encoded again
WIDTH, HEIGHT = 1280, 720


def write_720p(source: Path, target: Path, frames: int) -> None:
    """The first `frames` frames of `source`, played back and forth where it has fewer, in 720p with sound."""
    with av.open(str(source)) as read:
        pictures = [picture.reformat(WIDTH, HEIGHT, "yuv420p") for picture in read.decode(video=0)]
        rate = read.streams.video[0].average_rate
    with av.open(str(target), "w") as written:
        stream = written.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            lap, position = divmod(number, len(pictures))
            picture = pictures[-1 - position if lap % 2 else position]
            picture.pts, picture.time_base = number, 1 / rate
            written.mux(stream.encode(picture))
        written.mux(stream.encode(None))


def cpu_ms(work: Callable[[], int]) -> tuple[float, float]:
    """CPU time and clock, milliseconds per frame, of `work`, which returns how many frames it did."""
    cpu, clock = time.process_time(), time.perf_counter()
    frames = work()
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    return 1000 * cpu / frames, 1000 * clock / frames


def encoded(pictures: list[av.VideoFrame], path: Path) -> int:
    """Encode pictures as a preview does."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(pictures):
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return len(pictures)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", type=Path, default=ROOT / "manifests/demo/speaking.mp4")
    parser.add_argument("--frames", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video, table, made = (Path(folder) / name for name in ("video.mp4", "table.parquet", "preview.mp4"))
        write_720p(arguments.video, video, arguments.frames)
        facecap_batch.capture(video).to_parquet(table)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        cv2.setNumThreads(1)
        HeadPainter(64, 64, (0, 0, 0))  # builds the head once: a start, not a matter of frames
        whole, clock = cpu_ms(lambda: preview(table, video, made))
        decoding, _ = cpu_ms(lambda: sum(1 for _ in decode(video)))
        with av.open(str(made)) as container:
            pictures = list(container.decode(video=0))
        encoding, _ = cpu_ms(lambda: encoded(pictures, Path(folder) / "again.mp4"))
        size = made.stat().st_size / arguments.frames
    ratio = whole / (decoding + encoding)
    fps, by_clock = 1000 / whole, 1000 / clock
    print(f"preview  {whole:6.2f} ms a frame: {fps:.1f} fps of a core ({by_clock:.1f} by the clock)")
    print(f"decoding {decoding:6.2f} ms, encoding {encoding:6.2f} ms: the preview takes {ratio:.2f} of both")
    print(f"{size / 1000:.1f} kB a frame")
    return int(fps < MIN_FPS or ratio > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(main())
