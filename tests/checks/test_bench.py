"""Speeds: every engine, backend and batch, a clip's stages, the peer beside it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import get_args

import pytest

from facecap_batch.capturing.context import Stage
from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.checks import bench_report, mediapipe_baseline
from facecap_batch.checks.bench import BaselineClipSpeed, ClipSpeed, EngineSpeed, bench, clip_speed
from facecap_batch.checks.stage_timer import Stopwatch
from facecap_batch.cli.app import main
from facecap_batch.clip import Clip
from facecap_batch.coefficients import to_arrow
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import BackendUnavailable, BaselineFailed
from tests.support.discs import DiscDetector, DiscRegressor, disc_video, walk
from tests.support.videos import write_video

SPEAKING = Path(__file__).resolve().parents[2] / "manifests" / "demo" / "speaking.mp4"


def test_everything_is_measured_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    markdown, figures = tmp_path / "speed.md", tmp_path / "speed.json"
    arguments = ["bench", SPEAKING, "--backend", "onnxruntime-cpu", "--seconds", 0.01]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in (*arguments, "--markdown", markdown, "--json", figures)])
    assert not end.value.code
    text = capsys.readouterr().out
    said = json.loads(figures.read_text())
    cards, page = load_set("default").cards, markdown.read_text()
    assert [(row["role"], row["batch"]) for row in said["engines"]] == [
        (card.role, size) for card in cards for size in card.batch_sizes
    ]
    for row in said["engines"]:
        assert 0 < row["p50_ms"] <= row["p99_ms"] and row["memory_mib"] > 0 and row["rounds"] >= 5
        assert row["per_second"] == pytest.approx(1e3 * row["batch"] / row["p50_ms"])
        assert (
            f"| {row['role']} {row['engine']} | onnxruntime-cpu | fp32 | {row['batch']} |"
            in markdown.read_text()
        )
    (clip,) = said["clips"]
    assert list(clip["shares"]) == [*get_args(Stage), "solve", "export", "rest"]
    assert sum(clip["shares"].values()) == pytest.approx(1)
    assert all(share > 0 for share in clip["shares"].values())
    assert min(clip["decode_fps"], clip["fps"]) > 0
    assert said["hardware"]["cpus"] and said["versions"]["onnxruntime"]
    assert f"| {SPEAKING.name} | {clip['frames']} |" in page
    assert len(text.splitlines()) == len(said["engines"]) + 1 + len(clip["stages"]) + 1
    assert set(clip["limits"]) == {"decode", "detect", "orientation", "regress"}
    for stage in ("detect", "orientation", "regress"):
        assert 0 < clip["limits"][stage] < clip["stages"][stage]
    assert "limit" in text and "| regress | " in page


def test_stages_add_up_and_end_with_an_error() -> None:
    stopwatch = Stopwatch()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), stopwatch.during("decode"):
            time.sleep(0.01)
            raise ZeroDivisionError
    with stopwatch.during("solve"):
        pass
    assert stopwatch.seconds["decode"] >= 0.02 > stopwatch.seconds["solve"] > 0
    assert stopwatch.seconds["regress"] == 0


def test_timing_changes_no_result(tmp_path: Path) -> None:
    clip = Clip("clip", str(disc_video(tmp_path / "a.mp4", walk(50))))
    stopwatch = Stopwatch()
    timed = FaceCapture(DiscDetector(), DiscRegressor(), timer=stopwatch).capture(clip)
    assert to_arrow(timed).equals(to_arrow(FaceCapture(DiscDetector(), DiscRegressor()).capture(clip)))
    assert all(seconds > 0 for seconds in stopwatch.seconds.values())


def test_a_clip_without_a_face_is_measured_too(tmp_path: Path) -> None:
    speed = clip_speed(load_set("default"), "onnxruntime-cpu", write_video(tmp_path / "a.mp4", 12))
    assert speed.frames == 12 and speed.stages["regress"] == 0 < speed.stages["decode"]
    assert "regress" not in speed.limits


def test_a_backend_that_is_not_there_is_named() -> None:
    with pytest.raises(BackendUnavailable, match="no backend 'abacus'"):
        next(bench(backends=["abacus"]))


def test_the_peer_is_another_process(tmp_path: Path) -> None:
    """A script stands in for MediaPipe, which this environment lacks."""
    script = tmp_path / "peer.py"
    script.write_text("import sys\nprint(sys.argv[1:])\nprint('TOTAL: 30 frames, 1.5 s')")
    speed = mediapipe_baseline.measure([SPEAKING], tmp_path / "model.task", Path(sys.executable), script)
    assert (speed.frames, speed.inner_s) == (30, 1.5) and speed.command_s > 0
    script.write_text("raise SystemExit('no such model')")
    with pytest.raises(BaselineFailed, match="no such model"):
        mediapipe_baseline.measure([SPEAKING], tmp_path / "model.task", Path(sys.executable), script)
    with pytest.raises(BaselineFailed, match="absent"):
        mediapipe_baseline.measure([SPEAKING], tmp_path / "model.task", tmp_path / "absent")


def test_the_peer_stands_beside_the_clip() -> None:
    stages, limits = {"decode": 0.2, "regress": 0.2, "rest": 0.1}, {"decode": 0.1, "regress": 0.15}
    clip = ClipSpeed("a.mp4", "onnxruntime-cpu", 100, 0.1, 0.5, stages, limits=limits)
    engine = EngineSpeed("detector", "d", "onnxruntime-cpu", "fp32", 1, 9, 4.0, 5.0, 250.0, 30.0)
    page = bench_report.markdown([engine, clip, BaselineClipSpeed("a.mp4", 100, 2.0)])
    assert "| whole, fps | MediaPipe, fps | ratio |" in page
    assert "| a.mp4 | 100 | 1000 | 200 | 50 | 4.00 |" in page
    rows = ("| decode | 2.000 | 40 | 1.000 |", "| rest | 1.000 | 20 | – |", "| whole | 5.000 | 100 | 2.500 |")
    assert all(row in page for row in rows)
