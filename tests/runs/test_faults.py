"""Whole runs whose workers and driver really die: the rest is not harmed, the same command finishes it, and
the bytes are those of a run that nothing disturbed.
"""

from __future__ import annotations

import collections
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facecap_batch.errors import OutputBusy
from facecap_batch.output.status import status
from facecap_batch.runs.config import RunConfig
from facecap_batch.scheduling import task_queue
from tests.support.event_logs import lines
from tests.support.faulty_workers import DyingWorker, HangingWorker
from tests.support.local_ray import ROOT
from tests.support.runs import half_written, results, rows, run_quietly, write_clips, write_manifest

pytestmark = pytest.mark.usefixtures("ray_floor")

FREE = ["free-0", "free-1", "free-2"]
FAULTY = ["segfault-always", "segfault-once", "kill-once", "hang-once"]
STALL_S = 15.0
ATTEMPTS = 2


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("faults"), dict.fromkeys([*FREE, *FAULTY], 8))


@pytest.fixture(scope="module")
def clean(manifest: Path, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("clean") / "out"
    assert run_quietly(manifest, output, config).exit_code == 0
    return results(output)


def of_clips(found: dict[str, bytes], *clip_ids: str) -> dict[str, bytes]:
    return {name: data for name, data in found.items() if Path(name).stem in clip_ids}


def test_workers_that_segfault_or_are_killed(
    manifest: Path,
    config: RunConfig,
    clean: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, log = tmp_path / "out", tmp_path / "log.jsonl"
    with monkeypatch.context() as faulty:
        faulty.setattr("facecap_batch.runs.worker.ClipWorker", DyingWorker)
        summary = run_quietly(manifest, output, config, attempts=ATTEMPTS, log_json=log)
    assert (summary.exit_code, summary.done, summary.failed) == (1, 6, 1)
    expected = {name: 1 for name in [*FREE, "hang-once"]} | {name: ATTEMPTS for name in FAULTY[:3]}
    assert {name: row["attempts"] for name, row in rows(output).items()} == expected
    poison = rows(output)["segfault-always"]
    assert poison["error_type"] == "WorkerLost" and "lost 2 worker(s)" in poison["error"]
    assert "the worker process died" in poison["error"] and "memory" not in poison["error"]
    marks = collections.Counter(path.name.split(".")[0] for path in Path(f"{output}.marks").iterdir())
    assert marks == expected  # nobody else's clip was begun twice
    assert results(output) == of_clips(clean, *FREE, *FAULTY[1:])
    report = json.loads((output / "run.json").read_text())
    assert (report["lost_workers"], report["lost_to_nodes"], report["retries"]) == (4, 0, 3)
    assert report["errors"] == {"WorkerLost": 1} and len(lines(log, "worker_lost")) == 4
    # What went wrong is mended: the same command does what is left.
    assert run_quietly(manifest, output, config).exit_code == 0
    assert results(output) == clean and not half_written(output)


def test_a_worker_that_hangs_is_replaced_and_ended(
    manifest: Path,
    config: RunConfig,
    clean: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, log = tmp_path / "out", tmp_path / "log.jsonl"
    chosen = ("hang-once", "free-0")
    few = write_manifest(tmp_path, [{"path": str(manifest.parent / f"{name}.mp4")} for name in chosen])
    monkeypatch.setattr("facecap_batch.runs.worker.ClipWorker", HangingWorker)
    monkeypatch.setattr(task_queue, "Limits", functools.partial(task_queue.Limits, stall_s=STALL_S))
    # Attempts enough for a machine so busy that a good worker is silent for as long.
    assert run_quietly(few, output, config, attempts=5, log_json=log).exit_code == 0
    hung = next(line for line in lines(log, "started") if line["clip"] == "hang-once")
    lost = next(line for line in lines(log, "worker_lost") if line["pid"] == hung["pid"])
    assert lost["reason"] == "no progress for 15 s"
    assert gone(
        lost["pid"]
    )  # a stopped process does not hear Ray's order to leave; Ray kills it after seconds
    assert animations(results(output)) == animations(of_clips(clean, *chosen))


def animations(found: dict[str, bytes]) -> dict[str, bytes]:
    """The FBX files: nothing in them says by which path the manifest named the clip."""
    return {name: data for name, data in found.items() if name.startswith("fbx/")}


def gone(process: int, within_s: float = 60.0) -> bool:
    deadline = time.monotonic() + within_s
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not alive(process)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


GATED = """
import facecap_batch.runs.worker
from tests.support import faulty_workers
facecap_batch.runs.worker.ClipWorker = faulty_workers.GatedWorker
from facecap_batch.cli.app import main
main()
"""


def test_a_driver_that_is_killed_half_way(
    manifest: Path, config: RunConfig, clean: dict[str, bytes], tmp_path: Path
) -> None:
    output, log = tmp_path / "out", tmp_path / "log.jsonl"
    paths = str(ROOT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    options = ["--engines", config.engines, "--backend", "onnxruntime-cpu", "--workers", "2", "-q"]
    process = subprocess.Popen(
        [sys.executable, "-c", GATED, "run", manifest, "-o", output, "--log-json", log, *options],
        env={**environment, "PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    # Three are done, and both workers have another in their hands.
    deadline = time.monotonic() + 400
    while process.poll() is None and time.monotonic() < deadline:
        if len(lines(log, "done")) == 3 and len(lines(log, "started")) == 5:
            break
        time.sleep(0.05)
    assert (status(output).state, status(output).done) == ("running", 3)
    with pytest.raises(OutputBusy, match=f"process {process.pid} on"):
        run_quietly(manifest, output, config)
    process.kill()
    process.communicate()
    found = status(output)
    assert (found.state, found.done, found.pending) == ("killed", 3, 4)
    workers = {line["pid"] for line in lines(log, "worker_joined")}
    assert len(workers) == 2 and all(gone(worker) for worker in workers)

    summary = run_quietly(manifest, output, config)
    assert (summary.exit_code, summary.kept) == (0, 3)
    assert results(output) == clean and not half_written(output)
