"""SQL over an output folder, on real Parquet files."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, SCHEMA, ClipInfo, CoefficientTable, write_parquet
from facecap_batch.output.query import BadQuery, connect, query
from facecap_batch.output.sql.views import COUNTED, VIEWS, called_macros, named_views
from tests.support.animations import with_tongue

pytest.importorskip("duckdb")


def clip(clip_id: str, rows: int, value: float) -> CoefficientTable:
    found = np.arange(rows) % 4 != 0
    coefficients = np.where(found[:, None], np.float32(value), np.float32(np.nan)) * np.ones(51, np.float32)
    return CoefficientTable(
        info=ClipInfo(clip_id, f"{clip_id}.mp4", 64, 48, Fraction(25), Fraction(1, 25), 0, False),
        frame_index=np.arange(rows, dtype=np.int32),
        pts=np.arange(rows, dtype=np.int64),
        face_found=found,
        score=np.where(found, 1, np.nan).astype(np.float32),
        box=np.zeros((rows, 4), np.float32),
        coefficients=coefficients.astype(np.float32),
        head=np.zeros((rows, 6), np.float32),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    output = tmp_path / "out it's [1]*"
    for clip_id, rows, value in (("öne", 8, 0.25), ("two?", 4, 0.75)):
        write_parquet(clip(clip_id, rows, value), output / "coefficients" / f"{clip_id}.parquet")
        write_parquet(clip(clip_id, rows, value / 2), output / "raw" / f"{clip_id}.parquet")
    (output / "coefficients" / ".tmp-half-written.parquet").write_bytes(b"PAR1")
    pq.write_table(
        pa.table({"clip_id": ["öne", "two?"], "status": ["done"] * 2, "regressor_sha256": ["5ha"] * 2}),
        output / "clips.parquet",
    )
    return output


def test_views_hold_all_clips(folder: Path):
    rows = query(
        folder, "SELECT clip_id, count(*) AS n, avg(jawOpen) AS jaw FROM coefficients GROUP BY 1 ORDER BY 1"
    )
    assert rows.to_pydict() == {"clip_id": ["two?", "öne"], "n": [4, 8], "jaw": [0.75, 0.25]}
    assert query(folder, "SELECT count(jawOpen) AS n FROM raw")["n"].to_pylist() == [9]
    assert query(folder, "SELECT * FROM raw LIMIT 1").column_names == SCHEMA.names
    joined = query(
        folder, "SELECT status, max(time_s) AS t FROM coefficients JOIN clips USING (clip_id) GROUP BY 1"
    )
    assert joined.to_pydict() == {"status": ["done"], "t": [0.28]}


def test_result_is_typed_and_may_be_empty(folder: Path):
    rows = query(folder, f"SELECT {', '.join(ARKIT_NAMES)} FROM coefficients WHERE eyeBlinkLeft > 2")
    assert rows.num_rows == 0 and rows.schema.types == [pa.float32()] * 51


def test_one_connection_answers_many_queries(folder: Path):
    connection = connect(folder)
    assert connection.execute("SELECT count(*) FROM clips").fetchall() == [(2,)]
    assert connection.execute("SELECT count(*) FROM raw").fetchall() == [(12,)]


def views_of(connection: Any) -> set[str]:
    return {
        name
        for (name,) in connection.execute(
            "SELECT view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
    }


def test_only_views_that_are_named_are_made(folder: Path) -> None:
    assert named_views("SELECT * FROM Raw JOIN clips USING (clip_id)") == {"raw", "clips"}
    assert named_views("FROM events(threshold := 0.4)") == {"events"}
    for sql in ("SELECT 1", "SHOW TABLES", "DESCRIBE raw", "SELECT * FROM raw, duckdb_columns()"):
        assert named_views(sql) == set(VIEWS)
    assert called_macros("SELECT * FROM Events, summary (threshold := 0.4)") == {"summary"}
    assert called_macros("SHOW TABLES") == set(COUNTED)
    with connect(folder, views=["summary"]) as connection:
        assert views_of(connection) == {"clips", "coefficients", "summary", "frames"}
    with connect(folder, views=["raw"]) as connection:
        assert views_of(connection) == {"clips", "raw"}
    with connect(folder) as connection:
        assert views_of(connection) == {*VIEWS, "frames"}


def test_views_that_are_not_written_in_the_sql_are_found(folder: Path) -> None:
    """A name may be put together; what there is may be asked of DuckDB."""
    hidden = "SELECT (SELECT count(*) FROM clips) + count(*) AS n FROM query_table('ra' || 'w')"
    assert query(folder, hidden)["n"].to_pylist() == [14]
    assert set(query(folder, "SHOW TABLES")["name"].to_pylist()) == set(VIEWS)
    with pytest.raises(BadQuery, match=r"\ncoefficients and raw: clip_id(.|\n)*events: clip_id"):
        query(folder, "SELECT nothing FROM clips")


def test_a_folder_that_is_called_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    write_parquet(clip("a", 4, 0.5), tmp_path / "take=3" / "coefficients" / "a.parquet")
    assert query(tmp_path / "take=3", "FROM coefficients").column_names == SCHEMA.names


def test_copy_to_a_file_of_sql_that_is_trusted(folder: Path, tmp_path: Path):
    copy = f"COPY (SELECT clip_id, frame_index FROM coefficients) TO '{tmp_path / 'x.csv'}' (HEADER)"
    query(folder, copy, unsafe=True)
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 13


def test_missing_kinds_are_empty_views(folder: Path):
    for file in (folder / "raw").iterdir():
        file.unlink()
    assert query(folder, "SELECT count(*) AS n, max(clip_id) AS c FROM raw").to_pydict() == {
        "n": [0],
        "c": [None],
    }


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", r'syntax error at or near "SELEC"(.|\n)*LINE 1: SELEC 1\n        \^'),
        ("SELECT nothing FROM raw", r'"nothing" not found(.|\n)*LINE 1: SELECT nothing FROM raw\n {15}\^'),
        ("SELECT * FROM elsewhere", r"elsewhere does not exist(.|\n)*LINE 1: (.|\n)*\^"),
        ("SELECT CAST('x' AS INT)", "Could not convert string"),
        ("SELECT 1; SELECT nothing FROM raw", '"nothing" not found'),
        ("", "the query is empty"),
        ("-- nothing", "the query is empty"),
    ],
)
def test_wrong_sql_is_refused_at_once(
    folder: Path, sql: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one regressor wrote every table, no other table could make sense of it."""
    asked: list[bool] = []

    def counted(
        folder: Path,
        mixed: bool = False,
        unsafe: bool = False,
        views: Any = VIEWS,
        macros: Any = COUNTED,
    ) -> object:
        asked.append(mixed)
        return connect(folder, mixed, unsafe, views, macros)

    monkeypatch.setattr("facecap_batch.output.query.connect", counted)
    with pytest.raises(BadQuery, match=message):
        query(folder, sql)
    assert asked in ([False], [False, False])  # with the views that are named, and to say which there are


