"""One process or Ray: which is chosen, and that nothing but `run.json` shows it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facecap_batch.clip import Clip
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.executors.choice import choose_executor
from facecap_batch.runs.executors.lengths import measured_seconds
from facecap_batch.runs.planner import Plan, WorkItem
from facecap_batch.runs.start import resolve_run
from facecap_batch.solve.settings import SolveSettings
from tests.support.event_logs import lines
from tests.support.faulty_workers import make_dying_worker, make_starved_worker
from tests.support.long_clips import CLOSED, pictures
from tests.support.runs import results, rows, run_quietly, write_clips, write_manifest
from tests.support.videos import write_video

ROOT = Path(__file__).resolve().parents[2]
RAY = {"workers": 1, "cpus_per_worker": 0.5}  # one worker of Ray's
OF_THE_CLOCK = ("wall_s", "finished_at")


def plan_of(*items: WorkItem) -> Plan:
    return Plan(items, {})


def item(seconds: float, path: str = "/nowhere.mp4", **fields: Any) -> WorkItem:
    return WorkItem(Clip("clip", path), "key", seconds, **fields)


def executor_of(output: Path) -> str:
    return str(json.loads((output / "run.json").read_text())["executor"])


def records(output: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in sorted((output / "ledger").glob("*.json"))]
    return [{name: value for name, value in record.items() if name not in OF_THE_CLOCK} for record in found]


def events(log: Path) -> list[tuple[Any, ...]]:
    """What the lines of a log say, sorted: records are published by threads, in no certain order."""
    names = ("event", "clip", "step", "attempts", "frames", "error_type", "error", "state", "done", "failed")
    return sorted((tuple(line.get(name) for name in names) for line in lines(log)), key=repr)


class TestChoice:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"ray_address": "auto"}, "Ray: its address was given"),
            ({"workers": 2}, "Ray: 2 workers were asked for"),
            ({"gpus_per_worker": 0.25}, "Ray: the size of a worker was given"),
            ({"cpus_per_worker": 2.0, "workers": 1}, "Ray: the size of a worker was given"),
            ({"workers": 1}, "one process: one worker was asked for"),
            ({}, "one process: about 8 s of video to do, at most 60 s"),
        ],
    )
    def test_options_decide_first(self, tmp_path: Path, options: dict[str, Any], reason: str) -> None:
        assert choose_executor(plan_of(item(8)), RunOptions(tmp_path, **options)).reason == reason

    def test_a_large_job_goes_to_ray(self, tmp_path: Path) -> None:
        options = RunOptions(tmp_path)
        assert choose_executor(plan_of(item(3600)), options).reason == (
            "Ray: about 3600 s of video to do, more than 60 s"
        )
        many = [item(5)] * 100
        assert choose_executor(plan_of(*many), options).reason.startswith("Ray: about 500 s")

    def test_what_is_only_solved_counts_little(self, tmp_path: Path) -> None:
        solves = [item(600, reuse_raw=True)] * 2
        assert choose_executor(plan_of(*solves), RunOptions(tmp_path)).reason == (
            "one process: about 48 s of video to do, at most 60 s"
        )

    def test_containers_are_asked_where_the_file_s_size_misleads(self, tmp_path: Path) -> None:
        write_video(tmp_path / "short.mp4", 30)
        (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
        short = item(200, str(tmp_path / "short.mp4"))  # a file of 100 MB
        assert choose_executor(plan_of(short), RunOptions(tmp_path)).reason == (
            "one process: about 1 s of video to do, at most 60 s"
        )
        clips = [
            Clip(name, str(tmp_path / name)) if "://" not in name else Clip("uri", name)
            for name in ("short.mp4", "broken.mp4", "missing.mp4", "s3://bucket/take.mp4")
        ]
        assert measured_seconds(clips) == [pytest.approx(1.0), 0.0, 0.0, None]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short clips, one that is cut into segments, a file that is no video, one that is missing."""
    folder = tmp_path_factory.mktemp("footage")
    write_clips(folder, {"one": 20, "two": 30})
    write_video(folder / "long.mp4", pictures(), **CLOSED)  # type: ignore[arg-type]
    (folder / "broken.mp4").write_bytes(b"this is no video" * 64)
    names = ("one", "broken", "long", "missing", "two")
    return write_manifest(folder, [{"path": f"{name}.mp4", "scene": f"of {name}"} for name in names])


def test_nothing_but_the_report_tells_a_process_from_ray(
    manifest: Path, config: RunConfig, tmp_path: Path
) -> None:
    found = {}
    for name, options in (("process", {"workers": 1}), ("ray", RAY)):
        output, log = tmp_path / name, tmp_path / f"{name}.jsonl"
        summary = run_quietly(manifest, output, config, segment_s=2, log_json=log, **options)
        table = {
            clip_id: {column: value for column, value in row.items() if column != "wall_s"}
            for clip_id, row in rows(output).items()
        }
        counts = (summary.exit_code, summary.done, summary.failed, summary.pending, summary.frames)
        found[name] = counts, results(output), table, records(output), events(log)
    assert found["process"] == found["ray"]
    counts, files, table, _, log = found["process"]
    assert counts == (1, 3, 2, 0, 290) and len(files) == 9
    assert ("started", "long", "segment 1") in [line[:3] for line in log]
    assert table["broken"]["error_type"] == "NoVideoStream"
    assert executor_of(tmp_path / "process") == "one process: one worker was asked for"
    assert executor_of(tmp_path / "ray") == "Ray: the size of a worker was given"
    (host,) = json.loads((tmp_path / "process/run.json").read_text())["hosts"]
    assert host["cpus"] >= 1 and host["memory_bytes"] > 0 and host["backends"] == ["onnxruntime-cpu"]


