"""The reports of a run, whatever a manifest calls its columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from facecap_batch.clip import Clip
from facecap_batch.output.query import query
from facecap_batch.output.reports import (
    CLIPS_NAME,
    SCHEMA,
    BadReports,
    carried_names,
    clips_of,
    read_reports,
    write_clips,
)
from facecap_batch.runs.manifest import read_manifest
from tests.support.reports import write_reports

NAMES = [
    ["status", "manifest_status"],
    ["manifest_status", "status", "manifest_status_2"],
    ["Status", "STATUS", "manifest_sTaTuS"],
    ["Scene", "scene", "SCENE"],
    ["straße", "STRASSE"],
    ["=1+1", "select", "a b", 'quote"d', "it's", "名前", "%s", "*", "."],
    [
        *(
            name
            for name in SCHEMA.names
            if name not in ("path", "clip_id", "start", "end", "actor", "timecode")
        )
    ],
]


@pytest.mark.parametrize("names", NAMES, ids=lambda names: names[0])
def test_columns_are_distinct_and_every_tool_reads_them(tmp_path: Path, names: list[str]) -> None:
    values = {name: f"value of {name}" for name in names}
    write_clips(tmp_path, [Clip("a", "/a.mp4", extra=values), Clip("b", "/b.mp4")], {})
    written = pq.read_table(tmp_path / CLIPS_NAME)
    assert len({name.casefold() for name in written.column_names}) == len(SCHEMA.names) + len(names)
    columns = carried_names(names)
    assert {name: written[columns[name]][0].as_py() for name in names} == values
    pytest.importorskip("duckdb")
    for name in names:
        quoted = '"{}"'.format(columns[name].replace('"', '""'))
        answer = query(tmp_path, f"SELECT {quoted} AS x FROM clips WHERE clip_id = 'a'")
        assert answer["x"].to_pylist() == [values[name]]


def test_columns_keep_their_names_when_the_table_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,status,manifest_status,Frames\na.mp4,s1,ms1,12\n")
    write_clips(tmp_path, read_manifest(tmp_path / "m.csv").clips, {})
    first = pq.read_table(tmp_path / CLIPS_NAME)
    write_clips(tmp_path, clips_of(first.to_pylist()), {})
    again = pq.read_table(tmp_path / CLIPS_NAME)
    assert again.column_names == first.column_names
    assert again.column_names[len(SCHEMA.names) :] == [
        "manifest_status_2",
        "manifest_status",
        "manifest_Frames",
    ]
    assert again["manifest_status_2"].to_pylist() == ["s1"] and again["manifest_status"].to_pylist() == [
        "ms1"
    ]


def test_a_folder_of_an_earlier_version_lacks_the_later_columns(tmp_path: Path) -> None:
    write_reports(tmp_path, [Clip("a", "/a.mp4", extra={"scene": "s1"})])
    written = pq.read_table(tmp_path / CLIPS_NAME)
    pq.write_table(written.drop_columns(["landmarks", "people", "shots"]), tmp_path / CLIPS_NAME)
    (row,) = read_reports(tmp_path)[1]
    assert set(row) == {*SCHEMA.names, "scene"} and row["landmarks"] is None and row["clip_id"] == "a"
    assert clips_of([row])[0].extra == {"scene": "s1"}
    pq.write_table(written.drop_columns(["status"]), tmp_path / CLIPS_NAME)
    with pytest.raises(BadReports, match=r"clips\.parquet: the column status is missing; run the manifest"):
        read_reports(tmp_path)
