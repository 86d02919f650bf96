"""Write FBX files at every common frame rate and have an independent validator read them back.

    python benchmarks/interop/validate_fbx_rates.py VALIDATOR.py OUTPUT_FOLDER [validator options ...]

The validator is a script that is called as ``VALIDATOR.py FILE.fbx EXPECTED --tol 1e-4 --strict [options]``
and exits with 0 when every weight at every frame agrees. Each case is a real `CoefficientTable` through the
real exporter. Prints one line per case and exits with 1 when a case fails.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, ClipInfo, CoefficientTable, write_parquet
from facecap_batch.exporting.fbx.writer import write_fbx

RATES = (Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60000, 1001))
FRAMES = 240


@dataclasses.dataclass(frozen=True)
class Case:
    """A table and whether its times lie on the frame grid (then the head's motion is compared too)."""

    name: str
    table: CoefficientTable
    on_grid: bool


def _table(name: str, rate: Fraction, pts: np.ndarray, base: Fraction, variable: bool) -> CoefficientTable:
    """Seeded, face-like motion: slow drifts, fast blinks, exact 0 and 1, a head that turns and moves."""
    count = len(pts)
    generator = np.random.default_rng(20)
    time_axis = np.arange(count)[:, None] / 30.0
    speed, phase = generator.uniform(0.3, 3.0, 51), generator.uniform(0.0, 6.3, 51)
    coefficients = np.clip(0.5 + 0.6 * np.sin(speed * time_axis + phase), 0.0, 1.0)
    blink = np.clip(1.0 - np.abs((np.arange(count) % 60) - 30) / 2.0, 0.0, 1.0)
    for side in ("eyeBlinkLeft", "eyeBlinkRight"):
        coefficients[:, ARKIT_NAMES.index(side)] = blink
    t = time_axis[:, 0]
    head = np.stack(
        [
            0.6 * np.sin(0.9 * t),
            0.3 * np.sin(1.3 * t + 1.0),
            0.25 * np.sin(0.7 * t + 2.0),
            8.0 * np.sin(0.5 * t),
            3.0 * np.sin(0.8 * t + 1.0),
            -60.0 + 6.0 * np.sin(0.4 * t),
        ],
        axis=1,
    )
    return CoefficientTable(
        info=ClipInfo(name, f"{name}.mp4", 1280, 720, rate, base, 0, variable),
        frame_index=np.arange(count, dtype=np.int32),
        pts=pts.astype(np.int64),
        face_found=np.ones(count, bool),
        score=np.ones(count, np.float32),
        box=np.zeros((count, 4), np.float32),
        coefficients=coefficients.astype(np.float32),
        head=head.astype(np.float32),
    )


def _constant(name: str, rate: Fraction, count: int) -> CoefficientTable:
    base = Fraction(1, rate.numerator)
    return _table(name, rate, np.arange(count) * rate.denominator, base, False)


def cases() -> list[Case]:
    """Five constant rates, variable rate, Matroska's milliseconds, a gap, no face at all, one frame."""
    made = [
        Case(f"rate_{float(rate):.2f}", _constant(f"rate_{float(rate):.2f}", rate, FRAMES), True)
        for rate in RATES
    ]
    steps = np.random.default_rng(3).choice([210, 461, 512, 640, 1024], FRAMES)
    pts = np.cumsum(steps)
    average = Fraction(int((FRAMES - 1) * 15360), int(pts[-1] - pts[0]))
    made.append(Case("variable", _table("variable", average, pts, Fraction(1, 15360), True), False))
    milliseconds = np.round(np.arange(FRAMES) * 1000 / 30)
    made.append(
        Case(
            "milliseconds",
            _table("milliseconds", Fraction(30), milliseconds, Fraction(1, 1000), False),
            False,
        )
    )
    gap = _constant("gaps", Fraction(25), FRAMES)
    for start, stop in ((0, 7), (100, 131), (FRAMES - 5, FRAMES)):
        gap.coefficients[start:stop], gap.head[start:stop] = np.nan, np.nan
    made.append(Case("gaps", gap, False))
    nobody = _constant("nobody", Fraction(30), FRAMES)
    nobody.coefficients[:], nobody.head[:] = np.nan, np.nan
    made.append(Case("nobody", nobody, False))
    made.append(Case("one_frame", _constant("one_frame", Fraction(30), 1), True))
    return made


def _head_quaternions(head: np.ndarray) -> np.ndarray:
    """float64 [N, 4], x y z w, of R = Ry(yaw) Rx(pitch) Rz(roll); computed apart from the exporter."""

    def about(axis: int, angle: np.ndarray) -> np.ndarray:
        q = np.zeros((len(angle), 4))
        q[:, axis], q[:, 3] = np.sin(angle / 2.0), np.cos(angle / 2.0)
        return q

    def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        vector = a[:, 3:] * b[:, :3] + b[:, 3:] * a[:, :3] + np.cross(a[:, :3], b[:, :3])
        return np.column_stack([vector, a[:, 3] * b[:, 3] - (a[:, :3] * b[:, :3]).sum(axis=1)])

    yaw, pitch, roll = head[:, :3].T.astype(np.float64)
    return times(times(about(1, yaw), about(0, pitch)), about(2, roll))


def write_expectation(case: Case, folder: Path) -> Path:
    """The file that the validator compares with: npz with the head on the grid, our Parquet elsewhere."""
    table = case.table
    if not case.on_grid:
        path = folder / f"{case.name}.parquet"
        write_parquet(table, path)
        return path
    path = folder / f"{case.name}.npz"
    columns = {name: table.coefficients[:, k] for k, name in enumerate(ARKIT_NAMES)}
    head = {
        "head_quat": _head_quaternions(table.head),
        "head_pos_m": table.head[:, 3:6].astype(float) / 100.0,
    }
    arrays: dict[str, Any] = {"fps": float(table.info.fps), **columns, **head}
    np.savez(path, **arrays)
    return path


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    validator, folder, options = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for case in cases():
        fbx = folder / f"{case.name}.fbx"
        begin = time.perf_counter()
        write_fbx(case.table, fbx)
        seconds = time.perf_counter() - begin
        expected = write_expectation(case, folder)
        command = [sys.executable, validator, str(fbx), str(expected), "--tol", "1e-4", "--strict", *options]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        (folder / f"{case.name}.log").write_text(run.stdout + run.stderr, encoding="utf-8")
        verdict = next(
            (line for line in run.stdout.splitlines() if line.startswith("RESULT")), run.stderr[-300:]
        )
        print(
            f"{case.name:14} {fbx.stat().st_size / 1e6:.2f} MB, written in {seconds:.2f} s: {verdict}",
            flush=True,
        )
        failed += run.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
