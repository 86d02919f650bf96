"""Long clips in whole runs on real Ray: the same bytes as uncut, also after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from facecap_batch.output.segment_store import FOLDER
from facecap_batch.runs import run
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.observers.progress import ProgressCounter
from facecap_batch.scheduling.messages import WorkerReady
from tests.support import videos
from tests.support.local_ray import ROOT
from tests.support.processes import worker_processes
from tests.support.runs import half_written, results, rows, run_quietly, write_manifest

pytestmark = pytest.mark.usefixtures("ray_floor")

SEGMENT_S = 2.0
CLOSED = {"x264-params": "keyint=20:min-keyint=20:scenecut=0:bframes=3", "preset": "veryfast"}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    videos.write_video(folder / "long.mp4", 250, options=CLOSED)
    videos.write_video(folder / "short.mp4", 20)
    return write_manifest(folder, [{"path": "long.mp4", "actor": "A"}, {"path": "short.mp4"}])


@pytest.fixture(scope="module")
def whole(manifest: Path, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that cuts nothing."""
    output = tmp_path_factory.mktemp("whole")
    assert run_quietly(manifest, output, config, segment_s=0.0).exit_code == 0
    return output


class Spy(ProgressCounter):
    """Remembers which tasks were given to workers."""

    started_keys: list[str]

    def started(self, key: str, worker: WorkerReady) -> None:
        Spy.started_keys.append(key)
        super().started(key, worker)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    Spy.started_keys = []
    monkeypatch.setattr(run, "ProgressCounter", Spy)
    return Spy.started_keys


def test_the_same_bytes_as_uncut(
    manifest: Path, config: RunConfig, whole: Path, tmp_path: Path, started: list[str]
) -> None:
    assert run_quietly(manifest, tmp_path, config, segment_s=SEGMENT_S).exit_code == 0
    assert results(tmp_path) == results(whole)
    assert not (tmp_path / FOLDER).exists()
    segments = [key for key in started if "/segment" in key]
    assert len(segments) >= 3 and started.index("long/join") > started.index(segments[-1])
    ours, theirs = rows(tmp_path)["long"], rows(whole)["long"]
    assert (ours["frames"], ours["frames_with_face"]) == (theirs["frames"], theirs["frames_with_face"])
    assert run_quietly(manifest, tmp_path, config, segment_s=0.0).kept == 2  # cuts are no other configuration


def test_a_killed_run_goes_on_with_the_segments_that_it_lacks(
    manifest: Path, config: RunConfig, whole: Path, tmp_path: Path, started: list[str]
) -> None:
    arguments = ["--engines", config.engines, "--backend", "onnxruntime-cpu", "--workers", "1"]
    arguments += ["--segment-seconds", str(SEGMENT_S), "-q"]
    process = subprocess.Popen(
        [sys.executable, "-m", "facecap_batch", "run", str(manifest), "-o", str(tmp_path), *arguments],
        cwd=ROOT, env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        start_new_session=True,
    )  # fmt: skip
    records = tmp_path / FOLDER / "long"
    deadline = time.monotonic() + 240
    while not list(records.glob("[0-9]*.json")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(2)  # its worker notices, and dies of it
    done = {int(path.stem) for path in records.glob("[0-9]*.json")}
    assert done
    assert run_quietly(manifest, tmp_path, config, segment_s=SEGMENT_S).exit_code == 0
    repeated = {int(key.rsplit(" ", 1)[1]) for key in started if "/segment" in key}
    assert repeated and not repeated & done
    assert results(tmp_path) == results(whole)
    assert not half_written(tmp_path) and not (tmp_path / FOLDER).exists()


class Killer(Spy):
    """Kills the worker that was given segment 1."""

    def started(self, key: str, worker: WorkerReady) -> None:
        super().started(key, worker)
        if key == "long/segment 1":
            threading.Thread(target=self.kill, daemon=True).start()

    @staticmethod
    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for process in worker_processes():
                os.kill(process, signal.SIGKILL)
                return
            time.sleep(0.001)


def test_a_segment_that_kills_its_workers_fails_its_clip_only(
    manifest: Path, config: RunConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spy.started_keys = []
    monkeypatch.setattr(run, "ProgressCounter", Killer)
    options = {"workers": 1, "segment_s": SEGMENT_S, "attempts": 2}
    assert run_quietly(manifest, tmp_path, config, **options).exit_code == 1  # type: ignore[arg-type]
    found = rows(tmp_path)
    assert (found["long"]["error_type"], found["long"]["attempts"]) == ("WorkerLost", 2)
    assert found["long"]["error"].startswith("long/segment 1: lost 2 worker(s)")
    assert (found["short"]["status"], found["short"]["attempts"]) == ("done", 1)
    monkeypatch.setattr(run, "ProgressCounter", ProgressCounter)
    assert run_quietly(manifest, tmp_path, config, segment_s=SEGMENT_S).exit_code == 0
    assert results(tmp_path) == results(whole)
