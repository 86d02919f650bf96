"""What a run refuses before it begins, what it leaves alone, and what starting one costs a driver."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import EngineMismatch, NotCertified
from facecap_batch.output.query import query
from facecap_batch.output.reports import NoRun
from facecap_batch.output.status import describe, status
from facecap_batch.runs.config import RunConfig, RunOptions, make_config
from facecap_batch.runs.manifest import manifest_of, read_manifest
from facecap_batch.runs.observers.progress import PlainDisplay
from facecap_batch.runs.retry import retry_run
from facecap_batch.runs.run import RunSummary
from facecap_batch.runs.start import OtherManifest, OtherVersion, resolve_run, start_run
from facecap_batch.scheduling import cluster
from facecap_batch.solve.settings import SolveSettings
from tests.support.local_ray import ROOT
from tests.support.runs import results, rows, run_quietly, write_clips, write_manifest
from tests.support.videos import write_video

HEAVY = ("cv2", "av", "torch", "onnxruntime")


def retry_quietly(output: Path, *clip_ids: str) -> RunSummary:
    with Path(os.devnull).open("w") as nowhere:
        return retry_run(RunOptions(output, workers=1), clip_ids, PlainDisplay(nowhere))


@pytest.mark.parametrize(
    "module", ["start", "retry", "planner", "workflow", "actors.plan", "actors.workflow", "config"]
)
def test_a_driver_loads_no_decoder_and_no_network(module: str) -> None:
    script = (
        f"import facecap_batch.runs.{module}, sys; print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def no_ray(*_: object) -> None:
    raise AssertionError("Ray was started")


def test_auto_is_refused_before_ray_starts_where_what_it_takes_has_no_certificate(
    random_engines: EngineSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference needs no certificate, but "auto" takes ONNX Runtime here."""
    monkeypatch.setattr(cluster, "connected", no_ray)
    config = make_config(str(random_engines.folder), "auto", require_certificate=True)
    manifest = write_clips(tmp_path, {"one": 2})
    with pytest.raises(NotCertified, match=r"backend onnxruntime-cpu .*no certificate"):
        run_quietly(manifest, tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("ray_floor")
class TestFolder:
    """Of a folder that a run has finished."""

    @pytest.fixture
    def manifest(self, tmp_path: Path) -> Path:
        return write_clips(tmp_path / "day 1", {"one": 4, "two": 4})

    @pytest.fixture
    def output(self, manifest: Path, config: RunConfig, tmp_path: Path) -> Path:
        assert run_quietly(manifest, tmp_path / "out", config, workers=1).exit_code == 0
        return tmp_path / "out"

    def test_a_rerun_with_nothing_to_do_leaves_the_report(
        self, manifest: Path, output: Path, config: RunConfig
    ) -> None:
        before = (output / "run.json").read_bytes()
        assert json.loads(before)["frames"] == 8
        assert run_quietly(manifest, output, config).kept == 2
        assert (output / "run.json").read_bytes() == before
        # A driver that was killed after the last record: the report says that the run ended.
        (output / "run.json").write_text(json.dumps({**json.loads(before), "state": "running"}))
        assert run_quietly(manifest, output, config).kept == 2
        after = json.loads((output / "run.json").read_text())
        assert (after["state"], after["frames"]) == ("finished", 8)

    def test_another_manifest_is_refused_unless_it_is_meant(
        self, output: Path, config: RunConfig, tmp_path: Path
    ) -> None:
        before = results(output)
        other = write_clips(tmp_path / "day 2", {"three": 4})
        with pytest.raises(OtherManifest, match=r"day 1.*day 2.*: one, two \(2 in all\).*--new-manifest"):
            run_quietly(other, output, config)
        same_name = write_clips(tmp_path / "day 3", {"one": 6, "two": 4, "three": 4})
        with pytest.raises(OtherManifest, match="names another video for: one"):
            run_quietly(same_name, output, config)
        assert results(output) == before and list(rows(output)) == ["one", "two"]

        assert run_quietly(other, output, config, workers=1, new_manifest=True).exit_code == 0
        assert list(rows(output)) == ["three"]
        for view in ("clips", "coefficients", "raw"):
            assert query(output, f"SELECT DISTINCT clip_id FROM {view}").to_pydict() == {"clip_id": ["three"]}
        assert {name: data for name, data in results(output).items() if "three" not in name} == before

    def test_an_edited_manifest_is_the_same_manifest(
        self, manifest: Path, output: Path, config: RunConfig, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_manifest(manifest.parent, [{"path": "two.mp4", "scene": "7"}])
        summary = start_run(read_manifest(manifest), config, RunOptions(output))
        assert (summary.kept, summary.clips) == (1, 1)
        assert "1 finished clip(s)" in capsys.readouterr().err
        assert rows(output)["two"]["scene"] == "7"
        assert query(output, "SELECT DISTINCT clip_id FROM coefficients").to_pydict() == {"clip_id": ["two"]}
        write_manifest(manifest.parent, [{"path": "one.mp4"}, {"path": "two.mp4"}])
        assert run_quietly(manifest, output, config).kept == 2  # what was left out was not lost

    def test_a_project_that_was_moved_goes_on(
        self, manifest: Path, output: Path, config: RunConfig, tmp_path: Path
    ) -> None:
        manifest.parent.rename(tmp_path / "moved")
        assert run_quietly(tmp_path / "moved" / manifest.name, output, config).kept == 2

    def test_a_report_of_another_version_is_explained(self, output: Path) -> None:
        report = json.loads((output / "run.json").read_text())
        report["tool_version"] = "9.0"
        options = RunOptions(output, workers=1)
        for config in (
            {**report["config"], "capture": {**report["config"]["capture"], "hologram": 3}},
            {"engines": "default"},
            None,
        ):
            (output / "run.json").write_text(json.dumps({**report, "config": config}))
            with pytest.raises(OtherVersion, match=r"run\.json was written by facecap-batch 9\.0; version "):
                retry_quietly(output)
            with pytest.raises(OtherVersion, match="Run the manifest again"):
                resolve_run(SolveSettings(), options)

    def test_settings_that_an_older_version_lacked_are_at_their_defaults(self, output: Path) -> None:
        report = json.loads((output / "run.json").read_text())
        del report["config"]["capture"]["hwaccel"], report["config"]["require_certificate"]
        (output / "run.json").write_text(json.dumps(report))
        assert retry_quietly(output, "one").exit_code == 0

    def test_solve_refuses_raw_tables_of_another_revision(
        self, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("facecap_batch.runs.config.CAPTURE_REVISION", 99)
        with pytest.raises(EngineMismatch, match="Run the manifest again"):
            resolve_run(SolveSettings(), RunOptions(output))

    def test_retry_keeps_to_certified_backends(
        self, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        report = json.loads((output / "run.json").read_text())
        report["config"]["require_certificate"] = True
        (output / "run.json").write_text(json.dumps(report))
        with monkeypatch.context() as guarded, pytest.raises(NotCertified):
            guarded.setattr(cluster, "connected", no_ray)
            retry_quietly(output, "one")
        monkeypatch.setattr("facecap_batch.engines.certificates.require", lambda *_: None)
        assert retry_quietly(output).exit_code == 0  # nothing has failed
        assert json.loads((output / "run.json").read_text())["config"]["require_certificate"]

    def test_videos_without_a_manifest_file(self, output: Path, config: RunConfig, tmp_path: Path) -> None:
        videos = manifest_of([tmp_path / "day 1" / "two.mp4"])
        with Path(os.devnull).open("w") as nowhere:
            summary = start_run(videos, config, RunOptions(tmp_path / "o", workers=1), PlainDisplay(nowhere))
        assert (summary.exit_code, summary.done) == (0, 1)
        assert retry_quietly(tmp_path / "o", "two").exit_code == 0


@pytest.mark.usefixtures("ray_floor")
def test_a_clip_without_a_face_says_so(
    config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = [np.full((48, 64, 3), 120, np.uint8)] * 4
    write_video(tmp_path / "empty room.mp4", grey)
    manifest = write_manifest(tmp_path, [{"path": "empty room.mp4"}])
    summary = start_run(read_manifest(manifest), no_faces(config), RunOptions(tmp_path / "out", workers=1))
    assert (summary.exit_code, summary.done, summary.without_face) == (0, 1, 1)
    assert "no face found: empty room" in capsys.readouterr().err
    row = rows(tmp_path / "out")["empty room"]
    assert (row["status"], row["frames_with_face"]) == ("done", 0)
    assert row["note"] == "no face was found in any frame: nothing moves in the FBX"
    assert (tmp_path / "out/fbx/empty room.fbx").is_file()
    found = status(tmp_path / "out")
    assert found.without_face == 1 and "1 clips without any face" in describe(found)
    assert json.loads((tmp_path / "out/run.json").read_text())["without_face"] == 1
    assert run_quietly(manifest, tmp_path / "out", no_faces(config)).kept == 1


def no_faces(config: RunConfig) -> RunConfig:
    """As `config`, with a detector that is never sure enough: the random one sees faces everywhere."""
    return dataclasses.replace(config, capture=CaptureSettings(min_score=1.0))


def test_a_folder_without_a_run_gets_no_lock(tmp_path: Path) -> None:
    for act in (lambda: retry_quietly(tmp_path), lambda: resolve_run(SolveSettings(), RunOptions(tmp_path))):
        with pytest.raises(NoRun):
            act()
    assert not list(tmp_path.iterdir())
