"""SQL over an output folder.

In: the folder of a run and a query. Out: an Arrow table. The query sees the views ``coefficients`` and
``raw`` (all clips and tracks; the columns of `coefficients.SCHEMA`, then those that not every clip has)
and ``clips`` (one row per manifest row). Nothing is copied: DuckDB reads the Parquet files in place, compact
ones where there are, and only the columns that the query names; behind a URI it does so through fsspec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.coefficients import SCHEMA
from facecap_batch.errors import FacecapError, install_hint
from facecap_batch.output.compact_index import Entry, read_index
from facecap_batch.output.reports import CLIPS_NAME
from facecap_batch.storage import temporary
from facecap_batch.storage.connection import open_storage
from facecap_batch.storage.publish import StoragePath, arrow_source, storage_path
from facecap_batch.storage.remote import RemotePath

if TYPE_CHECKING:
    import duckdb

VIEWS = ("coefficients", "raw", "clips")
INSTALL_LINE = install_hint("query")


class BadQuery(FacecapError):
    """A query cannot be answered: DuckDB is not installed, the folder is no output folder, or the SQL is
    wrong.
    """


def query(folder: str | StoragePath, sql: str) -> pa.Table:
    """Answer `sql` from the output folder of a run.

    Args:
        folder: the ``--output`` of a run, a local folder or a URI.
        sql: a query over the views ``coefficients``, ``raw`` and ``clips``, in DuckDB's SQL.

    Returns:
        The rows. A statement without a result gives a table without rows.

    Raises:
        BadQuery: DuckDB's message with the position in the SQL, and what the views hold where a view or a
            column is not there; or what keeps the folder from being asked.
        IndexDamaged: the index of the compact files cannot be read.
    """
    folder = storage_path(folder)
    try:
        return _answer(connect(folder), sql)
    except _ColumnProblem as error:
        if not _may_mix_columns(folder):
            raise BadQuery(str(error)) from error
    try:
        return _answer(connect(folder, mixed=True), sql)
    except _ColumnProblem as error:
        raise BadQuery(str(error)) from error


class _ColumnProblem(Exception):
    """A query does not fit the columns of the views; `mixed` views may have more of them."""


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """Answer `sql` and close the connection. Raises BadQuery and _ColumnProblem."""
    import duckdb

    try:
        statements = connection.extract_statements(sql)
        if not statements:
            raise BadQuery("the query is empty")
        try:
            relation = connection.sql(sql)
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.CatalogException as error:  # a view or a function that does not exist
            raise BadQuery(_explained(connection, statements, error)) from error
        except duckdb.BinderException as error:  # a column that the first table does not have
            raise _ColumnProblem(_explained(connection, statements, error)) from error
        except duckdb.InvalidInputException as error:  # a later table lacks a column of the first
            raise _ColumnProblem(str(error)) from error
    except duckdb.Error as error:
        raise BadQuery(str(error)) from error
    finally:
        connection.close()


def _explained(
    connection: duckdb.DuckDBPyConnection, statements: Sequence[duckdb.Statement], error: duckdb.Error
) -> str:
    """DuckDB's message with the position in the SQL, and what the views hold."""
    return f"{_with_position(connection, statements, error)}\n{_known_columns(connection)}"


def _with_position(
    connection: duckdb.DuckDBPyConnection, statements: Sequence[duckdb.Statement], error: duckdb.Error
) -> str:
    """The message of a statement that DuckDB does not understand, with its position in the SQL.

    A relation's error has no position. The error of executing the statement has one, and executes nothing, as
    it fails before. Of several statements, the earlier ones would be executed again: they stay without.
    """
    import duckdb

    if len(statements) == 1:
        try:
            connection.execute(statements[0])
        except duckdb.Error as located:
            return str(located)
    return str(error)


def _known_columns(connection: duckdb.DuckDBPyConnection) -> str:
    """The views and their columns, a line for those that have the same ones."""
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
    ).fetchall()
    columns: dict[str, list[str]] = {name: [] for name in VIEWS}
    for view, column in rows:
        if view in columns:
            columns[view].append(column)
    alike: dict[tuple[str, ...], list[str]] = {}
    for view, names in columns.items():
        alike.setdefault(tuple(names), []).append(view)
    return "\n".join(f"{' and '.join(views)}: {', '.join(names)}" for names, views in alike.items() if names)


