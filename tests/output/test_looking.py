"""What can be done with a finished folder; the log, the metrics and the report of a run."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from facecap_batch.cli.app import main
from facecap_batch.errors import BadManifest, EngineMismatch, OutputBusy, OutputNotWritable
from facecap_batch.exporting.choice import choose
from facecap_batch.exporting.formats import EXPORTERS
from facecap_batch.output.compaction import compact
from facecap_batch.output.exports import (
    ExportedClip,
    NotExportable,
    UnknownClip,
    export_clips,
    preview_clips,
)
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.query import query
from facecap_batch.output.reports import NoRun
from facecap_batch.output.status import describe, status, watch
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.observers.progress import PlainDisplay
from facecap_batch.runs.retry import ManifestChanged, retry_run
from facecap_batch.runs.run import RunSummary
from facecap_batch.runs.start import resolve_run
from facecap_batch.solve.settings import SolveSettings
from tests.support.event_logs import lines
from tests.support.local_ray import local_ray
from tests.support.runs import results, rows, run_quietly, write_clips

LENGTHS = {"one": 12, "two": 20}


@pytest.fixture(scope="module", autouse=True)
def ray_floor() -> Iterator[None]:
    """A local Ray that exports its metrics every second instead of every ten."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_metrics_report_interval_ms", "1000")
        with local_ray():
            yield


