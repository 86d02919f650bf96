"""Output folders that others remove, move or replace under a run: what it reports is what is on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from facecap_batch.output.ledger import Ledger, Record
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.runs.observers.progress import PlainDisplay
from facecap_batch.runs.run import RunSummary
from facecap_batch.runs.start import start_run
from tests.support.runs import results, rows, run_quietly, write_clips

CLIPS = {f"clip-{number}": 3 for number in range(7)}
THEIRS = "what another run reports"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), CLIPS)


@pytest.fixture(scope="module")
def clean(manifest: Path, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("clean") / "out"
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    return results(output)


def remove(output: Path) -> None:
    shutil.rmtree(output)


def move(output: Path) -> None:
    output.rename(output.with_name("moved"))


def replace(output: Path) -> None:
    move(output)
    output.mkdir()
    (output / "run.json").write_text(THEIRS)


def replace_by_a_copy_of_another(output: Path) -> None:
    """As if another run had begun in the folder: all that tells is the lock."""
    move(output)
    shutil.copytree(output.with_name("moved"), output)
    (output / ".lock").write_bytes(b"")
    (output / "run.json").write_text(THEIRS)


def run_and(
    happens: Callable[[Path], object],
    manifest: Path,
    output: Path,
    config: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    after: int = 3,
) -> tuple[RunSummary, str]:
    """A run in whose folder something happens when `after` records are there; and what it said."""
    put, published = Ledger.put, []

    def put_and_happen(self: Ledger, record: Record) -> None:
        put(self, record)
        published.append(record)
        if len(published) == after:
            happens(output)

    said = output.with_name("said.txt")
    with monkeypatch.context() as patched, said.open("w") as file:
        patched.setattr(Ledger, "put", put_and_happen)
        summary = start_run(
            read_manifest(manifest), config, RunOptions(output, workers=1), PlainDisplay(file)
        )
    return summary, said.read_text()


@pytest.mark.parametrize("happens", [remove, move, replace, replace_by_a_copy_of_another])
def test_a_folder_that_goes_away_ends_its_run(
    happens: Callable[[Path], None],
    manifest: Path,
    clean: dict[str, bytes],
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "out"
    summary, said = run_and(happens, manifest, output, config, monkeypatch)
    assert summary.exit_code == 1 and "does not belong to this run any more" in said
    if happens in (remove, move):
        assert not output.exists() and summary.done == 0
        assert "files of 3 clip(s) that were done are not in" in said and "clip-0" in said
    else:
        assert (output / "run.json").read_text() == THEIRS
    shutil.rmtree(output, ignore_errors=True)
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    assert results(output) == clean


def test_a_report_that_cannot_be_written_is_no_success(
    manifest: Path,
    clean: dict[str, bytes],
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is there tells of an earlier moment, in which nothing was done."""
    output = tmp_path / "out"

    def occupy(output: Path) -> None:
        (output / "clips.parquet").unlink()
        (output / "clips.parquet").mkdir()

    summary, said = run_and(occupy, manifest, output, config, monkeypatch)
    assert (summary.exit_code, summary.done) == (1, len(CLIPS))
    assert "the report could not be written" in said
    (output / "clips.parquet").rmdir()
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    assert {row["status"] for row in rows(output).values()} == {"done"} and results(output) == clean


@pytest.mark.parametrize("kind", ["raw", "coefficients", "fbx", "ledger"])
def test_files_that_go_away_are_not_counted_as_done(
    kind: str,
    manifest: Path,
    clean: dict[str, bytes],
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "out"
    summary, said = run_and(
        lambda output: shutil.rmtree(output / kind), manifest, output, config, monkeypatch, after=2
    )
    gone = {name for name, row in rows(output).items() if row["error_type"] == "OutputLost"}
    assert (
        gone and f"files of {len(gone)} clip(s) that were done" in said and all(name in said for name in gone)
    )
    there = {Path(name).stem for name in results(output) if name.startswith(f"{kind}/")}
    assert summary.exit_code == 1 and (kind == "ledger" or summary.done == len(there))
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    assert results(output) == clean
