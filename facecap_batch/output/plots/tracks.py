"""One person of a clip as a plot takes it: the curves, and the events that are counted in them.

In: the tables of a clip. Out: a `PlottedTrack`.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecap_batch.coefficients import CoefficientTable, to_arrow
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.plots.figure import PlottedEvent, PlottedTrack
from facecap_batch.output.sql.macros import movements_in
from facecap_batch.output.sql.movements import MOVEMENTS
from facecap_batch.output.sql.thresholds import MovementThresholds

_SIDES = {movement.name: dict(movement.sides) for movement in MOVEMENTS}


class UnknownTrack(FacecapError):
    """A track that a clip does not have."""


def of_track(tables: Sequence[CoefficientTable], track: int) -> CoefficientTable:
    """The table of one person among those of a clip. Raises UnknownTrack."""
    for table in tables:
        if table.track == track:
            return table
    raise UnknownTrack(
        f"clip {tables[0].info.clip_id!r} has no track {track}; it has {len(tables)}, from 0 on (capture "
        "it with `faces` for more)"
    )


def plotted_track(
    final: CoefficientTable, raw: CoefficientTable | None, thresholds: MovementThresholds | None
) -> PlottedTrack:
    """What is drawn of one person.

    Args:
        final: The final table.
        raw: The raw one, where it is drawn, too.
        thresholds: From when on a movement is an event; None: none is marked.

    Raises:
        BadQuery: Events are wanted and DuckDB is not installed.
    """
    if thresholds is None:
        return PlottedTrack(final, raw)
    rows = movements_in(to_arrow(final), "events", thresholds).to_pylist()
    return PlottedTrack(final, raw, tuple(_plotted(row) for row in rows))


def _plotted(row: dict[str, object]) -> PlottedEvent:
    """An event of the view ``events``, with the channels that it is read from."""
    sides = _SIDES[str(row["event"])]
    wanted = sides if row["side"] == "both" else {row["side"]: sides[str(row["side"])]}
    channels = tuple(dict.fromkeys(name for names in wanted.values() for name in names))
    known = ("event", "side", "start_s", "seconds", "peak_s", "peak")
    return PlottedEvent(channels=channels, **{name: row[name] for name in known})  # type: ignore[arg-type]
