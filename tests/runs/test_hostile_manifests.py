"""Manifests with bad intent or bad luck: nothing but clips or `BadManifest` with every bad row comes out."""

from __future__ import annotations

import datetime
import json
import os
import unicodedata
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facecap_batch.errors import BadManifest
from facecap_batch.runs.footage.manifest_columns import MAX_COLUMNS, MAX_TEXT
from facecap_batch.runs.manifest import manifest_of, read_manifest
from facecap_batch.text import printable

LONE = "half \ud800"
WIDE = ",".join(f"c{n}" for n in range(MAX_COLUMNS))


def refused(folder: Path, name: str, content: bytes | str) -> str:
    """What is said about a manifest that is refused."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadManifest, match=r".") as caught:
        read_manifest(path)
    return str(caught.value)


def parquet(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "m.parquet")
    return folder / "m.parquet"


@pytest.mark.parametrize(
    ("row", "telling"),
    [
        ({"path": "a.mp4", "note": LONE}, "note: 'half \\ud800' is no text"),
        ({"path": LONE}, "path: "),
        ({"path": "a.mp4", "clip_id": LONE}, "clip_id: "),
        ({"path": "a.mp4", LONE: 1}, "the name 'half \\ud800' cannot be kept"),
        ({"path": "a.mp4", "": 1}, "the name '' cannot be kept: it is empty"),
        ({"path": "a\0.mp4"}, "NUL character"),
        ({"path": "a.mp4", "note": "x" * (MAX_TEXT + 1)}, "note: longer than"),
        ({"path": ["a.mp4"]}, 'path is ["a.mp4"], and text is needed'),
        ({"path": {"file": "a.mp4"}}, "and text is needed"),
        ({"path": True}, "path is true, and text is needed"),
        ({"path": "a.mp4", "clip_id": ["x"]}, "clip_id is"),
        ({"path": "file://[x/a.mp4"}, "Invalid IPv6 URL"),
        ({"path": "file://a.mp4"}, "names no file"),
        ({"path": "http://[x/a.mp4"}, "is no address"),
        ({"path": "http://host:99999999/a.mp4"}, "is no address"),
        ({"path": "foo://x/y.mp4"}, "Protocol not known: foo"),
        ({"path": "a.mp4", "start": "9" * 400}, "start: "),
        ({"path": "a.mp4", "end": "9" * 400}, "end: "),
        ({"path": "a.mp4", "start": "0." + "1" * 5000}, "start: "),
    ],
    ids=lambda value: None if isinstance(value, str) else ascii(str(value))[:40],
)
def test_each_bad_row_of_json_lines_is_named(tmp_path: Path, row: dict[str, Any], telling: str) -> None:
    said = refused(tmp_path, "m.jsonl", '{"path": "good.mp4"}\n' + json.dumps(row) + "\n")
    assert telling in said and "1 problem(s)" in said
    assert "line 2" in said or "row 2" in said


@pytest.mark.parametrize(
    "value",
    ["[" * 100_000 + "]" * 100_000, "9" * 5000, "1e999999999999999999999", '"\x01"', "{", "nul", "'x'"],
    ids=lambda value: value[:8],
)
def test_what_no_json_reader_takes_is_named(tmp_path: Path, value: str) -> None:
    lines = ['{"path": "good.mp4"}', '{"path": "a.mp4", "n": ' + value + "}", "[]"]
    said = refused(tmp_path, "m.jsonl", "\n".join(lines))
    assert "line 2: not JSON" in said and "line 3: not an object" in said


def test_separators_inside_strings_end_no_line(tmp_path: Path) -> None:
    note = "a\u2028b\u2029c\x85d\u000be"
    rows = [{"path": "a.mp4", "note": note}, {"path": "b.mp4", "note": ""}]
    lines = [json.dumps(row, ensure_ascii=False).replace("\\u000b", "\\u000b") for row in rows]
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "m.jsonl").write_bytes(end.join(lines).encode())
        clips = read_manifest(tmp_path / "m.jsonl").clips
        assert [clip.extra["note"] for clip in clips] == [note, ""]


@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "m.jsonl"])
@pytest.mark.parametrize("content", ["\ufeff", "\ufeff\n", "\ufeff \r\n\t", "\u2028", "\x0b\n"])
def test_nothing_but_marks_and_spaces_is_empty(tmp_path: Path, name: str, content: str) -> None:
    assert "the manifest is empty" in refused(tmp_path, name, content)


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_each_line_that_is_no_utf8_is_named(tmp_path: Path, name: str) -> None:
    rows = {
        "m.csv": [b"path,note", b"a.mp4,Gr\xfc\xdfe", b"b.mp4,fine", b"c.mp4,\xe9,x"],
        "m.jsonl": [
            *(b'{"path": "z.mp4"}', b'{"path": "a\xff.mp4"}', b'{"path": "b.mp4"}', b'{"path": "\xc0\xaf"}'),
        ],
    }[name]
    said = refused(tmp_path, name, b"\n".join(rows))
    assert "line 2: not UTF-8 text" in said and "line 4: not UTF-8 text" in said
    assert "line 3" not in said


def test_every_line_that_is_no_csv_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, "m.csv", 'path,clip_id\n"a"b,x\nfine.mp4,\n"c"d,y\n,z\n')
    assert "line 2: not CSV" in said and "line 4: not CSV" in said and "row 4: path is empty" in said
    assert "3 problem(s)" in said


def test_headers_as_spreadsheets_leave_them_are_taken(tmp_path: Path) -> None:
    """Emptied columns at the end; the nameless one of an index at the beginning."""
    path = tmp_path / "m.csv"
    path.write_text(",path,scene,,\n0,a.mp4,12,,\n1,b.mp4,,,\n")
    clips = read_manifest(path).clips
    assert [clip.extra for clip in clips] == [
        {"column_1": "0", "scene": "12"},
        {"column_1": "1", "scene": ""},
    ]
    assert "4 fields under 3 columns" in refused(tmp_path, "n.csv", ",path,scene,\n0,a.mp4,12,lost\n")


def test_more_columns_than_a_table_bears_are_refused(tmp_path: Path) -> None:
    assert "at most" in refused(tmp_path, "m.csv", f"path,{WIDE}\na.mp4\n")
    rows = (json.dumps({"path": "a.mp4", f"c{n}": 1}) for n in range(2 * MAX_COLUMNS))
    assert f"more than {MAX_COLUMNS} names" in refused(tmp_path, "m.jsonl", "\n".join(rows))


@pytest.mark.parametrize(
    ("values", "carried"),
    [
        (pa.array([1, 10**18], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001", None]),
        (pa.array([0, None], pa.timestamp("us", "Europe/Berlin")), ["1970-01-01 00:00:00.000000Z", ""]),
        (pa.array([0, None], pa.timestamp("ms", "No/Where")), ["1970-01-01 00:00:00.000Z", ""]),
        (pa.array([1, None], pa.time64("ns")), ["00:00:00.000000001", ""]),
        (pa.array([datetime.date(2026, 1, 2), None]), ["2026-01-02", ""]),
        (pa.array([1, -1], pa.duration("ns")), ["0.000000001", "-0.000000001"]),
        (pa.array([b"\xff\x00", None], pa.binary()), ["ff00", ""]),
        (pa.array([["x"], None]), ['["x"]', ""]),
        (pa.array([{"a": Decimal("1.5")}, None]), ['{"a": "1.5"}', ""]),
        (pa.array(["x", None]).dictionary_encode(), ["x", ""]),
        (pa.array([1.5, float("nan")]), ["1.5", ""]),
        (pa.nulls(2), ["", ""]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_parquet_of_every_type_is_carried(tmp_path: Path, values: pa.Array, carried: list[str]) -> None:
    clips = read_manifest(parquet(tmp_path, path=["a.mp4", "b.mp4"], note=values)).clips
    found = [clip.extra["note"] for clip in clips]
    assert found[0] == carried[0] and carried[1] in (None, found[1])


@pytest.mark.parametrize(
    ("values", "row"),
    [
        (pa.array([0, 1 << 62], pa.timestamp("us")), "row 2: note: it cannot be read as text: value out of"),
        (pa.array([10**9, 0], pa.date32()), "row 1: note: it cannot be read as text: value out of range"),
        (pa.array([b"fine", b"\xff"]).view(pa.string()), "row 2: note: it cannot be read as text: "),
        (
            pa.array([[0], [1 << 62]], pa.list_(pa.timestamp("us"))),
            "row 2: note: it cannot be read as text: ",
        ),
        (pa.array(["\0", "fine"]), "row 1: note: '\\x00' is no text"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_parquet_values_that_are_no_text_are_named(tmp_path: Path, values: pa.Array, row: str) -> None:
    with pytest.raises(BadManifest, match=r".") as caught:
        read_manifest(parquet(tmp_path, path=["a.mp4", "b.mp4"], note=values))
    assert row in str(caught.value) and "1 problem(s)" in str(caught.value)


@pytest.mark.parametrize("column", ["path", "clip_id", "start", "actor"])
@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"a.mp4"]),
        pa.array([["a.mp4"]]),
        pa.array([{"file": "a.mp4"}]),
        pa.array([b"ab"], pa.binary(2)),
    ],
    ids=lambda value: str(value.type),
)
def test_parquet_columns_with_a_meaning_hold_text(tmp_path: Path, column: str, values: pa.Array) -> None:
    with pytest.raises(BadManifest, match=f"column '{column}' holds .*, and text is needed"):
        read_manifest(parquet(tmp_path, **{"path": ["a.mp4"], column: values}))


def test_a_text_that_all_rows_share_is_held_once(tmp_path: Path) -> None:
    """Else some kilobytes of Parquet take as much memory as they like: here 8 GB."""
    path = parquet(
        tmp_path,
        path=["a.mp4"] * 8000,
        note=pa.DictionaryArray.from_arrays(pa.array([0] * 8000, pa.int32()), ["x" * 10**6]),
    )
    before = pa.total_allocated_bytes()
    pool = pa.default_memory_pool()
    with pytest.raises(BadManifest, match="row 1: note: longer than"):
        read_manifest(path)
    assert (pool.max_memory() or 0) - before < 1 << 30


def test_lengths_of_time_are_seconds(tmp_path: Path) -> None:
    times = pa.array([datetime.timedelta(seconds=90, microseconds=1)], pa.duration("us"))
    (clip,) = read_manifest(parquet(tmp_path, path=["a.mp4"], start=times)).clips
    assert clip.start == Fraction(90_000_001, 1_000_000)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
        ("ΐ", "ΐ".upper()),
        ("می\u200cروم", "میروم"),
        ("Take", "tAKE"),
    ],
)
def test_ids_that_one_file_system_takes_for_one_are_twins(tmp_path: Path, one: str, other: str) -> None:
    said = refused(tmp_path, "m.csv", f"path,clip_id\na.mp4,{one}\nb.mp4,{other}\n")
    assert "row 2: clip_id" in said and "is already used by row 1" in said
    (tmp_path / "n.csv").write_text(f"path,clip_id\na.mp4,{one}\n{other}.mp4,\n")
    named, default = (clip.clip_id for clip in read_manifest(tmp_path / "n.csv").clips)
    assert named == unicodedata.normalize("NFC", one) and default.endswith("-2")


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u2028", "\u2029", "\x85", "\u200b", "\ufeff", "\x1b"])
def test_ids_show_what_they_are(tmp_path: Path, mark: str) -> None:
    row = json.dumps({"path": "a.mp4", "clip_id": f"take{mark}4pm"}, ensure_ascii=False)
    said = refused(tmp_path, "m.jsonl", row)
    assert "row 1: clip_id" in said and mark not in said
    (tmp_path / "n.jsonl").write_text(json.dumps({"path": f"take{mark}4pm.mp4"}), encoding="utf-8")
    (clip,) = read_manifest(tmp_path / "n.jsonl").clips
    assert clip.clip_id == "take_4pm" and clip.source == f"take{mark}4pm.mp4"


def test_problems_of_long_and_hidden_text_stay_lines(tmp_path: Path) -> None:
    said = refused(tmp_path, "m.csv", f'path,start\na.mp4,"x\n\x1b[2J{"y" * 100_000}"\n')
    assert len(said.splitlines()) == 2 and len(said) < 2000 and "\x1b" not in said
    assert printable("a\u202eb\x1bé 名") == "a\\u202eb\\x1bé 名"


@pytest.mark.parametrize("source", ["x" * 300, "x" * 5000, "d/" * 3000, "a\n.dat", "%d" * 200, "*" * 300])
def test_names_that_no_file_can_have_are_their_rows_failure(tmp_path: Path, source: str) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps({"path": source}))
    try:
        (clip,) = read_manifest(tmp_path / "m.jsonl").clips
    except BadManifest as error:
        assert "row 1: path: " in str(error)
    else:
        assert clip.source == source


def test_a_file_whose_name_is_no_text_is_named_before_anything_runs(tmp_path: Path) -> None:
    bad = os.fsencode(tmp_path) + b"/take\xff.mp4"
    with open(bad, "wb"):  # noqa: PTH123 - the name is bytes
        pass
    with pytest.raises(BadManifest, match=r"take\\udcff.mp4: the name cannot be kept.*rename the file"):
        manifest_of([tmp_path])
    (tmp_path / "m.csv").write_text("path\n.\n")
    with pytest.raises(BadManifest, match=r"row 1: path: .*take\\udcff.mp4"):
        read_manifest(tmp_path / "m.csv")


def test_what_is_no_file_is_no_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for name in ("m.csv", "zero.csv"):
        with pytest.raises(BadManifest, match="is a device or a pipe"):
            read_manifest(tmp_path / name)
    with pytest.raises(BadManifest, match="cannot read the manifest"):
        read_manifest("a\0.csv")


def test_many_rows_of_one_file_are_numbered_in_order(tmp_path: Path) -> None:
    """Names that differ in case share their numbers, or each of them would be tried against all others."""
    rows = ["path,clip_id", "take.mp4,take-3", *(["TAKE.mp4,", "take.mp4,"] * 3)]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    ids = [clip.clip_id for clip in read_manifest(tmp_path / "m.csv").clips]
    assert ids == ["take-3", "TAKE", "take-2", "TAKE-4", "take-5", "TAKE-6", "take-7"]
