"""Makes `CoefficientTable`s with known, lively values for the tests of the exporters."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import ClipInfo, CoefficientTable


def make_table(
    pts: np.ndarray,
    time_base: Fraction,
    fps: Fraction,
    *,
    clip_id: str = "take_01",
    metadata: dict[str, str] | None = None,
) -> CoefficientTable:
    """A table with one row per PTS: every channel moves in its own way, the head turns and moves."""
    count = len(pts)
    t = np.arange(count)[:, None] / 30.0
    channel = np.arange(51)
    coefficients = np.clip(0.5 + 0.6 * np.sin((0.5 + 0.07 * channel) * 2.0 * t + channel), 0.0, 1.0)
    t = t[:, 0]
    head = np.stack(
        [
            0.7 * np.sin(t),
            0.4 * np.sin(1.3 * t + 1),
            0.3 * np.cos(0.8 * t),
            5 * np.sin(t),
            t,
            -60 + 3 * np.cos(t),
        ],
        axis=1,
    )
    return CoefficientTable(
        info=ClipInfo(
            clip_id, f"{clip_id}.mp4", 640, 480, fps, time_base, 0, bool(len(np.unique(np.diff(pts))) > 1)
        ),
        frame_index=np.arange(count, dtype=np.int32),
        pts=np.asarray(pts, np.int64),
        face_found=np.ones(count, bool),
        score=np.ones(count, np.float32),
        box=np.zeros((count, 4), np.float32),
        coefficients=coefficients.astype(np.float32),
        head=head.astype(np.float32),
        metadata=metadata or {},
    )


def with_tongue(table: CoefficientTable, values: np.ndarray | None = None) -> CoefficientTable:
    """`table` of a regressor with the 52nd coefficient: `values` [N]; by default it goes in and out."""
    if values is None:
        values = 0.5 - 0.5 * np.cos(np.arange(len(table)) / 5)
    column = np.asarray(values, np.float32)[:, None]
    return table.replace(coefficients=np.concatenate([table.coefficients, column], axis=1))


def constant_rate(fps: Fraction, count: int, **options: object) -> CoefficientTable:
    """`count` frames whose PTS lie exactly on the grid of `fps`, starting away from zero."""
    pts = (np.arange(count) + 7) * fps.denominator
    return make_table(pts, Fraction(1, fps.numerator), fps, **options)  # type: ignore[arg-type]


def variable_rate(count: int, **options: object) -> CoefficientTable:
    """`count` frames at uneven distances."""
    pts = np.cumsum(np.random.default_rng(5).choice([210, 461, 512, 640, 1024], count))
    fps = Fraction(int((count - 1) * 15360), int(pts[-1] - pts[0]))
    return make_table(pts, Fraction(1, 15360), fps, **options)  # type: ignore[arg-type]
