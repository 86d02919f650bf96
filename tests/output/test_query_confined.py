"""What SQL from others may not do: open a file that is no table of the folder, write any, ask the network."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import facecap_batch
from facecap_batch.output.query import BadQuery, connect, query
from tests.support.commands import call

duckdb = pytest.importorskip("duckdb")

TABLE = pa.table({"clip_id": ["a", "b"], "jawOpen": [0.25, 0.75]})
variable = pa.table({"secret": [1]})  # what a name in SQL could stand for


def fill(folder: Path) -> Path:
    for name in ("coefficients/a.parquet", "raw/a.parquet", "clips.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(TABLE, folder / name)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output folder; beside it, and in it, files that are nobody's business."""
    work = tmp_path / "work"
    folder = fill(work / "out it's [1]*")
    for place in (work, folder):
        pq.write_table(TABLE, place / "other.parquet")
        (place / "other.csv").write_text("a,b\n1,2\n")
        (place / "other.json").write_text('{"a": 1}')
    with duckdb.connect(str(work / "other.db")) as other:
        other.execute("CREATE TABLE t AS SELECT 1 AS x")
    monkeypatch.chdir(work)
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}


READS = [
    "SELECT * FROM read_parquet('{0}/other.parquet')",
    "SELECT * FROM 'other.parquet'",
    "SELECT * FROM '{0}/other.csv'",
    "SELECT * FROM read_csv('other.csv')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{0}/../other.db')",
    "SELECT * FROM read_json('other.json')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM glob('{0}/*')",
    "SELECT * FROM parquet_metadata('other.parquet')",
    "SELECT * FROM parquet_schema('{0}/raw/../other.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('{0}/raw/*')",
    "SELECT * FROM read_parquet(['{0}/raw/a.parquet', 'other.parquet'])",
    "SELECT * FROM read_parquet('https://127.0.0.1:9/x.parquet')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT * FROM variable",
    "SELECT * FROM TABLE",
    "ATTACH 'other.db' AS other",
    "ATTACH '/etc/passwd' (TYPE sqlite)",
    "IMPORT DATABASE '.'",
    "CREATE TABLE t AS SELECT * FROM read_csv('other.csv')",
    "EXPLAIN ANALYZE SELECT * FROM read_csv('other.csv')",
    "PIVOT read_csv('other.csv') ON a USING count(*)",
    "SELECT * FROM query('SELECT * FROM read_csv(''other.csv'')')",
    "SELECT 1; SELECT * FROM read_csv('other.csv')",
]
TO_TABLE = "'{0}/raw/a.parquet' (FORMAT parquet, USE_TMP_FILE false)"
WRITES = [
    "COPY raw TO 'new.csv'",
    "COPY (SELECT 1) TO '{0}/new.parquet'",
    f"COPY (SELECT 1) TO {TO_TABLE}",
    f"EXPLAIN ANALYZE COPY (SELECT 1) TO {TO_TABLE}",
    f"PREPARE p AS COPY (SELECT 1) TO {TO_TABLE}; EXECUTE p",
    f"SELECT 1; COPY (SELECT 1) TO {TO_TABLE}",
    "EXPORT DATABASE 'new'",
    "ATTACH 'new.db' AS fresh",
    "COPY FROM DATABASE memory TO fresh",
    "PRAGMA profiling_output = 'new.json'",
    "SET profiling_output = 'new.json'",
    "SET log_query_path = 'new.log'",
    "CALL enable_logging(storage = 'file', storage_config = {{'path': 'new'}})",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
]
LIFTS = [
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "SET allowed_paths = ['/etc/passwd']",
    "SET allowed_directories = ['/']",
    "SET lock_configuration = false",
    "SET temp_directory = 'new'",
    "SET python_enable_replacements = true",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD 'other.db'",
]


@pytest.mark.parametrize("sql", [*READS, *WRITES, *LIFTS])
def test_sql_reads_the_tables_and_writes_nothing(folder: Path, sql: str) -> None:
    before = contents(folder)
    with pytest.raises(BadQuery, match=r"."):
        query(folder, sql.format(str(folder).replace("'", "''")))
    assert contents(folder) == before


def test_what_is_refused_says_how_it_is_lifted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for sql in ("SELECT * FROM read_csv('other.csv')", "COPY raw TO 'new.csv'"):
        code, _, said = call(capsys, "query", folder, sql)
        assert code == 2 and "--unsafe-sql" in said
        assert call(capsys, "query", folder, sql, "--unsafe-sql")[0] == 0
        with pytest.raises(BadQuery, match="unsafe=True"):
            facecap_batch.query(folder, sql)
        facecap_batch.query(folder, sql, unsafe=True)
    assert Path("new.csv").read_text().count("\n") == 3


@pytest.mark.parametrize(
    "sql",
    [
        *(
            "FROM raw",
            "DESCRIBE raw",
            "SUMMARIZE raw",
            "SHOW TABLES",
            "EXPLAIN SELECT * FROM raw",
            "VALUES (1)",
        ),
        "EXPLAIN ANALYZE SELECT * FROM raw",
        "PIVOT raw ON clip_id USING avg(jawOpen)",
        "CREATE TEMP TABLE t AS FROM raw; INSERT INTO t FROM raw; SELECT count(*) FROM t",
        "CREATE MACRO twice(x) AS 2 * x; SELECT twice(jawOpen) FROM raw",
        "SET VARIABLE least = 0.5; SELECT * FROM raw WHERE jawOpen > getvariable('least')",
        "SELECT '2026-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Berlin', to_json(raw) FROM raw",
    ],
)
def test_sql_over_the_tables_is_answered(folder: Path, sql: str) -> None:
    assert query(folder, sql).num_rows


@pytest.mark.parametrize("name", ["out", "./out", "../work/out", "link"])
def test_folders_may_be_named_as_one_likes(folder: Path, name: str) -> None:
    fill(Path("out"))
    Path("link").symlink_to("out")
    assert query(name, "SELECT * FROM raw JOIN coefficients USING (clip_id)").num_rows == 2
    with pytest.raises(BadQuery, match=r"other\.csv"):
        query(name, "SELECT * FROM read_csv('other.csv')")


def test_a_connection_for_many_queries_opens_the_tables_alone(folder: Path) -> None:
    with connect(folder) as connection:
        assert connection.sql("SELECT * FROM raw").fetchall() == [("a", 0.25), ("b", 0.75)]
        with pytest.raises(duckdb.PermissionException):
            connection.sql("SELECT * FROM read_csv('other.csv')")


def test_folders_behind_a_uri_are_confined_too(folder: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path, content in contents(folder).items():
        if path.is_relative_to(folder):
            memory.pipe_file(f"/confined/out/{path.relative_to(folder)}", content)
    memory.pipe_file("/confined/other.csv", b"a,b\n1,2\n")
    assert query("memory://confined/out", "SELECT * FROM raw").num_rows == 2
    for sql in (
        "SELECT * FROM read_csv('memory://confined/other.csv')",
        "SELECT * FROM read_csv('other.csv')",
        "SELECT * FROM read_parquet('memory://confined/out/raw/../other.parquet')",
        "COPY raw TO 'memory://confined/new.csv'",
    ):
        with pytest.raises(BadQuery, match=r"."):
            query("memory://confined/out", sql)
    assert not memory.exists("/confined/new.csv")
    memory.rm("/confined", recursive=True)
