"""Runs by actor that go wrong half way: a clip or table that fails, an interrupt, a driver that is killed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from facecap_batch.output.actors import read_actors
from facecap_batch.output.ledger import CAPTURED, Ledger
from facecap_batch.output.status import status
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.observers.progress import NoDisplay, PlainDisplay
from facecap_batch.runs.retry import retry_run
from tests.support.actor_runs import ADA, CLIPS, everything, solve_quietly, times, written
from tests.support.event_logs import lines
from tests.support.local_ray import ROOT
from tests.support.runs import half_written, rows, run_quietly

pytestmark = pytest.mark.usefixtures("ray_floor")


def test_a_failed_clip_does_not_stop_the_others(
    manifest_of: Callable[..., Path],
    by_actor: RunConfig,
    clean: Callable[..., dict[str, bytes]],
    tmp_path: Path,
) -> None:
    output = tmp_path / "out"
    manifest = manifest_of(*CLIPS, "late")
    summary = run_quietly(manifest, output, by_actor)
    assert (summary.exit_code, summary.done, summary.failed) == (1, 5, 1)
    assert rows(output)["late"]["error_type"] == "BadVideo"
    assert everything(output) == clean(*CLIPS)

    before = times(output)
    summary = run_quietly(manifest, output, by_actor)
    assert (summary.exit_code, summary.kept, summary.frames) == (1, 5, 0)
    assert written(before, output, "raw", "coefficients", "fbx", "actors.parquet") == set()
    assert written(before, output, "ledger") == {"late"}

    # It arrives: the clips of its actor are solved again, by `retry` as by `run`.
    (tmp_path / "late.mp4").write_bytes((tmp_path / "free-bob.mp4").read_bytes())
    with Path(os.devnull).open("w") as nowhere:
        summary = retry_run(RunOptions(output, workers=1), (), PlainDisplay(nowhere))
    assert (summary.exit_code, summary.done, summary.kept) == (0, 6, 2)
    assert written(before, output, "raw") == {"late"}
    assert written(before, output, "coefficients", "fbx") == {*ADA, "late"}
    assert run_quietly(manifest, tmp_path / "fresh", by_actor).exit_code == 0
    assert everything(output) == everything(tmp_path / "fresh")
    assert run_quietly(manifest, output, by_actor).kept == 6


def test_retry_after_an_interrupt_solves_what_waits(
    manifest_of: Callable[..., Path],
    by_actor: RunConfig,
    clean: Callable[..., dict[str, bytes]],
    tmp_path: Path,
) -> None:
    """A clip whose record says that it is captured needs no video any more, whichever command goes on."""
    output, manifest = tmp_path / "out", manifest_of(*CLIPS)
    assert run_quietly(manifest, output, by_actor).exit_code == 0
    ledger = Ledger(output)

    def interrupt() -> None:
        for name in ADA:
            record = ledger.get(name)
            assert record is not None
            waiting = {"status": CAPTURED, "outputs": record.raw, "calibration": ""}
            ledger.put(dataclasses.replace(record, **waiting))
            (output / f"fbx/{name}.fbx").unlink()
        (output / "actors.parquet").unlink()

    before = times(output)
    for again in (
        lambda: retry_run(RunOptions(output, workers=1), ["free-bob"], NoDisplay()),
        lambda: solve_quietly(output),
        lambda: run_quietly(manifest, output, by_actor),
    ):
        interrupt()
        summary = again()
        assert (summary.exit_code, summary.done) == (0, len(CLIPS))
        assert everything(output) == clean(*CLIPS)
    assert written(before, output, "raw") == {"free-bob"}  # it was asked for


def test_a_damaged_raw_table_fails_its_actor_and_nothing_is_lost(
    manifest_of: Callable[..., Path], by_actor: RunConfig, tmp_path: Path
) -> None:
    output, manifest = tmp_path / "out", manifest_of(*CLIPS)
    assert run_quietly(manifest, output, by_actor).exit_code == 0
    expected, before = everything(output), times(output)
    raw = output / "raw/ada-1.parquet"
    raw.write_bytes(bytes(raw.stat().st_size))
    (output / "actors.parquet").unlink()
    summary = run_quietly(manifest, output, by_actor)
    assert (summary.exit_code, summary.done, summary.failed, summary.kept) == (1, 2, 3, 2)
    error = rows(output)["free-ada"]["error"]
    assert error.startswith("calibration of Ada: ") and "raw/ada-1.parquet" in error
    assert list(read_actors(output)) == ["Bob"]
    raw.unlink()
    assert run_quietly(manifest, output, by_actor).exit_code == 0
    assert everything(output) == expected
    assert written(before, output, "raw") == {"ada-1"}


GATED = """
import facecap_batch.runs.worker
from tests.support import faulty_workers
facecap_batch.runs.worker.ClipWorker = faulty_workers.{}
from facecap_batch.cli.app import main
main()
"""


@dataclasses.dataclass(frozen=True)
class Killed:
    """A driver is killed in the middle."""

    worker: str
    captured: int  # ledger records of clips that wait
    done: set[str]  # clips


@pytest.mark.parametrize(
    "killed",
    [
        Killed("GatedWorker", 1, {"free-bob", "free-nobody"}),
        Killed("GatedSolver", 2, {"free-ada", "free-bob", "free-nobody"}),
    ],
    ids=["while clips are captured", "while they are solved"],
)
def test_a_driver_that_is_killed_half_way(
    killed: Killed,
    manifest_of: Callable[..., Path],
    by_actor: RunConfig,
    clean: Callable[..., dict[str, bytes]],
    tmp_path: Path,
) -> None:
    output, log = tmp_path / "out", tmp_path / "log.jsonl"
    manifest = manifest_of(*CLIPS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    options = ["--engines", by_actor.engines, "--backend", "onnxruntime-cpu", "--workers", "3", "-q"]
    process = subprocess.Popen(
        [sys.executable, "-c", GATED.format(killed.worker), "run", manifest, "-o", output,
         "--log-json", log, "--calibrate", "actor", *options],
        env={**environment, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip

    def waiting() -> set[str]:
        return {record.clip_id for record in Ledger(output).records() if record.status == CAPTURED}

    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        done = {line["clip"] for line in lines(log, "done")}
        if done == killed.done and len(waiting()) == killed.captured:
            break
        time.sleep(0.05)
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert {line["clip"] for line in lines(log, "done")} == killed.done
    found, left = status(output), len(CLIPS) - len(killed.done)
    assert (found.state, found.done, found.pending) == ("killed", len(killed.done), left)
    captured = {path.stem for path in (output / "raw").glob("*.parquet")}
    before = {str(path.relative_to(output)): path.stat().st_mtime_ns for path in output.rglob("*.parquet")}

    summary = run_quietly(manifest, output, by_actor)
    assert (summary.exit_code, summary.kept) == (0, len(killed.done))
    assert everything(output) == clean(*CLIPS) and not half_written(output)
    assert written(before, output, "raw").isdisjoint(captured)  # no frame was decoded twice
