"""MediaPipe's Face Landmarker on the same clips: the baseline for speeds.

    PYTHON facecap_batch/checks/mediapipe_baseline.py --model face_landmarker.task CLIP...

In: a Python that has MediaPipe (and need not have this package), and its model. Out: frames per second as a
user's script gets them, end to end in one process: decode, RGB, one face with blendshapes. Imports are not
counted; MediaPipe uses as many threads as it likes. The last line is ``TOTAL: N frames, S s``; any other
script that ends so can replace it. As a script this file needs mediapipe alone, so it imports nothing of
this package at module level.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

TOTAL = re.compile(r"TOTAL: (\d+) frames, ([\d.]+) s")
TIMEOUT_S = 3600


@dataclasses.dataclass(frozen=True)
class BaselineSpeed:
    """One execution of the baseline."""

    frames: int
    command_s: float  # process start to process end
    inner_s: float  # as it measured them


def installed() -> bool:
    """Whether MediaPipe is in this environment."""
    return importlib.util.find_spec("mediapipe") is not None


def measure(
    clips: Sequence[Path], model: Path, python: Path | None = None, script: Path | None = None
) -> BaselineSpeed:
    """Run `script` (None: this file) on `clips` in a separate process. Raises BaselineFailed."""
    from facecap_batch.errors import BaselineFailed

    command = [str(python or sys.executable), str(script or Path(__file__)), "--model", str(model)]
    started = time.perf_counter()
    try:
        done = subprocess.run([*command, *map(str, clips)], capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BaselineFailed(f"{' '.join(command)}: {error}") from error
    took = time.perf_counter() - started
    total = TOTAL.search(done.stdout)
    if done.returncode or not total:
        raise BaselineFailed(
            f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-1500:]}"
        )
    return BaselineSpeed(int(total[1]), took, float(total[2]))


def _frames_of(clip: Path, model: Path) -> int:
    import cv2
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
        num_faces=1,
    )
    video, frames = cv2.VideoCapture(str(clip)), 0
    with vision.FaceLandmarker.create_from_options(options) as task:
        while True:
            there, image = video.read()
            if not there:
                return frames
            image_of_frame = mp.Image(
                image_format=mp.ImageFormat.SRGB, data=cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            )
            # Its times must rise; what they are changes nothing here.
            task.detect_for_video(image_of_frame, frames * 33)
            frames += 1


def main() -> None:
    """Measure in this process."""
    parser = argparse.ArgumentParser(description="MediaPipe's Face Landmarker on clips, timed.")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    arguments = parser.parse_args()
    import cv2  # noqa: F401  imports are not part of the time
    import mediapipe  # noqa: F401

    started = time.perf_counter()
    frames = sum(_frames_of(clip, arguments.model) for clip in arguments.clips)
    print(f"TOTAL: {frames} frames, {time.perf_counter() - started:.3f} s")


if __name__ == "__main__":
    main()
