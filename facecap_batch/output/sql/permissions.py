"""What SQL may do to an output folder: read its tables, and nothing else.

In: a DuckDB connection and the files of its views, or statements. Out: the same connection, which opens these
files alone and keeps its settings; `BadQuery` for statements that could write to them. SQL comes from people
whom the user knows no better than their footage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from facecap_batch.errors import FacecapError

if TYPE_CHECKING:
    import duckdb

# Of a connection whose SQL may come from anyone. Extensions would be loaded from the machine's own folder.
CONFINED = {
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",  # else a name that is no table reads a variable of the caller
}
# Statements that write no file. Those that wrap others are looked at below.
QUESTIONS = frozenset(
    {
        *("SELECT", "EXPLAIN", "MULTI", "SET", "VARIABLE_SET", "TRANSACTION"),
        *("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"),  # tables in memory
    }
)
# DuckDB does not tell what an EXPLAIN, which may execute, and the parts of a MULTI are about.
_WRAPPED = re.compile(r"\b(COPY|EXPORT|ATTACH)\b", re.IGNORECASE)
LIFT = "--unsafe-sql (in Python unsafe=True) lifts that for SQL that you trust"


class BadQuery(FacecapError):
    """A query cannot be answered: DuckDB is not installed, the folder is no output folder, the SQL is wrong,
    or it asks for more than the folder's tables.
    """


def confine(connection: duckdb.DuckDBPyConnection, files: Iterable[str]) -> None:
    """Let `connection` open `files` alone, from now on."""
    # Views name them as patterns that match nothing else; then DuckDB opens them by their names.
    paths = {name for file in files for name in (file, pattern_for(file))}
    connection.execute(f"SET allowed_paths = [{', '.join(map(sql_text, sorted(paths)))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def check_statements(statements: Sequence[duckdb.Statement]) -> None:
    """Raise BadQuery for a statement that may write a file."""
    for statement in statements:
        kind = statement.type.name
        wrapped = _WRAPPED.search(statement.query) if kind in ("EXPLAIN", "MULTI") else None
        if kind not in QUESTIONS or wrapped:
            name = wrapped[0].upper() if wrapped else kind.replace("_", " ")
            raise BadQuery(f"a query writes no files and loads nothing, and this one holds {name}; {LIFT}")


def sql_text(value: str) -> str:
    """`value` as a string in SQL."""
    return "'{}'".format(value.replace("'", "''"))


def pattern_for(path: str) -> str:
    """`path` as DuckDB's pattern for it: characters with a meaning stand for themselves in brackets."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)
