"""Tables as text: nothing in a cell is executed by a spreadsheet, or changes a terminal."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facecap_batch.cli.table_text import as_csv_text, as_text
from tests.support.commands import call

FORMULAS = [
    *(
        "=1+1",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "=cmd|' /C calc'!A0",
        '=HYPERLINK("http://x")',
        "-",
        "+49 30",
        "=",
        "@",
    ),
    *("\t=1", "\r=1", "\n=1", "\tx", " =1", "\u00a0=1", "＝1+1", "＋1", "－1", "＠x", "-1e5x", "--1", "-٣"),
]
HARMLESS = ["", "x", "a=b", "-1", "+1.5", "-.5e-3", "1-1", "'=1", "é", "take,1", 'say "x"']


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_csv_cells_are_no_formulas(kind: pa.DataType) -> None:
    table = pa.table({"n": range(len(FORMULAS)), "text": pa.array(FORMULAS, pa.string()).cast(kind)})
    assert [row[1] for row in read(as_csv_text(table))[1:]] == [f"'{text}" for text in FORMULAS]


def test_other_cells_stay_as_they_are() -> None:
    assert [
        row[1] for row in read(as_csv_text(pa.table({"n": range(len(HARMLESS)), "x": HARMLESS})))[1:]
    ] == HARMLESS
    numbers = pa.table({"i": [-1], "f": [-1.5], "d": pa.array([-2], pa.duration("s")), "b": [True]})
    assert as_csv_text(numbers) == '"i","f","d","b"\n-1,-1.5,-2,true'


def test_names_of_columns_are_no_formulas() -> None:
    assert read(as_csv_text(pa.table({"=1+1": [1], "x": [2]})))[0] == ["'=1+1", "x"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["=1", None], '["=1", null]'),
        ({"a": "=1"}, '{"a": "=1"}'),
        (b"=1\xff", "3d31ff"),
    ],
)
def test_nested_values_and_bytes_are_text(value: Any, text: str) -> None:
    assert read(as_csv_text(pa.table({"x": [value]})))[1] == [text]


def test_the_command_prints_what_a_manifest_brought_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb")
    pq.write_table(pa.table({"clip_id": ["a"], "note": ["=1+1"]}), tmp_path / "clips.parquet")
    code, printed, _ = call(
        capsys, "query", tmp_path, "SELECT note, list(note) AS l FROM clips GROUP BY 1", "--csv"
    )
    assert code == 0 and read(printed) == [["note", "l"], ["'=1+1", '["=1+1"]']]


def test_cells_do_not_change_a_terminal() -> None:
    assert as_text(pa.table({"x": ["\x1b[2Jgone\u202e"]})).splitlines()[-1].strip() == "\\x1b[2Jgone\\u202e"