@pytest.fixture(scope="module")
def folder(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips, a manifest that names one more, and what a run made of it in ``out``."""
    folder = tmp_path_factory.mktemp("looking")
    manifest = write_clips(folder, LENGTHS)
    with manifest.open("a") as file:
        file.write("bad.mp4\n")
    (folder / "bad.mp4").write_bytes(b"not a video")
    assert run_quietly(manifest, folder / "out", config, log_json=folder / "log.jsonl").exit_code == 1
    return folder


def retry_quietly(output: Path, *clip_ids: str, **options: object) -> RunSummary:
    with Path(os.devnull).open("w") as nowhere:
        return retry_run(RunOptions(output, workers=1, **options), clip_ids, PlainDisplay(nowhere))


def test_the_log_describes_a_run_line_by_line(folder: Path) -> None:
    log = lines(folder / "log.jsonl")
    run = json.loads((folder / "out/run.json").read_text())
    assert {line["run"] for line in log} == {run["run_id"]}
    assert [line["event"] for line in (log[0], log[-1])] == ["run_started", "run_ended"]
    assert (log[-1]["state"], log[-1]["done"], log[-1]["failed"]) == ("finished", 2, 1)
    assert [line["time"] for line in log] == sorted(line["time"] for line in log)
    of_one = {line["event"]: line for line in log if line.get("clip") == "one"}
    assert set(of_one) == {"started", "ended", "done"} and of_one["done"]["frames"] == LENGTHS["one"]
    joined = {(line["node"], line["pid"]) for line in log if line["event"] == "worker_joined"}
    assert (of_one["ended"]["node"], of_one["ended"]["pid"]) in joined
    assert of_one["ended"]["wall_s"] > 0
    (failed,) = (line for line in log if line["event"] == "failed")
    assert (failed["clip"], failed["error_type"]) == ("bad", "NoVideoStream") and "bad.mp4" in failed["error"]


def test_a_log_that_cannot_be_written_is_refused_before_the_run(folder: Path, config: RunConfig) -> None:
    before = (folder / "out/run.json").read_bytes()
    with pytest.raises(OutputNotWritable, match="--log-json"):
        run_quietly(folder / "manifest.csv", folder / "out", config, log_json=folder / "bad.mp4/log")
    assert (folder / "out/run.json").read_bytes() == before


def test_the_report_names_hosts_and_errors(folder: Path) -> None:
    run = json.loads((folder / "out/run.json").read_text())
    assert run["errors"] == {"NoVideoStream": 1}
    assert (run["retries"], run["lost_workers"], run["lost_to_nodes"]) == (0, 0, 0)
    (host,) = run["hosts"]
    assert (host["cpus"], host["nodes"], host["backends"]) == (2.0, 1, ["onnxruntime-cpu"])
    assert host["workers"] == run["workers"] and host["memory_bytes"] > 0


def test_status_is_watched_until_the_run_ends(folder: Path) -> None:
    found = list(watch(folder / "out", every_s=60))
    assert found == [status(folder / "out")] and found[0].state == "finished"
    assert "1 × NoVideoStream, as bad: " in describe(found[0])
    with OutputLock(folder / "out"):  # as a run holds it
        looks = watch(folder / "out", every_s=0.01)
        assert [next(looks).state for _ in range(3)] == ["running"] * 3
    assert [look.state for look in looks] == ["finished"]


def test_prometheus_gets_the_figures_from_ray_s_own_endpoint(folder: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.prometheus", reason="Ray's metrics agent is not installed")
    (node,) = (node for node in ray.nodes() if node["Alive"])
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    wanted = {
        "frames_total": sum(LENGTHS.values()),
        "video_seconds_total": sum(LENGTHS.values()) / 30,
        "clips_done_total": len(LENGTHS),
        "clips_failed_total": 1,
    }
    found: dict[str, float] = {}
    deadline = time.monotonic() + 60
    # Ray exports what was recorded in portions, so that a name may be there before all its counts are.
    while any(found.get(name, 0) < value for name, value in wanted.items()) and time.monotonic() < deadline:
        time.sleep(0.5)
        text = urllib.request.urlopen(address, timeout=10).read().decode()
        found = {}
        for name, labels, value in re.findall(r"^ray_facecap_(\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
            if name == "frames_total":
                assert f'node="{node["NodeID"]}"' in labels and 'backend="onnxruntime-cpu"' in labels
            if name == "clips_failed_total":
                assert 'error_type="NoVideoStream"' in labels
            found[name] = found.get(name, 0.0) + float(value)
    assert {name: found.get(name) for name in wanted} == pytest.approx(wanted)


def test_a_clip_that_cannot_be_exported_keeps_no_other_from_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, video = tmp_path / "out", folder / "one.mp4"
    shutil.copytree(folder / "out", output)
    video.rename(folder / "away.mp4")
    try:
        one, two = preview_clips(output, [], tmp_path / "sheets", ".jpg")
    finally:
        (folder / "away.mp4").rename(video)
    assert (one.clip_id, one.path) == ("one", None) and "one.mp4" in str(one.error)
    assert two == ExportedClip("two", tmp_path / "sheets/two.jpg") and (tmp_path / "sheets/two.jpg").exists()

    for damage in ("not a table", None):  # None: gone
        table = output / "coefficients/one.parquet"
        table.unlink()
        if damage:
            table.write_text(damage)
        one, two = export_clips(output, [], tmp_path / "csv", choose("livelink", None, None))
        assert isinstance(one.error, NotExportable) and "one.csv cannot be made: " in str(one.error)
        assert two.error is None and two.path == tmp_path / "csv/two.csv" and two.path.exists()

    arguments = ["export", str(output), "--format", "livelink", "--to", str(tmp_path / "again")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert ended.value.code == 1 and printed.out == f"{tmp_path / 'again/two.csv'}\n"
    assert "one: " in printed.err and printed.err.endswith("1 of 2 clips failed\n")


def test_a_full_disk_ends_an_export(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(EXPORTERS, "fbx", (refuse, ".fbx"))
    with pytest.raises(OSError, match="No space left"):
        list(export_clips(folder / "out", [], tmp_path, choose("fbx", None, None)))


def test_retry_does_the_failed_clips_and_no_others(folder: Path, config: RunConfig, tmp_path: Path) -> None:
    output = folder / "out"
    before = results(output)
    (folder / "bad.mp4").write_bytes((folder / "one.mp4").read_bytes())
    summary = retry_quietly(output)
    assert (summary.exit_code, summary.done, summary.kept) == (0, 3, 2)
    assert rows(output)["bad"]["status"] == "done"
    after = results(output)
    assert {name: after[name] for name in before} == before
    # A named clip is done again, whatever became of it; the bytes are the same.
    written = {path: path.stat().st_mtime_ns for path in output.rglob("*.fbx")}
    summary = retry_quietly(output, "two", log_json=tmp_path / "log.jsonl")
    assert (summary.exit_code, summary.kept) == (0, 2) and results(output) == after
    newer = [path.stem for path in output.rglob("*.fbx") if path.stat().st_mtime_ns > written[path]]
    assert newer == ["two"]
    assert {line["clip"] for line in lines(tmp_path / "log.jsonl") if "clip" in line} == {"two"}
    assert run_quietly(folder / "manifest.csv", output, config).kept == 3


def test_retry_refuses_what_it_cannot_repeat(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, manifest = folder / "out", folder / "manifest.csv"
    with pytest.raises(NoRun):
        retry_quietly(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UnknownClip, match="nobody"):
        retry_quietly(output, "nobody")
    with OutputLock(output), pytest.raises(OutputBusy):
        retry_quietly(output)
    with monkeypatch.context() as newer, pytest.raises(EngineMismatch, match="Run the manifest again"):
        newer.setattr("facecap_batch.runs.config.CAPTURE_REVISION", 99)
        retry_quietly(output)
    text = manifest.read_text()
    manifest.write_text(text + "another.mp4\n")
    with pytest.raises(ManifestChanged, match=r"1 clip\(s\) are new, gone or different: another"):
        retry_quietly(output)
    manifest.unlink()
    with pytest.raises(BadManifest, match="cannot read the manifest"):
        retry_quietly(output)
    manifest.write_text(text)
    assert retry_quietly(output).exit_code == 0  # nothing has failed: nothing is done


def test_a_compacted_folder_stays_good_for_everything(
    folder: Path, config: RunConfig, tmp_path: Path
) -> None:
    manifest, output, plain = folder / "manifest.csv", tmp_path / "out", tmp_path / "plain"
    for copy in (output, plain):
        shutil.copytree(folder / "out", copy)
    asked = "SELECT clip_id, frame_index, jawOpen FROM coefficients ORDER BY 1, 2"
    compact(output, remove_originals=True)
    assert not list(output.glob("raw/*")) and query(output, asked) == query(plain, asked)
    assert run_quietly(manifest, output, config).kept == 3  # nothing is done again
    (sheet,) = preview_clips(output, ["two"], tmp_path, ".jpg")
    (fbx,) = export_clips(output, ["two"], tmp_path, choose("fbx", None, None))
    assert sheet.path is not None and sheet.path.stat().st_size > 1000
    assert fbx.path is not None and fbx.path.read_bytes() == (plain / "fbx/two.fbx").read_bytes()

    with Path(os.devnull).open("w") as nowhere:
        for copy in (output, plain):
            options = RunOptions(copy, workers=1)
            assert resolve_run(SolveSettings(smoothing=0.0), options, PlainDisplay(nowhere)).exit_code == 0
    assert query(output, asked) == query(plain, asked)
    solved = {name: data for name, data in results(plain).items() if not name.startswith("raw/")}
    assert results(output) == solved  # the raw tables are where they were, the others are their own again
    compact(output, remove_originals=True)
    assert query(output, asked) == query(plain, asked)
    assert status(output).done == 3