def test_an_unknown_column_is_answered_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(BadQuery) as raised:
        query(folder, "SELECT jawOpened FROM coefficients")
    text = str(raised.value)
    assert f"\ncoefficients and raw: {', '.join(SCHEMA.names)}\n" in text
    assert text.endswith("\nclips: clip_id, status, regressor_sha256")


def test_columns_of_a_second_regressor_are_found(folder: Path) -> None:
    """Until a rerun has done every clip again, tables of two regressors may lie side by side."""
    made = with_tongue(clip("~another", 4, 0.5))
    write_parquet(made, folder / "coefficients" / "~another.parquet")  # the last of the three
    asked = "SELECT count(tongueOut) AS n, count(*) AS rows FROM coefficients"
    for regressors in (["5ha"] * 2 + ["another"], ["5ha"] * 2 + [None]):  # None: not done again yet
        rows = pa.table({"clip_id": ["öne", "two?", "~another"], "regressor_sha256": regressors})
        pq.write_table(rows, folder / "clips.parquet")
        assert query(folder, asked).to_pydict() == {"n": [4], "rows": [16]}
        with pytest.raises(BadQuery, match=r"coefficients: .*tongueOut\n"):
            query(folder, "SELECT nothing AS x FROM coefficients")


def test_wrong_folder_is_named(tmp_path: Path):
    with pytest.raises(BadQuery, match="not a folder"):
        query(tmp_path / "nowhere", "SELECT 1")
    with pytest.raises(BadQuery, match="--output folder"):
        query(tmp_path, "SELECT 1")
    (tmp_path / "clips.parquet").write_bytes(b"nonsense")
    with pytest.raises(BadQuery, match="cannot be read"):
        query(tmp_path, "SELECT * FROM clips")


def test_without_duckdb_the_install_line_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(BadQuery, match=r"pip install '\.\[query\]'"):
        query(folder, "SELECT 1")
