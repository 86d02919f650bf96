"""Arrow tables as text for a terminal, or as CSV for programs.

In: an Arrow table. Out: text without a final newline.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.csv
import rich.box
import rich.console
import rich.table
import rich.text

MAX_ROWS = 50
MAX_CELL_WIDTH = 48  # characters
# Rich would squeeze the columns into the terminal's width, which hides values; wide tables wrap instead.
UNBOUNDED_WIDTH = 100_000  # characters


def as_text(table: pa.Table, max_rows: int = MAX_ROWS) -> str:
    """The first rows in columns, and how many rows there are in all.

    Args:
        table: any Arrow table.
        max_rows: rows to print.

    Returns:
        "done" for a table without columns, as a statement without a result gives.
    """
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
    """Every row, comma separated, with a header line; empty for a table without columns."""
    if not table.num_columns:
        return ""
    for number, kind in enumerate(table.schema.types):
        if pa.types.is_dictionary(kind):  # which Arrow's CSV writer does not know
            plain = table.column(number).cast(kind.value_type)
            table = table.set_column(number, table.column_names[number], plain)
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(table, buffer)
    return buffer.getvalue().decode().rstrip("\n")


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= MAX_CELL_WIDTH else f"{text[: MAX_CELL_WIDTH - 1]}…"
