"""SQL over an output folder.

In: the folder of a run and a query. Out: an Arrow table. The query sees the views of `sql.views` and reads
nothing else: what SQL from others asks for beyond them is refused, and so is whatever writes a file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.clip import CLIPS_NAME
from facecap_batch.output.compact_index import ADVICE
from facecap_batch.output.sql.permissions import LIFT, BadQuery, check_statements
from facecap_batch.output.sql.views import VIEWS, called_macros, connect, named_views
from facecap_batch.storage.columns import read_table
from facecap_batch.storage.publish import StoragePath, arrow_source, storage_path

if TYPE_CHECKING:
    import duckdb

# How DuckDB's messages begin or go on where a Parquet file is damaged.
_OF_FILES = re.compile(r"magic bytes|thrift|TProtocol|zstd|parquet|corrupt|page header", re.IGNORECASE)


def query(folder: str | StoragePath, sql: str, unsafe: bool = False) -> pa.Table:
    """Answer `sql` from the output folder of a run.

    Args:
        folder: the ``--output`` of a run, a local folder or a URI.
        sql: a query over the views ``coefficients``, ``raw``, ``events``, ``summary`` and ``clips``, in
            DuckDB's SQL.
        unsafe: let it read and write every file that this process may, and load extensions.

    Returns:
        The rows. A statement without a result gives a table without rows.

    Raises:
        BadQuery: DuckDB's message with the position in the SQL, and what the views hold where a view or a
            column is not there; what keeps the folder from being asked; or what the SQL may not do.
        IndexDamaged: the index of the compact files cannot be read.
    """
    folder = storage_path(folder)
    if not unsafe and named_views(sql) != frozenset(VIEWS):
        # Where that fails all views are made: SQL may find a name that is not written in it, and a message
        # says what there is.
        with contextlib.suppress(_UnknownName, _ColumnProblem):
            connection = connect(folder, views=named_views(sql), macros=called_macros(sql))
            return _answer(connection, sql, unsafe)
    try:
        return _answer(connect(folder, unsafe=unsafe), sql, unsafe)
    except _UnknownName as error:
        raise BadQuery(str(error)) from error
    except _ColumnProblem as error:
        if not _may_mix_columns(folder):
            raise BadQuery(_advised(error)) from error
    try:
        return _answer(connect(folder, mixed=True, unsafe=unsafe), sql, unsafe)
    except (_UnknownName, _ColumnProblem) as error:
        raise BadQuery(_advised(error)) from error


def _advised(error: Exception) -> str:
    """DuckDB's message; where it speaks of a file that cannot be read, what to do."""
    return f"{error}\n{ADVICE}" if _OF_FILES.search(str(error)) else str(error)


class _ColumnProblem(Exception):
    """A query does not fit the columns of the views; `mixed` views may have more of them."""


class _UnknownName(Exception):
    """A query names a view or a function that is not there."""


def _answer(connection: duckdb.DuckDBPyConnection, sql: str, unsafe: bool) -> pa.Table:
    """Answer `sql` and close the connection. Raises BadQuery, _UnknownName and _ColumnProblem."""
    import duckdb

    try:
        statements = connection.extract_statements(sql)
        if not statements:
            raise BadQuery("the query is empty")
        if not unsafe:
            check_statements(statements)
        try:
            relation = connection.sql(sql)
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.CatalogException as error:  # a view or a function that does not exist
            raise _UnknownName(_explained(connection, statements, error)) from error
        except duckdb.BinderException as error:  # a column that the first table does not have
            raise _ColumnProblem(_explained(connection, statements, error)) from error
        except duckdb.PermissionException as error:
            raise BadQuery(
                f"{error}\nA query opens the tables of the folder and nothing else; {LIFT}"
            ) from error
        except duckdb.InvalidInputException as error:  # a later table lacks a column of the first
            raise _ColumnProblem(str(error)) from error
    except duckdb.Error as error:
        raise BadQuery(_advised(error)) from error
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
        rows = read_table(folder / CLIPS_NAME, sorted(columns))
    except (OSError, pa.ArrowException):
        return True
    kinds = {
        (row.get("regressor_sha256"), row.get("shots") is None, row.get("landmarks") is None)
        for row in rows.to_pylist()
    }
    return len(kinds) != 1 or any(regressor is None for regressor, *_ in kinds)
