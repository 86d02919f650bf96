"""Output folders of clips that move as a test says, for tests of what is counted in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable, write_tracks
from tests.support.tables import TIME_BASE, still, table

BLINK_SHAPE = (
    0.2,
    0.6,
    1.0,
    0.8,
    0.4,
    0.1,
)  # above 0.35 in 4 frames, from the second on, the third the highest
BOTH_LIDS = ("eyeBlinkLeft", "eyeBlinkRight")


def moving(
    clip_id: str,
    time_s: np.ndarray,
    movements: Sequence[tuple[Sequence[str], int, Sequence[float]]] = (),
    unseen: Sequence[int] = (),
    track: int = 0,
    rest: float = 0.05,
) -> CoefficientTable:
    """A clip whose channels rest, but for `movements`: channels, first frame, values."""
    values = still(len(time_s), rest)
    for names, start, shape in movements:
        for name in names:
            values[start : start + len(shape), ARKIT_NAMES.index(name)] = shape[: len(time_s) - start]
    found = np.ones(len(time_s), bool)
    found[list(unseen)] = False
    made = table(values, found=found, time_s=np.asarray(time_s, np.float64))
    info = dataclasses.replace(made.info, clip_id=clip_id, source=f"{clip_id}.mp4", time_base=TIME_BASE)
    return made.replace(info=info, track=track)


def output_of(
    folder: Path, *clips: Sequence[CoefficientTable], actors: Mapping[str, str] | None = None
) -> Path:
    """An output folder of `clips`, each all tracks of one; without actors it has no ``clips.parquet``."""
    for tracks in clips:
        write_tracks(tracks, folder / "coefficients" / f"{tracks[0].info.clip_id}.parquet")
    if actors is not None:
        columns = {"clip_id": list(actors), "actor": list(actors.values())}
        pq.write_table(pa.table(columns), folder / "clips.parquet")
    return folder
