"""Landmarks and gaze: what they cost, and how far the gaze is off where it is known.

    python benchmarks/accuracy/landmarks.py [CLIP...]

In: clips (default: the demo's, beside which their truth lies). Out: a line for each. Seconds are of CPU, of
captures in this process with engines that are open already, with and without landmarks in turn; sizes are of
the tables that a run writes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import facecap_batch
from facecap_batch.coefficients import CoefficientTable, read_parquet
from facecap_batch.geometry import matrix_from_euler

DEMO = Path(__file__).parents[2] / "manifests" / "demo"
TURNS = 3  # the fastest of so many captures counts


def gaze_errors(table: CoefficientTable, truth: CoefficientTable) -> tuple[float, float]:
    """Mean angle in degrees between gaze and true gaze, of both eyes in the rows with a face; and between the
    face's own direction and the true gaze."""
    rows = table.face_found
    true = truth.gaze()[rows].reshape(-1, 2, 2)
    said = table.gaze()[rows].reshape(-1, 2, 2)
    head = np.repeat(table.head[rows, None, :2], 2, axis=1)
    return _apart(said, true), _apart(head, true)


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    """Mean angle, degrees, between directions given as yaw and pitch [N, 2, 2]; nulls are left out."""
    one, other = (
        matrix_from_euler(np.concatenate([angles, np.zeros((*angles.shape[:2], 1))], axis=2))[..., 2]
        for angles in (first, second)
    )
    return float(np.nanmean(np.degrees(np.arccos(np.clip((one * other).sum(axis=2), -1, 1)))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path)
    clips = parser.parse_args().clips or sorted(DEMO.glob("*.mp4"))
    for clip in clips:
        seconds: dict[bool, float] = {}
        sizes: dict[bool, list[int]] = {}
        take = None
        for turn in range(2 * TURNS):
            wanted = bool(turn % 2)
            settings = facecap_batch.CaptureSettings(landmarks=wanted)
            with facecap_batch.open_engines(settings=settings) as engines:
                started = time.process_time()
                take = facecap_batch.capture(clip, engines=engines)
                seconds[wanted] = min(seconds.get(wanted, np.inf), time.process_time() - started)
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / which for which in ("raw", "final")]
                for file in files:
                    take.to_parquet(file, file.name)  # type: ignore[arg-type]
                sizes[wanted] = [file.stat().st_size for file in files]
        assert take is not None
        frames = len(take.final)
        line = (
            f"{clip.name}: {frames} frames; {seconds[False]:.2f} s, with landmarks {seconds[True]:.2f} s; "
            f"bytes a frame: raw {sizes[False][0] / frames:.0f}, with {sizes[True][0] / frames:.0f}; solved "
            f"{sizes[False][1] / frames:.0f}, with {sizes[True][1] / frames:.0f}"
        )
        truth = clip.with_suffix(".truth.parquet")
        if truth.is_file():
            error, of_head = gaze_errors(take.final, read_parquet(truth))
            line += f"; gaze off by {error:.1f} degrees, the face's direction by {of_head:.1f}"
        print(line)


if __name__ == "__main__":
    main()
