"""Arrow tables as text for a terminal."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.csv

MAX_ROWS = 50
WIDEST = 48  # characters of a cell


def as_text(table: pa.Table, most_rows: int = MAX_ROWS) -> str:
    """The first rows in columns, and how many more there are."""
    if not table.num_columns:
        return "done"
    rows = [[_cell(value) for value in row.values()] for row in table.slice(0, most_rows).to_pylist()]
    lines = [list(table.column_names), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(table.num_columns)]
    numeric = [pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in table.schema.types]

    def joined(line: list[str]) -> str:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        return "  ".join(cells).rstrip()

    text = [joined(line) for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    if table.num_rows > most_rows:
        text.append(f"… {table.num_rows} rows in all (--csv prints them)")
    return "\n".join(text)


def as_csv_text(table: pa.Table) -> str:
    """Every row, comma separated, with a header."""
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
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
