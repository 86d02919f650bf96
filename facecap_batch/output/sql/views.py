"""The output folder as a database: its views in DuckDB, and what SQL may touch besides.

In: the folder of a run. Out: a DuckDB connection with the views ``coefficients`` and ``raw`` (all clips and
tracks; the columns of `coefficients.SCHEMA`, then those that not every clip has), ``clips`` (one row
per manifest row), and ``events`` and ``summary`` (`sql.events`, `sql.summary`). Nothing is copied: DuckDB
reads the Parquet files in place, compact ones where there are, and only the columns that a query names;
behind a URI it does so through fsspec. The files of the views are all that it may open: no other file, no
address, no extension, no variable of Python.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.clip import CLIPS_NAME
from facecap_batch.coefficients import SCHEMA
from facecap_batch.output.compact_index import ADVICE, Entry, read_index
from facecap_batch.output.sql.events import NEEDED
from facecap_batch.output.sql.macros import NO_ACTORS, NO_DUCKDB, create_macros
from facecap_batch.output.sql.permissions import CONFINED, BadQuery, confine, pattern_for, sql_text
from facecap_batch.storage import temporary
from facecap_batch.storage.connection import open_storage
from facecap_batch.storage.publish import StoragePath, arrow_source, storage_path
from facecap_batch.storage.remote import RemotePath

if TYPE_CHECKING:
    import duckdb

VIEWS = ("coefficients", "raw", "events", "summary", "clips")
COUNTED = ("events", "summary")  # views of movements; they read coefficients and clips
_NAMED = re.compile(rf"\b({'|'.join(VIEWS)})\b", re.IGNORECASE)
_CALLED = re.compile(rf"\b({'|'.join(COUNTED)})\b\W*\(", re.IGNORECASE)
# SQL with these words may ask which views there are.
_LISTING = re.compile(
    r"\b(show|describe|summarize|pragma|(information_schema|duckdb_|pg_|sqlite_)\w*)", re.IGNORECASE
)


def named_views(sql: str) -> frozenset[str]:
    """The views that `sql` may need: to make the others would cost more than many a question. All of them
    where it asks which there are, or names none."""
    named = frozenset(name.lower() for name in _NAMED.findall(sql))
    return frozenset(VIEWS) if not named or _LISTING.search(sql) else named


def called_macros(sql: str) -> frozenset[str]:
    """Those of COUNTED that `sql` may call with thresholds, by a parenthesis behind the name; all of them
    where it asks which there are."""
    called = frozenset(name.lower() for name in _CALLED.findall(sql))
    return frozenset(COUNTED) if _LISTING.search(sql) else called


@dataclasses.dataclass(frozen=True)
class Source:
    """Files that a view reads."""

    files: tuple[StoragePath, ...]
    left_out: tuple[str, ...] = ()  # clips in them that the view does not show


def connect(
    folder: str | StoragePath,
    mixed: bool = False,
    unsafe: bool = False,
    views: Collection[str] = VIEWS,
    macros: Collection[str] = COUNTED,
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB connection with the views of an output folder, for more than one query.

    SQL on it may open the files of the views and nothing else, and change none of DuckDB's settings. It could
    overwrite those files all the same: `query` alone refuses statements that write.

    Args:
        folder: the ``--output`` of a run, a local folder or a URI.
        mixed: give the views the columns of all tables, not only those of the first one; this opens every
            file.
        unsafe: let SQL open, write and load whatever this process may.
        views: those of VIEWS that it has at least.
        macros: those of COUNTED that it has as macros, too.

    Raises:
        BadQuery: DuckDB is not installed, or the folder is not the output of a run or cannot be read.
        IndexDamaged: the index of the compact files cannot be read.
    """
    try:
        import duckdb
    except ImportError as error:
        raise BadQuery(NO_DUCKDB) from error
    folder = storage_path(folder)
    if not folder.is_dir():
        raise BadQuery(f"{folder} is not a folder; give the --output folder of a run")
    clips = folder / CLIPS_NAME
    compacted = read_index(folder)
    listed = _listed_clips(folder)
    counted = [name for name in COUNTED if name in views]
    called = [name for name in counted if name in macros]
    sources = {
        name: _sources(folder, name, listed, compacted)
        for name in ("coefficients", "raw")
        if name in views or (counted and name == "coefficients")
    }
    sources["clips"] = [Source((clips,))] if clips.is_file() else []
    if not any(sources.values()) and not _is_output(folder):
        raise BadQuery(
            f"{folder} holds no {CLIPS_NAME}, coefficients/ or raw/; give the --output folder of a run"
        )
    confined = {} if unsafe else CONFINED
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false", **confined})
    files = [str(file) for parts in sources.values() for part in parts for file in part.files]
    if isinstance(folder, RemotePath):
        system, path = open_storage(folder.uri)
        connection.register_filesystem(system)
        # fsspec finds files under names of its own: memory:///a for memory://a, s3:// for s3a://.
        schemes = [system.protocol] if isinstance(system.protocol, str) else system.protocol
        below = [file.removeprefix(folder.uri) for file in files]
        files += [f"{scheme}://{path}{name}" for scheme in schemes for name in below]
    try:
        if not unsafe:
            confine(connection, files)
        for name, parts in sources.items():
            if parts:
                selects = [_select(part, mixed) for part in parts]
                connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join(selects)}")
            elif name != "clips":
                _create_empty(connection, name)
        if counted:
            _create_counted(connection, sources["coefficients"], counted, called)
    except duckdb.Error as error:
        connection.close()
        raise BadQuery(f"{folder} cannot be read: {error}; {ADVICE}") from error
    return connection


