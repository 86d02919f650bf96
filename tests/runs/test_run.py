"""Whole runs on real Ray, real videos and real engines: what comes out, twice, and after deaths."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from facecap_batch.coefficients import read_parquet
from facecap_batch.engines.sets import EngineSet
from facecap_batch.exporting.choice import choose
from facecap_batch.output.exports import UnknownClip, export_clips, preview_clips
from facecap_batch.output.reports import NoRun
from facecap_batch.output.status import describe, status
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.observers.progress import PlainDisplay
from facecap_batch.runs.start import resolve_run
from facecap_batch.solve.settings import SolveSettings
from tests.support.faulty_workers import TogetherWorker
from tests.support.local_ray import ON_LOOPBACK, ROOT
from tests.support.processes import worker_processes
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

LENGTHS = {"one": 24, "two": 40, "three": 12, "four": 30}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, LENGTHS)
    return write_manifest(
        folder,
        [{"path": f"{name}.mp4", "scene": f"scene of {name}", "status": "take 1"} for name in LENGTHS],
    )


@pytest.fixture(scope="module")
def clean(manifest: Path, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    output = tmp_path_factory.mktemp("clean") / "out"
    summary = run_quietly(manifest, output, config, workers=1)
    assert summary.exit_code == 0 and summary.done == len(LENGTHS)
    return output


def test_the_folder_is_the_contract_s(clean: Path, config: RunConfig) -> None:
    assert sorted(results(clean)) == sorted(
        f"{kind}/{name}.{suffix}"
        for name in LENGTHS
        for kind, suffix in (("raw", "parquet"), ("coefficients", "parquet"), ("fbx", "fbx"))
    )
    for name, row in rows(clean).items():
        assert (row["status"], row["attempts"], row["frames"]) == ("done", 1, LENGTHS[name])
        assert row["seconds"] == pytest.approx(LENGTHS[name] / 30) and row["fps"] == 30
        assert 0 < row["frames_with_face"] <= row["frames"]
        assert row["detector_sha256"] == config.engine_hashes["detector"]
        assert (row["scene"], row["manifest_status"]) == (f"scene of {name}", "take 1")
        assert row["error"] is None and row["error_type"] is None
        table = read_parquet(clean / "coefficients" / f"{name}.parquet")
        assert len(table) == LENGTHS[name] and table.info.source == f"{name}.mp4"
        assert table.metadata["fingerprint"] == config.fingerprint()
        assert table.metadata["regressor_sha256"] == config.engine_hashes["regressor"]
        assert json.loads(table.metadata["regressor_gains"]) == {"jawOpen": 1.25}
    report = json.loads((clean / "run.json").read_text())
    assert (report["state"], report["done"], report["workers"]) == ("finished", len(LENGTHS), 1)
    assert report["fingerprint"] == config.fingerprint() and report["versions"]["ray"]
    assert not half_written(clean)


def test_the_same_bytes_with_two_workers(
    manifest: Path, config: RunConfig, clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facecap_batch.runs.worker.ClipWorker", TogetherWorker)
    assert run_quietly(manifest, tmp_path, config, workers=2).exit_code == 0
    assert json.loads((tmp_path / "run.json").read_text())["workers"] == 2
    assert results(tmp_path) == results(clean)


def test_a_rerun_does_what_is_missing_changed_or_failed(config: RunConfig, tmp_path: Path) -> None:
    manifest = write_clips(tmp_path, {"stays": 12, "touched": 12, "lost": 12})
    with manifest.open("a") as file:
        file.write("late.mp4\n")
    output = tmp_path / "out"
    assert run_quietly(manifest, output, config).exit_code == 1
    assert rows(output)["late"]["error_type"] == "BadVideo"

    first = {path: path.stat().st_mtime_ns for path in output.rglob("*.fbx")}
    os.utime(tmp_path / "touched.mp4")
    (output / "fbx/lost.fbx").unlink()
    (tmp_path / "late.mp4").write_bytes((tmp_path / "stays.mp4").read_bytes())
    summary = run_quietly(manifest, output, config)
    assert (summary.exit_code, summary.done, summary.kept) == (0, 4, 1)
    assert (output / "fbx/stays.fbx").stat().st_mtime_ns == first[output / "fbx/stays.fbx"]
    assert (output / "fbx/touched.fbx").stat().st_mtime_ns > first[output / "fbx/touched.fbx"]

    assert run_quietly(manifest, output, config).kept == 4
    assert run_quietly(manifest, output, config, force=True).kept == 0


def test_another_solve_needs_no_decoding(
    random_engines: EngineSet, manifest: Path, clean: Path, config: RunConfig, tmp_path: Path
) -> None:
    """`solve`, and `run` with other solve settings, come to the same and leave raw/ alone."""
    rough = make_config_of(random_engines, smoothing=0.0)
    assert run_quietly(manifest, tmp_path, config).exit_code == 0
    raw = {path: path.stat().st_mtime_ns for path in (tmp_path / "raw").iterdir()}
    with Path(os.devnull).open("w") as nowhere:
        summary = resolve_run(SolveSettings(smoothing=0.0), RunOptions(tmp_path), PlainDisplay(nowhere))
    assert summary.exit_code == 0 and summary.done == len(LENGTHS)
    by_solve = results(tmp_path)
    assert by_solve != results(clean)
    assert rows(tmp_path)["one"]["scene"] == "scene of one"
    assert run_quietly(manifest, tmp_path, rough).kept == len(LENGTHS)  # nothing left to do
    assert run_quietly(manifest, tmp_path, config).exit_code == 0
    assert results(tmp_path) == results(clean)
    assert raw == {path: path.stat().st_mtime_ns for path in (tmp_path / "raw").iterdir()}


def test_a_killed_worker_costs_an_attempt_and_nothing_else(
    manifest: Path, config: RunConfig, clean: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 120
        while not killed and time.monotonic() < deadline:
            for process in worker_processes()[:1]:
                os.kill(process, signal.SIGKILL)
                killed.append(process)
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    summary = run_quietly(manifest, tmp_path, config)
    killer.join()
    assert killed and summary.exit_code == 0
    assert sorted(row["attempts"] for row in rows(tmp_path).values()) == [1, 1, 1, 2]
    assert results(tmp_path) == results(clean)
    assert not half_written(tmp_path)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "facecap_batch", *map(str, arguments)]


def environment() -> dict[str, str]:
    """As a user has it: without what these tests told Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def test_ctrl_c_leaves_a_folder_that_the_same_command_finishes(
    manifest: Path, config: RunConfig, clean: Path, tmp_path: Path
) -> None:
    arguments = ["--engines", config.engines, "--backend", "onnxruntime-cpu", "--workers", 1]
    process = subprocess.Popen(
        command("run", manifest, "-o", tmp_path, *arguments),
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 180
    # A record under its final name; a glob also matches one that is still being written.
    while (
        not list(tmp_path.glob("ledger/[!.]*.json"))
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    running = status(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to Ray's processes as well
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130, text
    assert "the same command goes on from here" in text and "Traceback" not in text
    assert running.state == "running" and running.done >= 1

    after = status(tmp_path)
    assert after.state == "interrupted" and after.pending == len(LENGTHS) - after.done > 0
    assert not half_written(tmp_path)
    summary = run_quietly(manifest, tmp_path, config)
    assert summary.exit_code == 0 and summary.kept == after.done
    assert results(tmp_path) == results(clean)


def test_the_job_runs_on_a_cluster_that_is_there(
    manifest: Path, config: RunConfig, clean: Path, tmp_path: Path
) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    arguments = ["--engines", config.engines, "--backend", "onnxruntime-cpu", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "jobs/run_manifest.py"), str(manifest), "-o", str(tmp_path), *arguments],
        env={**os.environ, **ON_LOOPBACK, "RAY_ADDRESS": address, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(tmp_path) == results(clean)
    assert ray.is_initialized() and ray.cluster_resources()["CPU"] == 2  # still there


def test_status_tells_what_happened(clean: Path, tmp_path: Path) -> None:
    found = status(clean)
    assert (found.state, found.done, found.failed, found.pending) == ("finished", len(LENGTHS), 0, 0)
    assert found.frames == sum(LENGTHS.values())
    assert describe(found).startswith(f"finished: {len(LENGTHS)} of {len(LENGTHS)} clips done")
    with pytest.raises(NoRun, match="is not the output folder of a run"):
        status(tmp_path)


def test_exports_and_previews_of_a_finished_folder(clean: Path, tmp_path: Path) -> None:
    choice = choose("fbx", None, None)
    (fbx,) = export_clips(clean, ["one"], tmp_path, choice)
    assert fbx.path is not None and fbx.path.read_bytes() == (clean / "fbx/one.fbx").read_bytes()
    assert len(list(export_clips(clean, [], tmp_path / "all", choice))) == len(LENGTHS)
    (sheet,) = preview_clips(clean, ["three"], tmp_path, ".jpg")
    assert sheet.path is not None and sheet.path.stat().st_size > 1000
    with pytest.raises(UnknownClip, match="nobody"):
        export_clips(clean, ["nobody"], tmp_path, choice)
