"""Runs of footage that is named without a manifest, by the command line, one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import facecap_batch
from facecap_batch.coefficients import read_parquet
from facecap_batch.runs.config import RunConfig
from tests.support.commands import call
from tests.support.runs import results, rows
from tests.support.videos import picture, write_video

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, frames in (("day1/take.mp4", 8), ("day2/take.mp4", 12)):
        (tmp_path / name).parent.mkdir()
        write_video(tmp_path / name, frames)
    (tmp_path / "shot").mkdir()
    for number in (1, 2, 3, 6):
        cv2.imwrite(str(tmp_path / f"shot/{number:04d}.png"), picture(number)[:, :, ::-1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path, config: RunConfig, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> tuple[int, str, str]:
        return call(capsys, "run", *arguments, "--engines", config.engines, "--backend", "onnxruntime-cpu")

    return command


def test_footage_needs_no_manifest(here: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, words, _ = run("day1/take.mp4", "day2/take.mp4", "shot", "--fps", "10")
    out = here / "facecap-out"
    assert code == 0 and words.startswith("3 of 3 clips done, ")
    assert words.endswith(f"animation: {out / 'fbx'}, tables: {out / 'coefficients'}\n")
    assert [(name, row["frames"], row["fps"]) for name, row in rows(out).items()] == [
        ("day1-take", 8, 30.0),
        ("day2-take", 12, 30.0),
        ("shot", 4, 10.0),
    ]
    shot = read_parquet(out / "coefficients/shot.parquet")
    assert shot.pts.tolist() == [0, 1, 2, 5] and shot.time_s().tolist() == [0.0, 0.1, 0.2, 0.5]
    first = results(out)
    assert len(first) == 9

    # The same arguments, and others that come to the same, find everything done.
    for names in (
        ["day1/take.mp4", "day2/take.mp4", "shot"],
        ["day*/*.mp4", "shot/*.png"],
        ["day1"],
        ["shot"],
    ):
        code, words, _ = run(*names, "--fps", "10", "-o", "facecap-out")
        assert code == 0 and words.startswith("3 of 3 clips done, 3 of them by earlier runs")
    assert results(out) == first and list(rows(out)) == ["shot", "day1-take", "day2-take"]

    # What comes later joins in under a name of its own, and leaves what is there as it is.
    (here / "day3").mkdir()
    write_video(here / "day3/shot.mp4", 8)
    code, words, _ = run("day3", "--no-solve")
    assert code == 0 and words.startswith("4 of 4 clips done, 3 of them by earlier runs")
    assert list(rows(out)) == ["shot-2", "shot", "day1-take", "day2-take"]
    assert {name: data for name, data in results(out).items() if "shot-2" not in name} == first
    # Another rate makes another clip of the same images.
    code, words, _ = run("shot", "--fps", "20", "--no-solve")
    assert code == 0 and rows(out)["shot-3"]["fps"] == 20.0

    # Every command finds the images again.
    assert call(capsys, "retry", out, "--clip", "shot")[0] == 0
    assert call(capsys, "preview", out, "--clip", "shot", "--sheet")[0] == 0
    assert (out / "preview/shot.jpg").is_file()
    assert call(capsys, "export", out, "--clip", "shot", "--format", "livelink")[0] == 0


def test_changed_images_are_done_again(here: Path, run: Run) -> None:
    assert run("shot", "-o", "out")[1].startswith("1 of 1 clips done, 0:00 of video, 4 frames")
    cv2.imwrite(str(here / "shot/0004.png"), picture(4)[:, :, ::-1])
    assert run("shot", "-o", "out")[1].startswith("1 of 1 clips done, 0:00 of video, 5 frames")
    assert run("shot", "-o", "out")[1].startswith("1 of 1 clips done, 1 of them by earlier runs")


def test_the_end_of_a_run_names_clips_without_a_face(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the default engines, which find nobody in stripes."""
    grey = [np.full((48, 64, 3), 120, np.uint8)] * 4
    for number in range(22):
        write_video(here / f"empty {number:02d}.mp4", grey)
    (here / "broken.mp4").write_bytes(b"no video" * 64)
    code, words, errors = call(capsys, "run", "*.mp4", "--workers", "1")
    assert code == 1 and words.startswith("22 of 23 clips done, 1 failed (see ")
    names = ", ".join(f"empty {number:02d}" for number in range(20))
    assert f"no face was found in 22 of them: {names} and 2 more (see note in " in words
    assert "failed: broken: NoVideoStream" in errors
    assert json.loads((here / "facecap-out/run.json").read_text())["without_face"] == 22


def test_from_python(here: Path, config: RunConfig) -> None:
    options = {"engines": config.engines, "backend": "onnxruntime-cpu"}
    summary = facecap_batch.run("shot", here / "out", fps="29.97", **options)
    assert (summary.exit_code, summary.frames, summary.no_face) == (0, 4, ())
    assert rows(here / "out")["shot"]["path"] == str(here / "shot/%04d.png@30000:1001")
    summary = facecap_batch.run(["shot", Path("day1")], here / "stills", stills=True, **options)
    assert (summary.clips, summary.done) == (5, 5)
    one = facecap_batch.capture("shot/%04d.png@30000:1001", **options)
    assert one.clip_id == "shot" and len(one.final) == 4
    written = here / "alone.parquet"
    one.to_parquet(written)
    assert written.read_bytes() == (here / "out/coefficients/shot.parquet").read_bytes()


def test_a_manifest_mixes_all_of_it(here: Path, run: Run) -> None:
    (here / "takes.csv").write_text(
        "path,sequence_fps,scene\nday1,,1\nshot,24,2\nday*/t*.mp4,,3\nshot/0002.png,,4\n"
    )
    code, words, _ = run("takes.csv")
    assert code == 0 and words.startswith("5 of 5 clips done")
    found = rows(here / "facecap-out")
    assert [(name, row["path"], row["scene"]) for name, row in found.items()] == [
        ("take", "day1/take.mp4", "1"),
        ("shot", "shot/%04d.png@24", "2"),
        ("day1-take", "day1/take.mp4", "3"),
        ("day2-take", "day2/take.mp4", "3"),
        ("0002", "shot/0002.png", "4"),
    ]
    assert run("takes.csv")[1].startswith("5 of 5 clips done, 5 of them by earlier runs")
    assert re.match(r"5 of 5 clips done, 5 of them", run("takes.csv", "-q")[1])
