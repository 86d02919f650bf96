"""Manifests of every format, read as `run` does it, with the tables and file names that follow from them."""

from __future__ import annotations

import csv
import datetime
import io
import json
import random
import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.clip import CLIPS_NAME
from facecap_batch.output.input_identity import identify_all
from facecap_batch.output.reports import clips_of, write_clips
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.storage.remote import is_uri
from tests.support.fuzz_targets.target import SECRET, Target
from tests.support.fuzzing import BYTES, HARD_VALUES, TEXT, Mutator, changed_value

MAX_NAMED = 50  # clips whose files are made
PARQUET = b"PAR1"  # what a Parquet file begins with
ROWS: tuple[dict[str, Any], ...] = (
    {
        "path": "a.mp4",
        "clip_id": "take 1",
        "start": "1.5",
        "end": "00:00:02.5",
        "actor": "Ada",
        "scene": "12",
    },
    {"path": "a.mp4", "clip_id": "", "start": "00:00:01:05", "timecode_fps": "25", "timecode": "01:00:00:00"},
    {"path": "shot.%04d.png", "clip_id": "", "sequence_fps": "24", "status": "s", "manifest_status": "m"},
    {"path": f"../needed/{SECRET}/private.mp4", "clip_id": "名前 é", "scene": "=1+1"},
    {"path": "folder", "clip_id": ""},
    {"path": "*.mov", "clip_id": ""},
    {"path": "https://[::1]:9/a.mp4", "clip_id": "remote"},
)
COLUMNS = tuple(dict.fromkeys(name for row in ROWS for name in row))
TYPED = {
    "when": pa.array([datetime.datetime(2026, 1, 2), None], pa.timestamp("ns")),
    "zoned": pa.array([0, 1], pa.timestamp("us", "Europe/Berlin")),
    "length": pa.array([1, None], pa.duration("ns")),
    "price": pa.array([Decimal("1.50"), None]),
    "tags": pa.array([["a"], []]),
    "box": pa.array([{"x": 1.5}, None]),
    "digest": pa.array([b"\x00\xff", None]),
    "kind": pa.array(["x", "y"]).dictionary_encode(),
    "start": pa.array([0.5, float("nan")]),
}


def inputs(folder: Path) -> list[bytes]:
    """One of each format, with what they name beside the place where they are read from."""
    (folder / SECRET / "private.mp4").write_bytes(b"private")
    given = folder.parent / "given"
    for name in ("a.mp4", "b.mov", "shot.0001.png", "shot.0002.png", "folder/c.mp4"):
        (given / name).parent.mkdir(parents=True, exist_ok=True)
        (given / name).write_bytes(b"?")
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    typed = pa.table({"path": ["a.mp4", "b.mov"], **TYPED})
    return [
        _as_csv(ROWS, ",").encode(),
        ("\ufeff" + _as_csv(ROWS, ";").replace("\n", "\r\n")).encode(),
        _as_csv(ROWS[:2], "\t").encode(),
        lines.encode(),
        _as_parquet(_table(ROWS)),
        _as_parquet(typed),
    ]


def take(path: Path) -> None:
    """Read the manifest at `path`; write and read what a run writes of it before it begins.

    Raises:
        BadManifest: It is refused.
        AssertionError: It is taken, and something of it cannot be kept.
    """
    data = path.read_bytes()
    suffix = (
        ".parquet" if data.startswith(PARQUET) else ".jsonl" if data.lstrip()[:1] == b"{" else path.suffix
    )
    manifest = path.with_name(f"manifest{suffix}")
    manifest.write_bytes(data)
    output = path.with_name("out")
    output.mkdir()
    try:
        clips = read_manifest(manifest).clips
        identify_all([clip for clip in clips if not is_uri(clip.path)])
        write_clips(output, clips, {})
        table = pq.read_table(output / CLIPS_NAME)
        assert len({name.casefold() for name in table.column_names}) == table.num_columns
        assert [clip.clip_id for clip in clips_of(table.to_pylist())] == [clip.clip_id for clip in clips]
        for clip in clips[:MAX_NAMED]:
            (output / f"{clip.clip_id}.parquet").touch(exist_ok=False)
    finally:
        manifest.unlink()
        shutil.rmtree(output)


def _as_csv(rows: Sequence[dict[str, Any]], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """`rows` with the columns of all of them; Arrow takes those of the first."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])


def _as_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _value_changed(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """The file stays one of its format, and says something else."""
    if data.startswith(PARQUET):  # not read: it may be damaged already
        try:
            return _as_parquet(_table(changed_value(rng, list(ROWS))))
        except (pa.ArrowException, AttributeError, TypeError, ValueError, OverflowError):
            return data  # Arrow writes no such table
    lines = data.split(b"\n")
    number = rng.randrange(len(lines))
    try:
        value = json.loads(lines[number])
        lines[number] = json.dumps(changed_value(rng, value)).encode()
    except (ValueError, RecursionError):
        cells = lines[number].split(b",")
        text = str(rng.choice(HARD_VALUES)).encode("utf-8", "surrogatepass")
        cells[rng.randrange(len(cells))] = text
        lines[number] = b",".join(cells)
    return b"\n".join(lines)


MUTATORS: dict[str, Mutator] = {**BYTES, **TEXT, "value": _value_changed, "another value": _value_changed}
TARGET = Target(inputs=inputs, take=take, mutators=MUTATORS, suffixes=(".csv", ".jsonl", ".tsv", ".parquet"))
