"""Output folders whose files were changed by somebody or something: what is broken is named and done again,
and nothing else is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import call
from tests.support.runs import results, write_clips
from tests.support.tables import change_value


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Of a run of two short clips; its output folder is the last argument but three."""
    folder = tmp_path_factory.mktemp("damaged files")
    manifest = write_clips(folder, {"one": 6, "two": 6})
    return [
        *("run", manifest, "--backend", "onnxruntime-cpu"),
        *("--output", folder / "out", "--workers", 1, "--quiet"),
    ]


@pytest.fixture
def output(command: list[object], capsys: pytest.CaptureFixture[str]) -> Path:
    """The finished folder; each test leaves it whole."""
    assert call(capsys, *command)[0] == 0
    return Path(str(command[-4]))


def rot(path: Path) -> None:
    """Change a byte in the middle; size and time stay."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["coefficients/one.parquet", "fbx/one.fbx", "raw/one.parquet"])
def test_rot_of_the_same_size_is_found_and_done_again(
    command: list[object], output: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    before, decoded = results(output), (output / "raw/two.parquet").stat().st_mtime_ns
    rot(output / kind)
    assert call(capsys, *command)[0] == 0 and results(output) != before  # sizes say nothing
    code, said, _ = call(capsys, *command[:-1], "--verify")
    assert code == 0 and results(output) == before, said
    assert (output / "raw/two.parquet").stat().st_mtime_ns == decoded
    assert call(capsys, *command, "--verify")[0] == 0 and results(output) == before


@pytest.mark.parametrize("kind", ["coefficients", "raw"])
def test_a_changed_number_in_a_compact_file_is_found_and_done_again(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *("run", write_clips(tmp_path, {"one": 6, "two": 6}), "--backend", "onnxruntime-cpu"),
        *("--output", tmp_path / "out", "--workers", 1),
    ]
    assert call(capsys, *command)[0] == 0
    before = results(tmp_path / "out")
    assert call(capsys, "compact", tmp_path / "out", "--remove-originals")[0] == 0
    change_value(tmp_path / f"out/compact/{kind}-00000.parquet", "one")
    code, said, _ = call(capsys, *command, "--verify")
    assert code == 0, said
    again = results(tmp_path / "out")
    redone = {"fbx/one.fbx", "fbx/two.fbx", "coefficients/one.parquet", f"{kind}/one.parquet"}
    assert again == {name: before[name] for name in redone}


def test_a_damaged_table_is_named_with_advice(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = output / "coefficients/one.parquet"
    kept = table.read_bytes()
    for data in (kept[: len(kept) // 2], kept[:50] + bytes(50) + kept[100:-50] + bytes(50)):
        table.write_bytes(data)
        code, _, errors = call(capsys, "export", output, "--format", "livelink")
        assert code == 1 and str(table) in errors and "--verify" in errors
        code, _, errors = call(
            capsys, "query", output, "SELECT sum(jawOpen), sum(mouthClose) FROM coefficients"
        )
        assert code == 2 and "one.parquet" in errors and "--verify" in errors
    table.write_bytes(kept)


def test_records_without_checksums_count(
    command: list[object], output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = output / "ledger/one.json"
    record = json.loads(path.read_text())
    assert record["checksums"].keys() == record["outputs"].keys()
    del record["checksums"]
    path.write_text(json.dumps(record))
    times = {name: (output / name).stat().st_mtime_ns for name in results(output)}
    assert call(capsys, *command, "--verify")[0] == 0
    assert times == {name: (output / name).stat().st_mtime_ns for name in results(output)}


def test_a_broken_record_costs_its_clip_a_repetition(
    command: list[object], output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = output / "ledger/one.json"
    whole, before = json.loads(path.read_text()), results(output)
    path.write_text(json.dumps({**whole, "frames": "6"}))
    assert call(capsys, "status", output)[0] == 0
    assert call(capsys, *command)[0] == 0
    again = json.loads(path.read_text())
    assert again["outputs"] == whole["outputs"] and results(output) == before


@pytest.mark.parametrize("name", ["run.json", "clips.parquet"])
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"state": 5}', b"[" * 100_000, b"PAR1", b"\xff"])
def test_broken_reports_are_named_and_written_anew(
    command: list[object], output: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (output / name).write_bytes(content)
    for looking in (("status", output), ("retry", output), ("export", output, "--format", "livelink")):
        code, _, errors = call(capsys, *looking)
        assert code == 2 and name in errors and "run the manifest again" in errors
    code, said, _ = call(capsys, *command)
    assert code == 0 and "2 of them by earlier runs" in said
    assert call(capsys, "status", output)[0] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"started_at": "yesterday"},
        {"started_at": "2026-01-01T00:00:00"},
        {"elapsed_s": "long"},
        {"frames": None},
        {"config": 5},
        {"config": {"engines": 5}},
        {"manifest": None},
        {"hosts": {}},
    ],
)
def test_a_report_of_wrong_types_ends_no_command(
    command: list[object], output: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    report = json.loads((output / "run.json").read_text())
    (output / "run.json").write_text(json.dumps({**report, **changes}))
    assert call(capsys, "retry", output)[0] == 2
    assert call(capsys, "status", output)[0] in (0, 2)
    assert call(capsys, *command)[0] == 0
