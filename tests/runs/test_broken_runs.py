"""Runs that break off: what is done is kept, the exit code is their own, and no traceback is shown."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from facecap_batch.engines.sets import EngineSet
from facecap_batch.output.status import status
from tests.support.commands import call
from tests.support.faulty_workers import ReplacingWorker, make_replacing_worker
from tests.support.runs import rows, write_clips

pytestmark = pytest.mark.usefixtures("ray_floor")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_engine_that_is_replaced_in_the_middle(
    random_engines: EngineSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workers: int,
) -> None:
    """Workers that have the engines open go on; later ones are refused. Without any the run ends."""
    engines, output = tmp_path / "engines", tmp_path / "out"
    shutil.copytree(random_engines.folder, engines)
    kept = (engines / "detector.json").read_bytes()
    manifest = write_clips(tmp_path, {"free-0": 8, "free-1": 8, "kill-always": 8})
    command = (
        *("run", manifest, "--output", output, "--engines", engines, "--backend", "onnxruntime-cpu"),
        *("--attempts", 9, "--workers", workers, "--quiet"),
    )
    with monkeypatch.context() as faulty:
        faulty.setattr("facecap_batch.runs.worker.ClipWorker", ReplacingWorker)
        faulty.setattr("facecap_batch.runs.executors.process_executor.make_worker", make_replacing_worker)
        code, _, errors = call(capsys, *command)
    assert code == 3, errors
    assert "2 of 3 clips are done and 0 failed: engine set" in errors and "differs" in errors
    assert "Traceback" not in errors and "RayTaskError" not in errors
    assert [row["status"] for row in rows(output).values()] == ["done", "done", "pending"]
    assert json.loads((output / "run.json").read_text())["state"] == status(output).state == "broken"
    (engines / "detector.json").write_bytes(kept)
    assert call(capsys, *command[:-3], "--workers", 1, "--quiet")[0] == 0


def test_an_error_of_ours_is_reported_with_its_place(
    random_engines: EngineSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("a slip")

    manifest = write_clips(tmp_path, {"free-0": 8})
    monkeypatch.setattr("facecap_batch.runs.run.Run._reopen", fails)
    code, _, errors = call(
        capsys, "run", manifest, "-o", tmp_path / "out", "--engines", random_engines.folder, "--workers", 1
    )
    assert code == 3 and "unexpected, please report it: ZeroDivisionError: a slip" in errors
    assert Path(__file__).name in errors and "Traceback" in errors, sys.version
