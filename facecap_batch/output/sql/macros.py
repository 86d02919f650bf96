"""The macros ``events`` and ``summary`` on a connection, and what they say of a table in memory.

In: a DuckDB connection and the frames that it holds; or an Arrow table. Out: the macros and their views; or
an Arrow table of events or statistics, the same as a folder with that table gives.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from facecap_batch.errors import install_hint
from facecap_batch.output.sql.events import NEEDED, events_sql
from facecap_batch.output.sql.permissions import BadQuery
from facecap_batch.output.sql.summary import summary_sql
from facecap_batch.output.sql.thresholds import PARAMETERS, MovementThresholds

if TYPE_CHECKING:
    import duckdb

FRAMES = "movements.frames"
_BODIES = {"events": events_sql, "summary": summary_sql}
NO_ACTORS = "SELECT '' AS clip_id, NULL::VARCHAR AS actor"
NO_DUCKDB = f"queries need DuckDB, which is not installed: {install_hint('query')}"


def create_macros(
    connection: duckdb.DuckDBPyConnection,
    frames: str,
    actors: str = NO_ACTORS,
    views: Collection[str] = (),
    macros: Collection[str] = (),
) -> None:
    """Create views with the default thresholds, and macros of the same name; each takes a while, of its own.

    Args:
        connection: Holds the tables.
        frames: Query for the columns `events.NEEDED`.
        actors: Query for ``clip_id, actor``.
        views: Which: "events", "summary".
        macros: Which: the same.
    """
    connection.execute(f"CREATE SCHEMA movements; CREATE VIEW {FRAMES} AS {frames}")
    for name in macros:
        body = _BODIES[name](FRAMES, actors, True)
        connection.execute(f"CREATE MACRO {name}({PARAMETERS}) AS TABLE {body}")
    for name in views:
        connection.execute(f"CREATE VIEW {name} AS {_BODIES[name](FRAMES, actors, False)}")


def movements_in(
    table: pa.Table,
    kind: Literal["events", "summary"],
    thresholds: MovementThresholds = MovementThresholds(),
) -> pa.Table:
    """The events or the statistics of a clip's table, without the actor, whom it does not know.

    Args:
        table: Has the columns of `coefficients.SCHEMA`.
        kind: Which of the two.
        thresholds: From when on a movement counts.

    Raises:
        BadQuery: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise BadQuery(NO_DUCKDB) from error
    order = "track, start_s, event" if kind == "events" else "track, event"
    with duckdb.connect(":memory:") as connection:
        connection.register("captured", table)
        create_macros(connection, f"SELECT {', '.join(NEEDED)} FROM captured", macros=[kind])
        counted = f"{kind}({thresholds.arguments()})"
        return connection.sql(f"SELECT * EXCLUDE (actor) FROM {counted} ORDER BY {order}").to_arrow_table()
