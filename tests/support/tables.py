"""Tables as a capture might have left them, for tests of what is done to them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from facecap_batch.coefficients import ARKIT_NAMES, ClipInfo, CoefficientTable

BLINK = ARKIT_NAMES.index("eyeBlinkLeft")
JAW = ARKIT_NAMES.index("jawOpen")
TIME_BASE = Fraction(1, 90000)


def table(
    coefficients: np.ndarray,
    head: np.ndarray | None = None,
    found: np.ndarray | None = None,
    time_s: np.ndarray | None = None,
) -> CoefficientTable:
    rows = len(coefficients)
    if head is None:
        head = np.tile([0.0, 0.0, 0.0, 0.0, 0.0, -60.0], (rows, 1))
    if found is None:
        found = np.ones(rows, bool)
    if time_s is None:
        time_s = np.arange(rows) / 30
    lost = ~found
    coefficients, head = coefficients.astype(np.float32), head.astype(np.float32)
    box = np.tile(np.float32([10, 20, 110, 140]), (rows, 1))
    score = np.full(rows, 0.9, np.float32)
    for values in (coefficients, head, box, score):
        values[lost] = np.nan
    return CoefficientTable(
        info=ClipInfo("c", "c.mp4", 640, 480, Fraction(30), TIME_BASE, 0, False),
        frame_index=np.arange(rows, dtype=np.int32),
        pts=np.round(time_s / float(TIME_BASE)).astype(np.int64),
        face_found=found,
        score=score,
        box=box,
        coefficients=coefficients,
        head=head,
    )


def still(rows: int, value: float = 0.3) -> np.ndarray:
    return np.full((rows, len(ARKIT_NAMES)), value)


def noise(rows: int, deviation: float = 0.02, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, deviation, (rows, len(ARKIT_NAMES)))


def pulse(frames_at_half: int, height: float) -> np.ndarray:
    """A blink of real shape: up in one or two frames, down a little slower; 7 samples, the middle one the
    highest.
    """
    shapes = {
        1: [0, 0, 0.1, 1, 0.3, 0.1, 0],
        2: [0, 0, 0.3, 1, 0.6, 0.2, 0.05],
        3: [0, 0.05, 0.6, 1, 0.7, 0.3, 0.1],
        4: [0, 0.1, 0.6, 1, 0.8, 0.55, 0.2],
        5: [0.05, 0.55, 0.9, 1, 0.85, 0.6, 0.3],
    }
    shape = height * np.array(shapes[frames_at_half])
    assert (shape >= height / 2).sum() == frames_at_half
    return shape


def roughness(values: np.ndarray) -> float:
    return float(np.abs(np.diff(values, 2, axis=0)).mean())


def change_value(path: Path, clip_id: str) -> None:
    """Let the first time of a clip in a Parquet file be another, and the file a sound one."""
    file = pq.read_table(path)
    times = file["time_s"].to_numpy().copy()
    times[pc.index(file["clip_id"].cast(pa.string()), clip_id).as_py()] += 0.01
    column = file.column_names.index("time_s")
    pq.write_table(
        file.set_column(column, file.schema.field(column), pa.array(times)), path, compression="zstd"
    )
