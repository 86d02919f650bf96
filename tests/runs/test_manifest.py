"""Manifests as people write them: every format, every fault, before anything runs."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facecap_batch.errors import BadManifest
from facecap_batch.runs.footage.naming import MAX_CLIP_ID_BYTES
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.timecode import parse_rate, parse_time

CLIPS = [
    {"path": "a/take 1.mp4", "clip_id": "", "start": "1.1", "end": "00:00:02.5", "scene": "12"},
    {"path": "/absolute/Grüße.mov", "clip_id": "greeting", "start": "", "end": "", "scene": "13"},
]


def manifest(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def as_csv(newline: str = "\n", delimiter: str = ",") -> str:
    lines = [delimiter.join(CLIPS[0])] + [delimiter.join(row.values()) for row in CLIPS]
    return newline.join(lines) + newline


def write(folder: Path, kind: str) -> Path:
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(CLIPS), folder / "m.parquet")
        return folder / "m.parquet"
    if kind == "json lines":
        rows = [{name: value or None for name, value in row.items()} for row in CLIPS]
        rows[0]["start"] = 1.1  # a number; exact all the same
        return manifest(folder, "\n".join(map(json.dumps, rows)), "m.jsonl")
    text = {
        "csv": as_csv(),
        "bom": "\ufeff" + as_csv(),
        "crlf": as_csv("\r\n"),
        "bom and crlf": "\ufeff" + as_csv("\r\n"),
        "semicolons": as_csv(delimiter=";"),
        "blank lines": "\n" + as_csv() + "\n,,,,\n",
        "quoted": as_csv().replace("12", '"12"'),
    }[kind]
    return manifest(folder, text)


@pytest.mark.parametrize(
    "kind",
    [
        "csv",
        "bom",
        "crlf",
        "bom and crlf",
        "semicolons",
        "blank lines",
        "quoted",
        "parquet",
        "json lines",
    ],
)
def test_every_format_gives_the_same_clips(tmp_path: Path, kind: str) -> None:
    first, second = read_manifest(write(tmp_path, kind)).clips
    assert (first.clip_id, first.path) == ("take 1", str(tmp_path / "a/take 1.mp4"))
    assert first.source == "a/take 1.mp4"
    assert (first.start, first.end) == (Fraction(11, 10), Fraction(5, 2))
    assert (second.clip_id, second.path) == ("greeting", "/absolute/Grüße.mov")
    assert (second.start, second.end) == (None, None)
    assert [clip.extra for clip in (first, second)] == [{"scene": "12"}, {"scene": "13"}]
    assert [clip.row for clip in (first, second)] == [1, 2]


def test_known_columns_are_not_carried(tmp_path: Path) -> None:
    text = "path,actor,timecode,timecode_fps,start,end\nx.mp4,Ada,01:00:00:00,25,00:00:01:05,00:00:02:00\n"
    (clip,) = read_manifest(manifest(tmp_path, text)).clips
    assert (clip.actor, clip.timecode, clip.extra) == ("Ada", "01:00:00:00", {})
    assert (clip.start, clip.end) == (Fraction(6, 5), 2)


def test_default_ids_are_stems_made_unique_in_order(tmp_path: Path) -> None:
    text = "path,clip_id\na/take.mp4,\nb/take.mov,\nc/x.mp4,TAKE-2\nd/Take.mp4,\n"
    assert [clip.clip_id for clip in read_manifest(manifest(tmp_path, text)).clips] == [
        "take",
        "take-3",
        "TAKE-2",
        "Take-4",
    ]


@pytest.mark.parametrize(
    ("path", "clip_id"),
    [
        ("..mp4", "clip"),
        ("a:b?.mp4", "a_b_"),
        ("con.mp4", "clip-con"),
        ("s3://bucket/f%C3%B6n.mp4", "fön"),
        ("x" * 300 + ".mp4", "x" * (MAX_CLIP_ID_BYTES - 12)),
        ("名前" * 100 + ".mp4", "名前" * 31),
    ],
)
def test_default_ids_are_safe_file_names(tmp_path: Path, path: str, clip_id: str) -> None:
    (clip,) = read_manifest(manifest(tmp_path, f"path\n{path}\n")).clips
    assert clip.clip_id == clip_id


def test_uris_stay_as_they_are(tmp_path: Path) -> None:
    clips = read_manifest(manifest(tmp_path, "path\ns3://bucket/a.mp4\nfile:///data/b%20c.mp4\n")).clips
    assert [clip.path for clip in clips] == ["s3://bucket/a.mp4", "/data/b c.mp4"]


def test_every_bad_row_is_named_with_its_reason(tmp_path: Path) -> None:
    text = (
        "path,clip_id,start,end,timecode\n"
        ",a,,\n"  # 1
        "x.mp4,same,,\n"
        "y.mp4,same,,\n"  # 3
        "z.mp4,up/down,,\n"  # 4
        "z.mp4,.hidden,soon,\n"  # 5, twice
        "z.mp4,b,5,4\n"  # 6
        "z.mp4,c,00:00:01:05,\n"  # 7
        "z.mp4,d,-1,\n"  # 8
        "z.mp4,e,3,3\n"  # 9
        "z.mp4,fine,3,4\n"
        "z.mp4,f,3,4,,5\n"  # more fields than columns
        "z.mp4,g,x,,noon\n"  # 12, twice
    )
    with pytest.raises(BadManifest) as caught:
        read_manifest(manifest(tmp_path, text))
    message = str(caught.value)
    assert "12 problem(s)" in message and "nothing was run" in message
    for telling in (
        "row 1: path is empty",
        "row 3: clip_id 'same' is already used by row 2",
        "row 4: clip_id 'up/down' cannot be a file name",
        "row 5: start: 'soon' is not a time",
        "row 5: clip_id '.hidden'",
        "row 6: end (4) is not after start (5)",
        "row 7: start: '00:00:01:05' counts frames",
        "row 8: start: '-1'",
        "row 9: end (3) is not after start (3)",
        "row 12: start: 'x'",
        "row 12: timecode: 'noon' is not a timecode",
        "line 12: 6 fields under 5 columns",
    ):
        assert telling in message, message
    assert "fine" not in message


@pytest.mark.parametrize(
    ("name", "content", "telling"),
    [
        ("m.csv", b"", "empty"),
        ("m.csv", b"\r\n\r\n", "empty"),
        ("m.csv", b"path,clip_id\n", "no rows"),
        ("m.csv", b"file,clip_id\nx.mp4,a\n", "no 'path' column; found: 'file', 'clip_id'"),
        ("m.csv", b"path,path\nx.mp4,y.mp4\n", "given twice: path"),
        ("m.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not UTF-8"),
        ("m.csv", b"path\nx\x00y.mp4\n", "binary"),
        ("m.csv", "path\nx.mp4\n".encode("utf-16"), "not UTF-8"),
        ("m.csv", b'path\n"x.mp4\n', "not CSV"),
        ("m.jsonl", b'{"path": "x.mp4"}\n{"file": 1}\nnot json\n', "line 3: not JSON"),
        ("m.parquet", b"path\nx.mp4\n", "not a Parquet file"),
        ("m.xlsx", b"PK", "ends in .csv, .parquet or .jsonl"),
        ("m.mp4", b"\x00\x00\x00\x20ftypisom", "ends in .csv, .parquet or .jsonl, not '.mp4'"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, name: str, content: bytes, telling: str) -> None:
    with pytest.raises(BadManifest, match=r".") as caught:
        read_manifest(manifest(tmp_path, content, name))
    assert telling in str(caught.value)


def test_parquet_without_path_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file": ["x.mp4"]}), tmp_path / "m.parquet")
    with pytest.raises(BadManifest, match="no 'path' column"):
        read_manifest(tmp_path / "m.parquet")


def test_a_missing_manifest_and_a_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="No such file"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(BadManifest, match="is a folder, not a manifest; a manifest is a file"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("text", "rate", "seconds"),
    [
        ("0", None, Fraction(0)),
        ("12.34", None, Fraction(617, 50)),
        ("1e-2", None, Fraction(1, 100)),
        ("01:02:03", None, Fraction(3723)),
        ("1:02:03.5", None, Fraction(7447, 2)),
        ("02:03", None, Fraction(123)),
        ("00:00:10:12", "24", Fraction(21, 2)),
        ("00:00:01:00", "29.97", Fraction(1001, 1000)),
        ("00:01:00;02", "29.97", Fraction(1800 * 1001, 30000)),  # the label after 00:00:59;29
        ("01:00:00;00", "30000/1001", Fraction(107892 * 1001, 30000)),
        ("00:01:00;04", "59.94", Fraction(3600 * 1001, 60000)),
    ],
)
def test_times(text: str, rate: str | None, seconds: Fraction) -> None:
    assert parse_time(text, rate) == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("-1", None),
        ("1,5", None),
        ("nan", None),
        ("1e999", None),
        ("00:61:00", None),
        ("00:00:01:25", "25"),
        ("00:01:00;00", "29.97"),
        ("00:00:01;00", "25"),
        ("00:00:01:00", "fast"),
        ("00:00:01:00", "0"),
    ],
)
def test_what_is_no_time(text: str, rate: str | None) -> None:
    with pytest.raises(ValueError):
        parse_time(text, rate)


def test_rates_with_few_digits_mean_their_fraction() -> None:
    assert parse_rate("23.976") == parse_rate("23.98") == Fraction(24000, 1001)
    assert parse_rate("59.94") == Fraction(60000, 1001)
    assert parse_rate("25") == 25


def test_rows_may_name_folders_globs_and_sequences(tmp_path: Path) -> None:
    for name in (
        "day/b.mp4",
        "day/a.mov",
        "day/notes.txt",
        "day/deep/c.mp4",
        "shot/x.0001.png",
        "shot/x.0002.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    rows = ["path,clip_id,actor,sequence_fps", "day,,Ada,", "day/**/c*,see,,", "shot,,,24"]
    rows += ["shot/x.%04d.png,shot,,29.97", "shot/x.0001.png,,,", "gone.mp4,,,", "shot/x.####.png,,,"]
    clips = read_manifest(manifest(tmp_path, "\n".join(rows))).clips
    assert [(clip.row, clip.clip_id, clip.source) for clip in clips] == [
        (1, "a", "day/a.mov"),
        (1, "b", "day/b.mp4"),
        (2, "see", "day/deep/c.mp4"),
        (3, "x", "shot/x.%04d.png@24"),
        (4, "shot", "shot/x.%04d.png@30000:1001"),
        (5, "x.0001", "shot/x.0001.png"),
        (6, "gone", "gone.mp4"),
        (7, "x-2", "shot/x.%04d.png@25"),
    ]
    assert [clip.actor for clip in clips[:3]] == ["Ada", "Ada", None] and clips[0].extra == {}
    assert all(Path(clip.path) == tmp_path / clip.source for clip in clips)


def test_rows_that_stand_for_nothing_or_for_too_much_are_named(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"?")
    rows = ["path,clip_id,sequence_fps", "none,,", "*.mp4,one,", "z*.mp4,,", "s.%03d.png,,", "*.png,,fast"]
    with pytest.raises(BadManifest) as caught:
        read_manifest(manifest(tmp_path, "\n".join(rows)))
    for line in (
        "row 1: path: none: no video and no image lies in this folder",
        "row 2: clip_id 'one' is the name of one clip, and path stands for 2",
        "row 3: path: z*.mp4: no video and no image matches",
        "row 4: path: s.%03d.png: no image of this sequence is there",
        "row 5: path: 'fast' is not a frame rate",
    ):
        assert line in str(caught.value)
