"""A clip's files appear together or not at all, and only while the folder belongs to the clip's run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.errors import OutputLost, OutputNotWritable
from facecap_batch.output.ledger import DONE, Ledger, Record
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.ownership.claim import Claim
from facecap_batch.runs.clip_steps import process
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.runs.opened_engines import open_engines
from facecap_batch.runs.planner import WorkItem
from facecap_batch.runs.records import RunRecords
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.storage.publish import storage_path
from tests.support.runs import at_any_time, half_written, results, rows, run_quietly, write_clips


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), {"take": 4})


@pytest.fixture(scope="module")
def engines(config: RunConfig) -> Callable[[], FaceCapture]:
    return functools.cache(lambda: open_engines(config))


@pytest.mark.parametrize("captures", [False, True])
def test_files_that_were_replaced_are_no_longer_those_of_their_record(
    captures: bool,
    manifest: Path,
    config: RunConfig,
    engines: Callable[[], FaceCapture],
    tmp_path: Path,
) -> None:
    """A worker had replaced them under another configuration when its run was killed."""
    output = tmp_path / "out"
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    before = results(output)
    other = dataclasses.replace(config, solve=SolveSettings(smoothing=0.8))
    (clip,) = read_manifest(manifest).clips
    with OutputLock(output) as lock:
        process(WorkItem(clip, "", 1.0, reuse_raw=not captures), other, lock.claim, engines)
    between = results(output)
    assert between != before
    # Nothing that is cheap to look at tells them apart.
    assert {name: len(data) for name, data in between.items()} == {
        name: len(data) for name, data in before.items()
    }
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    assert results(output) == before


def do(manifest: Path, config: RunConfig, claim: Claim, engines: Callable[[], FaceCapture]) -> None:
    (clip,) = read_manifest(manifest).clips
    process(WorkItem(clip, "", 1.0), config, claim, engines)


@pytest.mark.parametrize("next_run_has_begun", [True, False])
def test_a_worker_that_outlives_its_run_publishes_nothing(
    next_run_has_begun: bool,
    manifest: Path,
    config: RunConfig,
    engines: Callable[[], FaceCapture],
    tmp_path: Path,
) -> None:
    with OutputLock(tmp_path) as first:
        do(manifest, config, first.claim, engines)
    before = results(tmp_path)
    assert len(before) == 3
    for name in before:
        (tmp_path / name).unlink()
    if next_run_has_begun:
        with OutputLock(tmp_path), pytest.raises(OutputLost, match="another run has begun"):
            do(manifest, config, first.claim, engines)
    else:
        with pytest.raises(OutputLost):
            do(manifest, config, first.claim, engines)
    assert not results(tmp_path) and not half_written(tmp_path)


def test_a_clip_that_fails_leaves_nothing_of_itself(
    manifest: Path, config: RunConfig, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "fbx").write_text("in the way")
    summary = run_quietly(manifest, output, config, workers=1)
    assert (summary.exit_code, rows(output)["take"]["error_type"]) == (1, "OutputNotWritable")
    assert [path.name for kind in ("raw", "coefficients") for path in (output / kind).iterdir()] == []
    (output / "fbx").unlink()
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    assert len(results(output)) == 3


def test_uploads_that_fail_leave_nothing_either(
    manifest: Path, config: RunConfig, engines: Callable[[], FaceCapture], tmp_path: Path
) -> None:
    output = storage_path(f"local://{tmp_path}/out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/fbx").write_text("in the way")
    with OutputLock(output) as lock, pytest.raises(OutputNotWritable):
        do(manifest, config, lock.claim, engines)
    assert not [path for path in (tmp_path / "out").rglob("*.parquet")]


@pytest.mark.parametrize("raw_is_older", [True, False])
def test_a_clip_whose_record_cannot_be_written_leaves_what_an_earlier_record_names(
    raw_is_older: bool, tmp_path: Path
) -> None:
    class Full(Ledger):
        def put(self, record: Record) -> None:
            raise OSError(28, "No space left on device")

    outputs = {"raw/take.parquet": 3, "coefficients/take.parquet": 4}
    for name, size in outputs.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(bytes(size))
    record = Record("take", DONE, "input", "capture", "all", outputs=outputs)
    if raw_is_older:
        Ledger(tmp_path).put(record)
    records = RunRecords(Full(tmp_path), {}, at_any_time)
    records.publish(record, False)
    records.close()
    assert records.by_clip["take"].error_type == "OutputNotWritable"
    assert (tmp_path / "raw/take.parquet").exists() == raw_is_older
    assert not (tmp_path / "coefficients/take.parquet").exists()
