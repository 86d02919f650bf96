"""Whole runs whose clips are calibrated by actor: the same bytes by every way, and nothing done twice."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import facecap_batch
from facecap_batch.coefficients import ARKIT_NAMES, read_parquet
from facecap_batch.engines.sets import EngineSet
from facecap_batch.output.actors import read_actors
from facecap_batch.output.compaction import compact
from facecap_batch.output.ledger import CAPTURED, Ledger
from facecap_batch.output.status import status
from facecap_batch.runs.clip_steps import final_table
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.observers.progress import NoDisplay, PlainDisplay
from facecap_batch.runs.retry import retry_run
from facecap_batch.runs.run import RunSummary
from facecap_batch.runs.start import resolve_run
from facecap_batch.solve.actors import ActorStatistics
from facecap_batch.solve.settings import SolveSettings
from tests.support.local_ray import ROOT
from tests.support.runs import (
    half_written,
    make_config_of,
    results,
    rows,
    run_quietly,
    write_clips,
    write_manifest,
)

pytestmark = pytest.mark.usefixtures("ray_floor")

CLIPS = {"free-ada": 12, "ada-1": 20, "ada-2": 9, "free-bob": 15, "free-nobody": 10}
ADA = ("free-ada", "ada-1", "ada-2")
BY_ACTOR = SolveSettings(calibrate="actor")


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> EngineSet:
    """They have a gain for every coefficient, so that it shows where each rests."""
    from tests.support.engines import write_engines

    return write_engines(tmp_path_factory.mktemp("engines"), gains=dict.fromkeys(ARKIT_NAMES, 1.6))


@pytest.fixture(scope="module")
def config(engines: EngineSet) -> RunConfig:
    return make_config_of(engines)


@pytest.fixture(scope="module")
def by_actor(engines: EngineSet) -> RunConfig:
    return make_config_of(engines, calibrate="actor")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_clips(folder, CLIPS)
    return folder


@pytest.fixture
def manifest_of(videos: Path, tmp_path: Path) -> Callable[..., Path]:
    """A manifest of some of the videos, with the actor of each."""

    def write(*clip_ids: str) -> Path:
        for name in CLIPS:
            link = tmp_path / f"{name}.mp4"
            if not link.exists():
                link.symlink_to(videos / link.name)
        return write_manifest(tmp_path, [row(name) for name in clip_ids])

    return write


def row(clip_id: str) -> dict[str, str]:
    actor = {**dict.fromkeys((*ADA, "late"), "Ada"), "free-bob": "Bob"}.get(clip_id, "")
    return {"path": f"{clip_id}.mp4", "actor": actor}


@pytest.fixture(scope="module")
def clean(
    videos: Path, by_actor: RunConfig, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, bytes]]:
    """What a run that nothing disturbed makes of some of the clips."""
    known: dict[Sequence[str], dict[str, bytes]] = {}

    def made(*clip_ids: str) -> dict[str, bytes]:
        if clip_ids not in known:
            output = tmp_path_factory.mktemp("clean") / "out"
            manifest = write_manifest(videos, [row(name) for name in clip_ids])
            assert run_quietly(manifest, output, by_actor, workers=1).exit_code == 0
            known[clip_ids] = everything(output)
        return known[clip_ids]

    return made


def everything(output: Path) -> dict[str, bytes]:
    return {**results(output), "actors": (output / "actors.parquet").read_bytes()}


def times(output: Path) -> dict[str, int]:
    """When each file was written, by its name in the folder."""
    paths = [
        *(output / "ledger").iterdir(),
        output / "actors.parquet",
        *map(output.joinpath, results(output)),
    ]
    return {str(path.relative_to(output)): path.stat().st_mtime_ns for path in paths}


def written(before: dict[str, int], output: Path, *kinds: str) -> set[str]:
    """Clips of which a file of these kinds is another than `before`."""
    now = times(output)
    return {Path(name).stem for name in now if name.split("/")[0] in kinds and now[name] != before.get(name)}


def solve_quietly(output: Path, settings: SolveSettings = BY_ACTOR) -> RunSummary:
    with Path(os.devnull).open("w") as nowhere:
        return resolve_run(settings, RunOptions(output, workers=1), PlainDisplay(nowhere))


def test_clips_are_solved_with_what_all_raw_tables_of_their_actor_show(
    manifest_of: Callable[..., Path], by_actor: RunConfig, config: RunConfig, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert run_quietly(manifest_of(*CLIPS), output, by_actor).exit_code == 0
    statistics = ActorStatistics("Ada")
    raw = {name: read_parquet(output / f"raw/{name}.parquet") for name in CLIPS}
    for name in ADA:
        statistics.add(raw[name])
    expected = statistics.calibration()
    calibrations = read_actors(output)
    assert list(calibrations) == ["Ada", "Bob"] and calibrations["Ada"] == expected
    assert (expected.clips, expected.frames) == (3, 41)
    ledger = Ledger(output)
    for name in CLIPS:
        calibration = calibrations.get(row(name)["actor"])
        final = final_table(raw[name], by_actor, calibration)
        found = read_parquet(output / f"coefficients/{name}.parquet")
        assert final.coefficients.tobytes() == found.coefficients.tobytes()
        assert final.metadata == found.metadata
        record = ledger.get(name)
        assert record is not None
        assert record.calibration == (calibration.digest() if calibration else "")
    assert final_table(raw["ada-1"], by_actor, expected).coefficients.tobytes() != (
        final_table(raw["ada-1"], config).coefficients.tobytes()
    )


def test_the_same_bytes_by_every_way(
    manifest_of: Callable[..., Path], by_actor: RunConfig, config: RunConfig, tmp_path: Path
) -> None:
    """Any number of workers and order of clips; solved at once or afterwards; from Python."""
    assert run_quietly(manifest_of(*CLIPS), tmp_path / "two", by_actor, workers=2).exit_code == 0
    expected = everything(tmp_path / "two")
    assert run_quietly(manifest_of(*reversed(CLIPS)), tmp_path / "one", by_actor, workers=1).exit_code == 0
    assert everything(tmp_path / "one") == expected

    assert run_quietly(manifest_of(*CLIPS), tmp_path / "after", config).exit_code == 0
    assert not (tmp_path / "after/actors.parquet").exists()
    by_card = results(tmp_path / "after")
    summary = solve_quietly(tmp_path / "after")
    assert (summary.exit_code, summary.done) == (0, len(CLIPS))
    assert everything(tmp_path / "after") == expected
    assert run_quietly(manifest_of(*CLIPS), tmp_path / "after", by_actor).kept == len(CLIPS)
    assert solve_quietly(tmp_path / "after", SolveSettings()).exit_code == 0
    assert results(tmp_path / "after") == by_card and not (tmp_path / "after/actors.parquet").exists()

    summary = facecap_batch.run(
        manifest_of(*CLIPS),
        tmp_path / "python",
        engines=by_actor.engines,
        backend="onnxruntime-cpu",
        solve=BY_ACTOR,
        workers=2,
    )
    assert (summary.exit_code, summary.done) == (0, len(CLIPS))
    assert everything(tmp_path / "python") == expected


def test_a_single_capture_is_calibrated_as_a_run_of_that_clip(
    manifest_of: Callable[..., Path], by_actor: RunConfig, tmp_path: Path
) -> None:
    manifest = manifest_of("free-bob")
    run_quietly(manifest, tmp_path / "out", by_actor, workers=1)
    take = facecap_batch.capture(
        tmp_path / "free-bob.mp4",
        engines=by_actor.engines,
        backend="onnxruntime-cpu",
        actor="Bob",
        solve=BY_ACTOR,
    )
    take.to_parquet(tmp_path / "bob.parquet")
    expected = (tmp_path / "out/coefficients/free-bob.parquet").read_bytes()
    assert (tmp_path / "bob.parquet").read_bytes() == expected


def test_a_rerun_with_nothing_new_does_nothing(
    manifest_of: Callable[..., Path], by_actor: RunConfig, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    manifest = manifest_of(*CLIPS)
    assert run_quietly(manifest, output, by_actor).exit_code == 0
    before, report = times(output), (output / "run.json").read_bytes()
    assert run_quietly(manifest, output, by_actor).kept == len(CLIPS)
    assert times(output) == before and (output / "run.json").read_bytes() == report

    calibrations = (output / "actors.parquet").read_bytes()
    (output / "actors.parquet").unlink()
    assert run_quietly(manifest, output, by_actor).kept == len(CLIPS)
    assert (output / "actors.parquet").read_bytes() == calibrations
    assert written(before, output, *("raw", "coefficients", "fbx", "ledger")) == set()


def test_a_new_clip_of_an_actor_solves_that_actors_clips_alone(
    manifest_of: Callable[..., Path],
    by_actor: RunConfig,
    clean: Callable[..., dict[str, bytes]],
    tmp_path: Path,
) -> None:
    output, old = tmp_path / "out", ("free-ada", "ada-1", "free-bob", "free-nobody")
    assert run_quietly(manifest_of(*old), output, by_actor).exit_code == 0
    first = everything(output)
    compact(output, remove_originals=True)  # their tables are found in large files, too
    (output / "raw").mkdir(exist_ok=True)
    before = {name: 0 for name in first} | times(output)
    summary = run_quietly(manifest_of(*CLIPS), output, by_actor)
    assert (summary.exit_code, summary.done, summary.kept) == (0, 5, 2)
    assert written(before, output, "raw") == {"ada-2"}
    assert written(before, output, "coefficients", "fbx") == set(ADA)
    made = clean(*CLIPS)
    assert all(made[name] == data for name, data in everything(output).items())
    for name in ("free-bob", "free-nobody"):
        again = facecap_batch.read(output, name)
        again.to_parquet(tmp_path / "final.parquet")
        assert (tmp_path / "final.parquet").read_bytes() == made[f"coefficients/{name}.parquet"]

    # A clip that the manifest does not list any more counts no longer.
    before = times(output)
    summary = run_quietly(manifest_of(*old), output, by_actor)
    assert (summary.exit_code, summary.kept) == (0, 2)
    assert written(before, output, "raw") == set()
    found = everything(output)
    assert all(found[name] == data for name, data in first.items() if name in found and "ada-2" not in name)
    assert found["actors"] == first["actors"]


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


def lines(log: Path, event: str) -> list[dict[str, str]]:
    if not log.exists():
        return []
    return [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == event]


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