def _may_mix_columns(folder: StoragePath) -> bool:
    """False where every table of the folder is known to come from one regressor, and all with their shots or
    all without, and so with landmarks, so that all have the same columns. Others lie side by side until every
    clip was done again.
    """
    try:
        columns = {"regressor_sha256", "shots", "landmarks"} & set(
            pq.read_schema(arrow_source(folder / CLIPS_NAME)).names
        )
        rows = pq.read_table(arrow_source(folder / CLIPS_NAME), columns=sorted(columns))
    except (OSError, pa.ArrowException):
        return True
    kinds = {
        (row["regressor_sha256"], row.get("shots") is None, row.get("landmarks") is None)
        for row in rows.to_pylist()
    }
    return len(kinds) != 1 or any(regressor is None for regressor, *_ in kinds)


def connect(folder: str | StoragePath, mixed: bool = False) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB connection with the views of an output folder, for more than one query.

    Args:
        folder: the ``--output`` of a run, a local folder or a URI.
        mixed: give the views the columns of all tables, not only those of the first one; this opens every
            file.

    Raises:
        BadQuery: DuckDB is not installed, or the folder is not the output of a run or cannot be read.
        IndexDamaged: the index of the compact files cannot be read.
    """
    try:
        import duckdb
    except ImportError as error:
        raise BadQuery(f"queries need DuckDB, which is not installed: {INSTALL_LINE}") from error
    folder = storage_path(folder)
    if not folder.is_dir():
        raise BadQuery(f"{folder} is not a folder; give the --output folder of a run")
    clips = folder / CLIPS_NAME
    compacted = read_index(folder)
    listed = _listed_clips(folder)
    tables = {name: _sources(folder, name, listed, compacted, mixed) for name in ("coefficients", "raw")}
    has_clips = clips.is_file()
    if not has_clips and not any(tables.values()):
        raise BadQuery(
            f"{folder} holds no {CLIPS_NAME}, coefficients/ or raw/; give the --output folder of a run"
        )
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    if isinstance(folder, RemotePath):
        connection.register_filesystem(open_storage(folder.uri)[0])
    try:
        for name, parts in tables.items():
            if parts:
                connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")
            else:
                _create_empty(connection, name)
        if has_clips:
            connection.execute(f"CREATE VIEW clips AS SELECT * FROM read_parquet([{_quoted([clips])}])")
    except duckdb.Error as error:
        connection.close()
        raise BadQuery(f"{folder} cannot be read: {error}") from error
    return connection


def _listed_clips(folder: StoragePath) -> set[str] | None:
    """The clips of the folder's manifest; None where the folder does not tell, and every table counts."""
    try:
        rows = pq.read_table(arrow_source(folder / CLIPS_NAME), columns=["clip_id"])
    except (OSError, pa.ArrowException):
        return None
    return set(rows["clip_id"].to_pylist())


def _sources(
    folder: StoragePath, kind: str, listed: set[str] | None, compacted: Sequence[Entry], mixed: bool
) -> list[str]:
    """Queries that together give every table of `kind` once: those with a valid entry from compact files, the
    others from their small files. Clips that are not in `listed` are left out; `mixed` as in `connect`.
    """

    def source(files: list[StoragePath]) -> str:
        return f"SELECT * FROM read_parquet([{_quoted(files)}], union_by_name={str(mixed).lower()})"

    def is_listed(clip_id: str) -> bool:
        return listed is None or clip_id in listed

    entries = [entry for entry in compacted if entry.kind == kind]
    valid = {entry.name: entry.file for entry in entries if entry.valid and is_listed(entry.clip_id)}
    invalid = [entry.clip_id for entry in entries if entry.name not in valid]
    small = [
        path
        for path in _files(folder / kind)
        if f"{kind}/{path.name}" not in valid and is_listed(path.name.removesuffix(".parquet"))
    ]
    large = [folder / file for file in sorted(set(valid.values()))]
    where = f" WHERE clip_id NOT IN ({', '.join(map(_text, invalid))})" if invalid else ""
    return ([source(large) + where] if large else []) + ([source(small)] if small else [])


def _files(folder: StoragePath) -> list[StoragePath]:
    """The finished tables of a folder, in order; the names of files in the making begin differently."""
    found: list[StoragePath] = [
        path for path in folder.glob("*.parquet") if not path.name.startswith(temporary.PREFIX)
    ]
    return sorted(found, key=str)


def _text(value: str) -> str:
    """`value` as a string in SQL."""
    return "'{}'".format(value.replace("'", "''"))


def _quoted(files: list[StoragePath]) -> str:
    """The paths as SQL strings. Characters that make a pattern for DuckDB are put in brackets, where they
    stand for themselves.
    """
    return ", ".join(_text(_literal(str(file))) for file in files)


def _literal(path: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)


def _create_empty(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """A view without rows where a run has made no table of this kind, so that queries still have it."""
    plain = pa.schema([pa.field(f.name, pa.string() if f.name == "clip_id" else f.type) for f in SCHEMA])
    connection.register(f"no_{name}", plain.empty_table())
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM no_{name}")
