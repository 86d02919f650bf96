"""Whole runs whose clips are calibrated by actor: the same bytes by every way, and nothing done twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import facecap_batch
from facecap_batch.coefficients import read_parquet
from facecap_batch.output.actors import read_actors
from facecap_batch.output.compaction import compact
from facecap_batch.output.ledger import Ledger
from facecap_batch.runs.clip_steps import final_tables
from facecap_batch.runs.config import RunConfig
from facecap_batch.solve.actors import ActorStatistics
from facecap_batch.solve.settings import SolveSettings
from tests.support.actor_runs import ADA, BY_ACTOR, CLIPS, everything, row, solve_quietly, times, written
from tests.support.runs import results, run_quietly

pytestmark = pytest.mark.usefixtures("ray_floor")


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
        final = final_tables([raw[name]], by_actor, calibration)[0]
        found = read_parquet(output / f"coefficients/{name}.parquet")
        assert final.coefficients.tobytes() == found.coefficients.tobytes()
        assert final.metadata == found.metadata
        record = ledger.get(name)
        assert record is not None
        assert record.calibration == (calibration.digest() if calibration else "")
    assert final_tables([raw["ada-1"]], by_actor, expected)[0].coefficients.tobytes() != (
        final_tables([raw["ada-1"]], config)[0].coefficients.tobytes()
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