def test_one_finishes_what_the_other_began(manifest: Path, config: RunConfig, tmp_path: Path) -> None:
    """Resuming, another solve, and another executor: what is done stays done."""
    few = write_manifest(
        tmp_path, [{"path": str(manifest.parent / f"{name}.mp4")} for name in ("one", "two")]
    )
    assert run_quietly(few, tmp_path / "out", config, workers=1).exit_code == 0
    first = results(tmp_path / "out")
    assert run_quietly(few, tmp_path / "out", config, **RAY).kept == 2  # type: ignore[arg-type]
    assert executor_of(tmp_path / "out").startswith("one process")  # nothing was done since
    (tmp_path / "out/fbx/two.fbx").unlink()
    assert run_quietly(few, tmp_path / "out", config, workers=1).kept == 1
    assert results(tmp_path / "out") == first
    raw = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/raw").iterdir()}
    assert resolve_run(SolveSettings(smoothing=0.0), RunOptions(tmp_path / "out")).exit_code == 0
    assert executor_of(tmp_path / "out").startswith("one process: about 0 s of video")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/raw").iterdir()} == raw
    assert results(tmp_path / "out") != first


def rows_after_faults(
    once: str,
    always: str,
    make_worker: Callable[..., Any],
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, dict[str, Any]]:
    """Rows of a run of two attempts whose workers a fault befalls at the clip `once` one time and at `always`
    each time, and not at a third clip; the next run, with other workers, does the rest."""
    manifest, output = write_clips(tmp_path, {once: 9, always: 9, "free": 8}), tmp_path / "out"
    with monkeypatch.context() as faulty:
        faulty.setattr("facecap_batch.runs.executors.process_executor.make_worker", make_worker)
        summary = run_quietly(manifest, output, config, workers=1, attempts=2)
    assert (summary.exit_code, summary.done, summary.failed) == (1, 2, 1)
    found = rows(output)
    assert {name: row["attempts"] for name, row in found.items()} == {once: 2, always: 2, "free": 1}
    report = json.loads((output / "run.json").read_text())
    assert (report["lost_workers"], report["retries"]) == (3, 2)
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    return found


def test_a_decoder_that_crashes_costs_an_attempt(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = "segfault-once", "kill-always"
    failed = rows_after_faults(*clips, make_dying_worker, config, tmp_path, monkeypatch)["kill-always"]
    assert failed["error_type"] == "WorkerLost"
    assert "lost 2 worker(s), the last: the worker process died: ended by signal 9" in failed["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory cannot be taken away here")
def test_memory_that_runs_out_costs_an_attempt_of_the_clip_alone(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker can do nothing any more: another does the next clip."""
    clips = "starve-once", "starve-always"
    failed = rows_after_faults(*clips, make_starved_worker, config, tmp_path, monkeypatch)["starve-always"]
    assert failed["error_type"] in ("OutOfMemory", "WorkerLost")  # the second where none is left to say so
    assert "run fewer workers at a time" in failed["error"]


GATED = """
import sys
from facecap_batch.cli.app import main
from facecap_batch.runs.executors import process_executor
from tests.support.faulty_workers import make_gated_worker
process_executor.make_worker = make_gated_worker
main(sys.argv[1:])
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_run_goes_on_where_it_was(config: RunConfig, tmp_path: Path, end: signal.Signals) -> None:
    manifest = write_clips(tmp_path, {"free": 40, "waits": 8})
    output, log = tmp_path / "out", tmp_path / "log.jsonl"
    arguments = ["run", manifest, "-o", output, "--engines", config.engines, "--workers", "1"]
    arguments += ["--backend", "onnxruntime-cpu", "--log-json", log]
    driver = subprocess.Popen(
        [sys.executable, "-c", GATED, *map(str, arguments)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: any(line["clip"] == "waits" for line in lines(log, "started")))
    wait_until(lambda: (output / "ledger/free.json").exists())
    worker = next(line["pid"] for line in lines(log) if "pid" in line)
    os.kill(driver.pid, end)
    _, words = driver.communicate(timeout=60)
    wait_until(lambda: not Path(f"/proc/{worker}").exists())
    if end != signal.SIGKILL:
        assert driver.returncode == 130 and "the same command goes on from here" in words
        assert json.loads((output / "run.json").read_text())["state"] == "interrupted"
    summary = run_quietly(manifest, output, config, workers=1)
    assert (summary.exit_code, summary.done, summary.kept) == (0, 2, 1)


def wait_until(happened: Callable[[], bool], within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.05)


def test_a_small_run_imports_neither_ray_nor_torch(config: RunConfig, tmp_path: Path) -> None:
    """Neither the driver nor its worker: whoever imports them here fails and says so."""
    for name in ("ray", "torch"):
        (tmp_path / "traps" / name).mkdir(parents=True)
        trap = f"open({str(tmp_path / name)!r}, 'w').close()\nraise SystemExit({name!r} + ' is imported')\n"
        (tmp_path / "traps" / name / "__init__.py").write_text(trap)
    manifest = write_clips(tmp_path, {"one": 8})
    arguments = ["run", manifest, "-o", tmp_path / "out", "--engines", config.engines]
    path = os.pathsep.join([str(tmp_path / "traps"), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-m", "facecap_batch", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not (tmp_path / "ray").exists() and not (tmp_path / "torch").exists()
    assert executor_of(tmp_path / "out").startswith("one process: about")
