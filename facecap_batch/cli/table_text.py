"""Arrow tables as text for a terminal, or as CSV for programs.

In: an Arrow table. Out: text without a final newline.
"""

from __future__ import annotations

import io
import json
import re

import pyarrow as pa
import pyarrow.csv

from facecap_batch.storage.columns import value_column
from facecap_batch.text import printable

MAX_ROWS = 50
MAX_CELL_WIDTH = 48  # characters
# Rich would squeeze the columns into the terminal's width, which hides values; wide tables wrap instead.
UNBOUNDED_WIDTH = 100_000  # characters
# What spreadsheets execute when they open a CSV file (OWASP, "CSV Injection"), also behind spaces.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def as_text(table: pa.Table, max_rows: int = MAX_ROWS) -> str:
    """The first rows in columns, and how many rows there are in all.

    Args:
        table: any Arrow table.
        max_rows: rows to print.

    Returns:
        "done" for a table without columns, as a statement without a result gives.
    """
    # Not above: CSV needs none of it, and it takes as long to import as a small query.
    import rich.box
    import rich.console
    import rich.table
    import rich.text

    if not table.num_columns:
        return "done"
    grid = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        grid.add_column(rich.text.Text(name), justify="right" if is_number else "left", no_wrap=True)
    for row in table.slice(0, max_rows).to_pylist():
        grid.add_row(*(rich.text.Text(_cell(value)) for value in row.values()))
    console = rich.console.Console(
        file=io.StringIO(), width=UNBOUNDED_WIDTH, color_system=None, highlight=False
    )
    with console.capture() as captured:
        console.print(grid)
    lines = [line.rstrip() for line in captured.get().rstrip("\n").split("\n")]
    if table.num_rows > max_rows:
        lines.append(f"… {table.num_rows} rows in all (--csv prints them)")
    return "\n".join(lines)


def as_csv_text(table: pa.Table) -> str:
    """Every row, comma separated, with a header line; empty for a table without columns.

    Text that a spreadsheet would take for a formula has a ``'`` in front; text that is a number has not.
    """
    if not table.num_columns:
        return ""
    columns = [_csv_column(column) for column in table.columns]
    names = [_defused(name) for name in table.column_names]
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(pa.Table.from_arrays(columns, names=names), buffer)
    return buffer.getvalue().decode().rstrip("\n")


def _csv_column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """`column` as numbers, or as text that no program executes."""
    kind = column.type
    if pa.types.is_dictionary(kind):  # which Arrow's CSV writer does not know
        return _csv_column(column.cast(kind.value_type))
    is_number = pa.types.is_primitive(kind) or pa.types.is_decimal(kind)
    if is_number and not pa.types.is_interval(kind):
        return column
    texts = [None if value is None else _defused(_as_text(value)) for value in column.to_pylist()]
    return value_column(texts, pa.string())


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return (
        json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (dict, list)) else str(value)
    )


def _defused(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return printable(" ".join(text.split()), MAX_CELL_WIDTH)
