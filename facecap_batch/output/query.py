"""SQL over an output folder.

In: the folder of a run and a query. Out: an Arrow table. The query sees the views ``coefficients`` and
``raw`` (all clips, the columns of `coefficients.SCHEMA` and of the regressor's own) and ``clips`` (one row
per manifest row). Nothing is copied: DuckDB reads the Parquet files where they lie, compact ones where there
are, and only the columns that the query names; behind a URI it does so through fsspec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from facecap_batch.coefficients import SCHEMA
from facecap_batch.errors import FacecapError
from facecap_batch.output.compact_index import Entry, read_index
from facecap_batch.storage.publish import StoragePath, storage_path
from facecap_batch.storage.remote import TEMPORARY_PREFIX, RemotePath, open_storage

if TYPE_CHECKING:
    import duckdb

INSTALL_LINE = 'pip install "facecap-batch[query]"'


class BadQuery(FacecapError):
    """A query cannot be answered: DuckDB is not installed, the folder is no output folder, or the SQL is
    wrong.
    """


def query(folder: str | StoragePath, sql: str) -> pa.Table:
    """Answer `sql` from the output folder of a run.

    A statement without a result gives a table without columns. Raises BadQuery.
    """
    try:
        return _answer(connect(folder), sql)
    except BadQuery:
        # Tables of two regressors may lie side by side until a rerun has done every clip again.
        return _answer(connect(folder, mixed=True), sql)


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    import duckdb

    try:
        if not connection.extract_statements(sql):
            raise BadQuery("the query is empty")
        relation = connection.sql(sql)
        return pa.table({}) if relation is None else relation.to_arrow_table()
    except duckdb.Error as error:
        raise BadQuery(f"{error}") from error
    finally:
        connection.close()


def connect(folder: str | StoragePath, mixed: bool = False) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB connection with the views of an output folder, for more than one query.

    The views have the columns of the first table; `mixed` looks into every table, which takes longer, and
    gives the columns that any has. Raises BadQuery, IndexDamaged.
    """
    try:
        import duckdb
    except ImportError as error:
        raise BadQuery(f"queries need DuckDB, which is not installed: {INSTALL_LINE}") from error
    folder = storage_path(folder)
    if not folder.is_dir():
        raise BadQuery(f"{folder} is not a folder; give the --output folder of a run")
    clips = folder / "clips.parquet"
    compacted = read_index(folder)
    tables = {name: _sources(folder, name, compacted, mixed) for name in ("coefficients", "raw")}
    has_clips = clips.is_file()
    if not has_clips and not any(tables.values()):
        raise BadQuery(
            f"{folder} holds no clips.parquet, coefficients/ or raw/; give the --output folder of a run"
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


def _sources(folder: StoragePath, kind: str, compacted: Sequence[Entry], mixed: bool) -> list[str]:
    """Queries that together give every table of `kind` once: from compact files what they hold and was not
    done again since, the rest from the small files. `mixed` as in `connect`.
    """

    def source(files: list[StoragePath]) -> str:
        return f"SELECT * FROM read_parquet([{_quoted(files)}], union_by_name={str(mixed).lower()})"

    entries = [entry for entry in compacted if entry.kind == kind]
    valid = {entry.name for entry in entries if entry.valid}
    old = [entry.clip_id for entry in entries if not entry.valid]
    small = [path for path in _files(folder / kind) if f"{kind}/{path.name}" not in valid]
    large = [folder / file for file in sorted({entry.file for entry in entries if entry.valid})]
    without = f" WHERE clip_id NOT IN ({', '.join(map(_text, old))})" if old else ""
    return ([source(large) + without] if large else []) + ([source(small)] if small else [])


def _files(folder: StoragePath) -> list[StoragePath]:
    """The finished tables of a folder, in order; files that are being written have another beginning."""
    found: list[StoragePath] = [
        path for path in folder.glob("*.parquet") if not path.name.startswith(TEMPORARY_PREFIX)
    ]
    return sorted(found, key=str)


def _text(value: str) -> str:
    """A string in SQL."""
    return "'{}'".format(value.replace("'", "''"))


def _quoted(files: list[StoragePath]) -> str:
    """SQL strings. Characters that DuckDB would take for a pattern are put in brackets, where they mean
    themselves.
    """
    return ", ".join(_text(_literal(str(file))) for file in files)


def _literal(path: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)


def _create_empty(connection: Any, name: str) -> None:
    """A view without rows where a run has produced nothing of this kind, so that queries still make sense."""
    plain = pa.schema([pa.field(f.name, pa.string() if f.name == "clip_id" else f.type) for f in SCHEMA])
    connection.register(f"no_{name}", plain.empty_table())
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM no_{name}")
