"""Blinks, smiles and other movements of many takes at once.

In: tables. Out: `Event` by clip, as ``facecap-batch query`` counts them (`output.sql`); nothing where DuckDB
is not installed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence

import pyarrow as pa

from facecap_batch.coefficients import CoefficientTable, to_arrow
from facecap_batch.output.sql.events import NEEDED
from facecap_batch.output.sql.macros import movements_in
from facecap_batch.output.sql.movements import MOVEMENTS

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
    frames = pa.concat_tables(_plain(to_arrow(table).select(NEEDED)) for table in tables)
    found: dict[str, list[Event]] = {}
    for row in movements_in(frames, "events").to_pylist():
        event = Event(name=row["event"], **{field: row[field] for field in _AS_THEY_ARE})
        found.setdefault(row["clip_id"], []).append(event)
    return {clip_id: tuple(events) for clip_id, events in found.items()}


def _plain(table: pa.Table) -> pa.Table:
    """`table` with its clip_id as text: dictionaries of several clips do not concatenate for free."""
    clip_ids = table["clip_id"].cast(pa.string())
    columns = [clip_ids, *table.columns[1:]]
    return pa.Table.from_arrays(columns, names=list(NEEDED))