def _is_output(folder: StoragePath) -> bool:
    """Whether there are tables of either kind, also of one that no view was asked for."""
    return any(_files(folder / kind) for kind in ("coefficients", "raw"))


def _listed_clips(folder: StoragePath) -> set[str] | None:
    """The clips of the folder's manifest; None where the folder does not tell, and every table counts."""
    try:  # not `pq.read_table`, which imports pandas
        with pq.ParquetFile(arrow_source(folder / CLIPS_NAME)) as file:
            if "clip_id" not in file.schema_arrow.names:
                return None
            rows = file.read(columns=["clip_id"])
    except (OSError, pa.ArrowException):
        return None
    return set(rows["clip_id"].to_pylist())


def _sources(
    folder: StoragePath, kind: str, listed: set[str] | None, compacted: Sequence[Entry]
) -> list[Source]:
    """What together gives every table of `kind` once: those with a valid entry from compact files, the others
    from their small files. Clips that are not in `listed` are left out.
    """

    def is_listed(clip_id: str) -> bool:
        return listed is None or clip_id in listed

    entries = [entry for entry in compacted if entry.kind == kind]
    valid = {entry.name: entry.file for entry in entries if entry.valid and is_listed(entry.clip_id)}
    invalid = tuple(entry.clip_id for entry in entries if entry.name not in valid)
    small = tuple(
        path
        for path in _files(folder / kind)
        if f"{kind}/{path.name}" not in valid and is_listed(path.name.removesuffix(".parquet"))
    )
    large = tuple(folder / file for file in sorted(set(valid.values())))
    found = (Source(large, invalid), Source(small))
    return [source for source in found if source.files]


# Folders above may be called like partitions (a=b): not ours, and to look costs a tenth of the time.
_PLAIN = "hive_partitioning=false"


def _select(source: Source, mixed: bool) -> str:
    """The query for the rows of `source`; `mixed` as in `connect`."""
    files = ", ".join(sql_text(pattern_for(str(file))) for file in source.files)
    where = f" WHERE clip_id NOT IN ({', '.join(map(sql_text, source.left_out))})" if source.left_out else ""
    return f"SELECT * FROM read_parquet([{files}], union_by_name={str(mixed).lower()}, {_PLAIN}){where}"


def _files(folder: StoragePath) -> list[StoragePath]:
    """The finished tables of a folder, in order; the names of files in the making begin differently."""
    found: list[StoragePath] = [
        path for path in folder.glob("*.parquet") if not path.name.startswith(temporary.PREFIX)
    ]
    return sorted(found, key=str)


def _create_counted(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[Source],
    views: Sequence[str],
    macros: Sequence[str],
) -> None:
    """The views and macros about movements; none where tables, which are then not ours, lack columns."""
    columns: dict[str, set[str]] = {}
    for view, column in connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
    ).fetchall():
        columns.setdefault(view, set()).add(column)
    if not columns["coefficients"].issuperset(NEEDED):
        return
    # Every table has these columns, so that one look at the first file is enough also where others differ.
    selects = [f"SELECT {', '.join(NEEDED)} FROM ({_select(part, False)})" for part in tables]
    frames = " UNION ALL ".join(selects) or "FROM coefficients"
    has_actors = columns.get("clips", set()).issuperset({"clip_id", "actor"})
    actors = "SELECT clip_id, actor FROM clips" if has_actors else NO_ACTORS
    create_macros(connection, frames, actors, views, macros)


def _create_empty(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """A view without rows where a run has made no table of this kind, so that queries still have it."""
    plain = pa.schema([pa.field(f.name, pa.string() if f.name == "clip_id" else f.type) for f in SCHEMA])
    connection.register(f"no_{name}", plain.empty_table())
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM no_{name}")
