"""Blinks, smiles and other movements of many takes at once.

In: tables. Out: `Event` by clip, as ``facecap-batch query`` counts them (`output.sql`); nothing where DuckDB
is not installed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.output.sql.events import NEEDED
from facecap_batch.output.sql.macros import movements_in
from facecap_batch.output.sql.movements import MOVEMENTS
from facecap_batch.storage.columns import known_column, number_column

EVENT_NAMES = tuple(movement.name for movement in MOVEMENTS)


@dataclasses.dataclass(frozen=True)
class Event:
    """One movement of one person; times on the scale of `time_s`, seconds."""

    track: int
    name: str  # one of EVENT_NAMES
    side: str  # left | right | both; the subject's
    start_s: float
    peak_s: float
    end_s: float
    peak: float  # coefficient, 0..1


_AS_THEY_ARE = ("track", "side", "start_s", "peak_s", "end_s", "peak")


def events_of(tables: Sequence[CoefficientTable]) -> dict[str, tuple[Event, ...]] | None:
    """The events in tables of any clips and tracks.

    Args:
        tables: Each track of a clip once.

    Returns:
        clip_id -> events by track and start; a clip without any is not in it. None: DuckDB is not installed.
    """
    if importlib.util.find_spec("duckdb") is None:
        return None
    tables = [table for table in tables if len(table)]
    if not tables:
        return {}
    frames = _frames(tables)
    found: dict[str, list[Event]] = {}
    for row in movements_in(frames, "events").to_pylist():
        event = Event(name=row["event"], **{field: row[field] for field in _AS_THEY_ARE})
        found.setdefault(row["clip_id"], []).append(event)
    return {clip_id: tuple(events) for clip_id, events in found.items()}


def _frames(tables: Sequence[CoefficientTable]) -> pa.Table:
    """The rows of `tables` with the columns NEEDED."""
    lengths = [len(table) for table in tables]
    numbers = pa.array(np.repeat(np.arange(len(tables), dtype=np.int32), lengths))
    clip_ids = pa.DictionaryArray.from_arrays(numbers, pa.array([table.info.clip_id for table in tables]))
    columns = {
        "clip_id": clip_ids.cast(pa.string()),
        "track": number_column(np.repeat(np.array([table.track for table in tables], np.int16), lengths)),
        "frame_index": number_column(np.concatenate([table.frame_index for table in tables])),
        "time_s": number_column(np.concatenate([times_of(table) for table in tables])),
        "face_found": number_column(np.concatenate([table.face_found for table in tables])),
    }
    values = np.concatenate([table.coefficients[:, : len(ARKIT_NAMES)] for table in tables])
    for name in NEEDED:
        if name not in columns:
            columns[name] = known_column(values[:, ARKIT_NAMES.index(name)])
    return pa.table([columns[name] for name in NEEDED], names=list(NEEDED))


def times_of(table: CoefficientTable) -> np.ndarray:
    """float64 [N], seconds: `CoefficientTable.time_s` but for a rounding, for what is shown; much faster."""
    times: np.ndarray = table.pts * float(table.info.time_base)
    return times
