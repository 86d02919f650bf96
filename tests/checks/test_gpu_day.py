"""A GPU day: its steps that crash, hang or lack something, its time, its report, and a whole rehearsal."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.checks.bench import engine_speeds, opened_clip_speed
from facecap_batch.checks.gpu_day import steps, tables
from facecap_batch.checks.gpu_day.clips import SIZES, write_clip
from facecap_batch.checks.gpu_day.day import JSON_NAME, PACED_SHARE, USED_SHARE, GpuDay
from facecap_batch.checks.gpu_day.schedule import (
    COMPARED,
    GPU_BACKENDS,
    STAND_INS,
    DayOptions,
    measuring_steps,
    opening_steps,
)
from facecap_batch.checks.gpu_day.step import Step
from facecap_batch.checks.gpu_day.step_process import carry_out
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import BadVideo
from facecap_batch.video.decoder import decode
from tests.support import gpu_day_steps as bad
from tests.support.videos import number_of, picture, write_no_frames, write_video

ROOT = Path(__file__).resolve().parents[2]
LONG_S = 120.0  # for what should take a second


def step(name: str, share: float = 1.0, **arguments: object) -> Step:
    return Step(name, f"{bad.__name__}:{name}", arguments, share)


@pytest.mark.parametrize(
    ("name", "state", "why"),
    [
        ("crashes", "crashed", "SIGKILL; it printed: the last words"),
        ("lacks_a_module", "unavailable", "a_module_that_nobody_has"),
        ("lacks_a_library", "unavailable", "libnobodyhasit.so.9"),
        ("fails", "failed", "ArithmeticError: seven is not eight"),
    ],
)
def test_what_goes_wrong_is_told_and_what_was_found_is_kept(name: str, state: str, why: str) -> None:
    result = carry_out(step(name), LONG_S)
    assert (result.state, result.records) == (state, ({"number": 0},))
    assert why in result.why


def test_a_process_that_ends_by_itself_has_failed() -> None:
    result = carry_out(step("exits"), LONG_S)
    assert result.state == "failed" and "ended with 7; it printed: giving up" in result.why


def test_a_step_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    result = carry_out(step("hangs", pid_file=str(pid_file)), 8)
    assert (result.state, result.records) == ("overtime", ({"number": 0},))
    _wait_until_gone(int(pid_file.read_text()))


def test_a_crash_of_the_interpreters_end_costs_nothing() -> None:
    result = carry_out(step("crashes_at_the_end", directory="x"), LONG_S)
    assert (result.state, result.why, result.records) == ("done", "", ({"directory": "x"},))


def test_the_report_is_whole_after_every_step(tmp_path: Path) -> None:
    told: list[tuple[str, list[str]]] = []

    def say(line: str) -> None:
        said = json.loads((tmp_path / JSON_NAME).read_text())
        assert said["finished_at"] is None
        told.append((line, [entry["state"] for entry in said["steps"]]))

    day = GpuDay(DayOptions(tmp_path, tmp_path / "none.mp4", minutes=20), say)
    day.follow([step("good", count=2), step("crashes"), step("lacks_a_module"), step("good", count=1)])
    assert [states for _, states in told] == [
        ["done"],
        ["done", "crashed"],
        ["done", "crashed", "unavailable"],
        ["done", "crashed", "unavailable", "done"],
    ]
    assert told[0][0].startswith("good: done (") and "the last words" in told[1][0]
    assert day.results[0].records == ({"number": 0}, {"number": 1})


def test_steps_without_time_are_named(tmp_path: Path) -> None:
    day = GpuDay(DayOptions(tmp_path, tmp_path / "none.mp4", minutes=1e-4), lambda line: None)
    report = day.carry_out()
    assert {entry["state"] for entry in report["steps"]} == {"left out"}
    names = {entry["step"] for entry in report["steps"]}
    assert {"machine", "clips", "open tensorrt"} <= names
    assert "no time was left of 0.0001 minutes" in tables.page(report)


def test_a_slow_machine_repeats_less_and_still_finds_out_everything(tmp_path: Path) -> None:
    """The last steps keep their share of what the first ones leave, and are told how much that is."""
    day = GpuDay(DayOptions(tmp_path, tmp_path / "none.mp4", minutes=2), lambda line: None)
    paced = [dataclasses.replace(step("paces_itself", share), paced=True) for share in (0.3, 0.1)]
    day.follow(paced, to_the_end=True)
    first, last = ([record["budget_s"] for record in result.records] for result in day.results)
    whole = USED_SHARE * 120
    assert first == pytest.approx([PACED_SHARE * 0.75 * whole], abs=1)
    # The first did not need its time, so the last has all that is left.
    assert PACED_SHARE * 0.25 * whole < last[0] <= PACED_SHARE * whole
    assert day.describe()["steps"][1]["arguments"]["budget_s"] == last[0]


def test_what_is_missing_is_not_tried(tmp_path: Path) -> None:
    day = GpuDay(DayOptions(tmp_path, tmp_path / "none.mp4", minutes=20), lambda line: None)
    there, missing = (dataclasses.replace(step("fails"), needs=name) for name in ("there", "missing"))
    day.follow([step("finds"), missing, there])
    assert [(result.state, result.why[:14]) for result in day.results[1:]] == [
        ("unavailable", "it is not here"),
        ("failed", "Traceback (mos"),
    ]
    assert day.results[1].seconds == 0


def test_engines_and_clips_are_measured_in_any_time(tmp_path: Path, random_engines: EngineSet) -> None:
    card = random_engines.detector
    once = engine_speeds(card, "onnxruntime-cpu", seconds=60.0, budget_s=0.0)
    assert [(speed.batch, speed.rounds) for speed in once] == [(size, 1) for size in sorted(card.batch_sizes)]
    video = write_video(tmp_path / "a.mp4", 12)
    engines = tuple(open_engine(each, "onnxruntime-cpu") for each in random_engines.cards)
    beginning = opened_clip_speed(engines, video, CaptureSettings(), budget_s=0.0)
    whole = opened_clip_speed(engines, video, CaptureSettings(), budget_s=1e6)
    assert (beginning.frames, whole.frames) == (8, 12)


def test_what_matters_most_comes_first(tmp_path: Path) -> None:
    options = DayOptions(tmp_path, tmp_path / "face.mp4")
    assert [step.name for step in opening_steps(options, gpu=True)] == [
        *(f"open {name}" for name in (*GPU_BACKENDS, *COMPARED)),
        "clips",
    ]
    names = [each.name for each in measuring_steps(options, ["tensorrt", "onnxruntime-cpu"], gpu=True)]
    assert names == [
        "bench tensorrt",
        "certificate tensorrt",
        "capture tensorrt, 4 decoding threads",
        "capture tensorrt, decoded by NVDEC",
        "bench onnxruntime-cpu",
        "certificate onnxruntime-cpu",
        "capture onnxruntime-cpu, 4 decoding threads",
        "capture tensorrt, 1, 2, 8 decoding threads",
        "1 worker on tensorrt",
        "2 workers on tensorrt",
        "4 workers on tensorrt",
    ]
    assert measuring_steps(options, [], gpu=True) == []


def test_clips_go_forth_and_back(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", [picture(number, 320, 240) for number in range(5)])
    for size in SIZES:
        target = tmp_path / f"{size.name}.mp4"
        assert write_clip(source, target, size, 0.4) == 12
        frames = [frame.image for frame in decode(target)]
        assert {image.shape for image in frames} == {(size.height, size.width, 3)}
        assert [number_of(image) for image in frames] == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3]
    with pytest.raises(BadVideo):
        write_clip(write_no_frames(tmp_path / "empty.mp4"), tmp_path / "b.mp4", SIZES[1], 1)


def test_a_page_with_other_sections_is_refused(tmp_path: Path) -> None:
    report = GpuDay(DayOptions(tmp_path, tmp_path, minutes=1), lambda line: None).describe()
    text = (ROOT / "docs" / "gpu.md").read_text()
    assert tables.filled(tables.filled(text, report, "gpu.md"), report, "gpu.md") == tables.filled(
        text, report, "gpu.md"
    )
    for changed in (text.replace("gpu_day: clips", "gpu_day: films"), "# Nothing", text + text):
        with pytest.raises(tables.OtherSections, match=r"page\.md marks the sections .*; it needs"):
            tables.filled(changed, report, "page.md")


def test_a_table_holds_what_a_gpu_would_give(tmp_path: Path) -> None:
    """Records stand in for a GPU, which is not here."""
    day = GpuDay(DayOptions(tmp_path, tmp_path, minutes=1), lambda line: None)
    report = day.describe()
    report["steps"] = [
        {
            "step": "open tensorrt", "kind": "opening", "arguments": {"backend": "tensorrt"}, "state": "done",
            "why": "", "seconds": 70.0,
            "records": [
                {"plan": "detector", "seconds": 20.0, "existed": False},
                {"plan": "regressor", "seconds": 40.4, "existed": False},
                {"backend": "tensorrt", "open_s": 0.52, "first_s": 0.11, "gpu_mib": 812},
            ],
        },
        {
            "step": "workers", "kind": "workers", "arguments": {}, "state": "failed",
            "why": "Traceback:\nan error | <with> marks", "seconds": 1.0, "records": [],
        },
    ]  # fmt: skip
    page = tables.page(report)
    assert "| `tensorrt` | yes | 60 | 0.5 | 0.1 | 812 |  |  |  |" in page
    assert "| workers | failed | 1.0 |  | an error \\| &lt;with> marks |" in page


def test_a_rehearsal_from_end_to_end(tmp_path: Path, random_engines: EngineSet) -> None:
    output = tmp_path / "day"
    command = [
        sys.executable,
        ROOT / "jobs" / "gpu_day.py",
        "--rehearse",
        "--minutes",
        30,
        "--clip-seconds",
        0.2,
    ]
    ended = subprocess.run(
        [*map(str, command), "--output", str(output), "--engines", str(random_engines.folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    report = json.loads((output / JSON_NAME).read_text())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    states = {entry["step"]: entry["state"] for entry in report["steps"]}
    assert report["rehearsal"] and report["finished_at"]
    assert set(states.values()) <= {"done", "unavailable"}
    assert {name for name, state in states.items() if state == "unavailable"} == {
        *(f"open {name}" for name in GPU_BACKENDS),
        f"capture {STAND_INS[0]}, decoded by NVDEC",
    }
    captures = {
        (record["video"], record["backend"], record["decode_threads"]): record
        for entry in report["steps"]
        for record in entry["records"]
        if entry["kind"] == "capture"
    }
    assert {key[2] for key in captures if key[1] == STAND_INS[0]} == {1, 2, 4, 8}
    assert all(record["frames"] == 6 and record["fps"] > 0 for record in captures.values())
    kept = json.loads((output / "certificates" / "onnxruntime-cpu.json").read_text())
    assert kept["verdict"] == "agrees"
    runs = [record for entry in report["steps"] for record in entry["records"] if entry["kind"] == "workers"]
    assert [(run["workers"], run["done"] / run["clips"]) for run in runs] == [(1, 1), (2, 1)]
    page = (output / "gpu.md").read_text()
    assert "A rehearsal without a GPU" in page and "| 360p | `torch` | CPU | 4 | 6 |" in page
    assert "A rehearsal" not in (ROOT / "docs" / "gpu.md").read_text()


def test_a_day_that_is_ended_ends_its_step(tmp_path: Path) -> None:
    script = (
        "import runpy, sys; from pathlib import Path; from facecap_batch.checks.gpu_day.day import GpuDay;"
        "from facecap_batch.checks.gpu_day.step import Step;"
        f"GpuDay.carry_out = lambda day: day.follow([Step('hangs', '{bad.__name__}:hangs', "
        f"{{'pid_file': {str(tmp_path / 'pid')!r}}}, 1.0)]);"
        f"sys.argv = ['gpu_day', '--output', {str(tmp_path / 'day')!r}];"
        f"runpy.run_path({str(ROOT / 'jobs' / 'gpu_day.py')!r}, run_name='__main__')"
    )
    job = subprocess.Popen([sys.executable, "-c", script])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert job.wait() == 128 + signal.SIGTERM
    _wait_until_gone(int((tmp_path / "pid").read_text()))


def test_no_figures_of_a_rehearsal_in_the_documents(tmp_path: Path) -> None:
    command = [
        sys.executable,
        ROOT / "jobs" / "gpu_day.py",
        "--rehearse",
        "--write-docs",
        "--output",
        tmp_path,
    ]
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and "no figures of a rehearsal" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_step_can_be_called() -> None:
    options = DayOptions(Path("out"), Path("face.mp4"))
    listed = opening_steps(options, gpu=False) + measuring_steps(options, list(STAND_INS), gpu=False)
    for each in listed:
        module, _, name = each.function.partition(":")
        assert module == steps.__name__ and callable(getattr(steps, name))
        assert json.loads(json.dumps(dict(each.arguments))) == each.arguments


def _wait_until_gone(process: int) -> None:
    """A killed process is a zombie until somebody asks for its end."""
    while Path(f"/proc/{process}").exists():
        if "\nState:\tZ" in Path(f"/proc/{process}/status").read_text():
            return
        time.sleep(0.05)
