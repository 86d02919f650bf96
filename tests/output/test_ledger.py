"""What is done stays done, what changed is done again: ledger, plan and the lock of a folder."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.errors import OutputBusy, OutputNotWritable
from facecap_batch.output.input_identity import identify
from facecap_batch.output.ledger import DONE, FAILED, Ledger, Record
from facecap_batch.output.lock import OutputLock
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.planner import plan
from facecap_batch.solve.settings import SolveSettings

CONFIG = RunConfig(
    engines="default",
    engine_hashes={"detector": "d" * 64, "regressor": "r" * 64},
    capture=CaptureSettings(),
    solve=SolveSettings(),
)


def clip(folder: Path, name: str = "a", size: int = 1000, **changes) -> Clip:
    path = folder / f"{name}.mp4"
    if not path.exists():
        path.write_bytes(b"x" * size)
    return dataclasses.replace(Clip(name, str(path), source=path.name), **changes)


def finish(ledger: Ledger, clip: Clip, config: RunConfig = CONFIG, **changes) -> Record:
    """Record `clip` as done, with files to show for it."""
    outputs = {}
    tables = [f"{kind}/{clip.clip_id}.parquet" for kind in ("raw", "coefficients")]
    for name in (*tables, f"fbx/{clip.clip_id}.fbx"):
        (ledger.output / name).parent.mkdir(parents=True, exist_ok=True)
        (ledger.output / name).write_bytes(b"result")
        outputs[name] = 6
    record = Record(
        clip_id=clip.clip_id,
        status=DONE,
        input_key=identify(clip).key(),
        capture_fingerprint=config.capture_fingerprint(),
        fingerprint=config.fingerprint(),
        outputs=outputs,
    )
    record = dataclasses.replace(record, **changes)
    ledger.put(record)
    return record


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "out")


def left(clips: list[Clip], ledger: Ledger, config: RunConfig = CONFIG, **options) -> list[str]:
    return [item.clip.clip_id for item in plan(clips, ledger, config, **options).items]


def test_a_record_comes_back_as_it_was(tmp_path: Path, ledger: Ledger) -> None:
    record = finish(ledger, clip(tmp_path, "名前 ü"), note="odd\nfile", engines={"detector": "d"})
    assert ledger.get("名前 ü") == record
    assert list(ledger.records()) == [record]
    assert ledger.get("another") is None


def test_done_clips_are_kept_until_something_changes(tmp_path: Path, ledger: Ledger) -> None:
    one = clip(tmp_path)
    assert left([one], ledger) == ["a"]
    finish(ledger, one)
    assert left([one], ledger) == []
    assert set(plan([one], ledger, CONFIG).kept) == {"a"}
    assert left([one], ledger, force=True) == ["a"]
    for change in (
        {"start": Fraction(1, 3)},
        {"end": Fraction(2)},
        {"actor": "Ada"},
        {"timecode": "1:00:00:00"},
    ):
        assert left([dataclasses.replace(one, **change)], ledger) == ["a"], change
    # What is only carried through changes no result.
    assert left([dataclasses.replace(one, extra={"scene": "12"}, row=7)], ledger) == []


def test_a_touched_or_replaced_file_is_another_input(tmp_path: Path, ledger: Ledger) -> None:
    one = clip(tmp_path)
    finish(ledger, one)
    status = Path(one.path).stat()
    os.utime(one.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert left([one], ledger) == ["a"]
    finish(ledger, one)
    Path(one.path).write_bytes(b"longer than before" * 100)
    os.utime(one.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert left([one], ledger) == ["a"]


def test_missing_or_cut_outputs_are_made_again(tmp_path: Path, ledger: Ledger) -> None:
    one = clip(tmp_path)
    finish(ledger, one)
    (ledger.output / "fbx/a.fbx").unlink()
    (item,) = plan([one], ledger, CONFIG).items
    assert item.reuse_raw  # decoding again is not called for
    finish(ledger, one)
    (ledger.output / "raw/a.parquet").write_bytes(b"res")
    (item,) = plan([one], ledger, CONFIG).items
    assert not item.reuse_raw


def test_another_configuration_is_another_result(tmp_path: Path, ledger: Ledger) -> None:
    one = clip(tmp_path)
    finish(ledger, one)
    solved = dataclasses.replace(CONFIG, solve=SolveSettings(smoothing=2.0))
    captured = dataclasses.replace(CONFIG, capture=CaptureSettings(detect_every=3))
    engines = dataclasses.replace(CONFIG, engine_hashes={"detector": "e" * 64, "regressor": "r" * 64})
    assert [item.reuse_raw for item in plan([one], ledger, solved).items] == [True]
    assert [item.reuse_raw for item in plan([one], ledger, captured).items] == [False]
    assert [item.reuse_raw for item in plan([one], ledger, engines).items] == [False]
    assert left([one], ledger, dataclasses.replace(CONFIG, backend="torch")) == []


def test_failed_clips_are_tried_again_unless_that_is_turned_off(tmp_path: Path, ledger: Ledger) -> None:
    one = clip(tmp_path)
    finish(ledger, one, status=FAILED, outputs={}, error_type="BadVideo", error="cut off")
    assert left([one], ledger) == ["a"]
    assert left([one], ledger, retry_failed=False) == []
    Path(one.path).write_bytes(b"a better copy")
    assert left([one], ledger, retry_failed=False) == ["a"]


def test_an_unreadable_record_counts_for_nothing(tmp_path: Path, ledger: Ledger) -> None:
    one = clip(tmp_path)
    finish(ledger, one)
    for text in ("", "{", "[]", '{"clip_id": "a", "surprise": 1}'):
        ledger.path("a").write_text(text)
        assert left([one], ledger) == ["a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": "6"},
        {"frames": -1},
        {"frames": 10**30},
        {"people": 1 << 31},
        {"outputs": ["raw/a.parquet"]},
        {"outputs": {"../../precious.track1.fbx": 5}},
        {"outputs": {}},
        {"checksums": {"raw/a.parquet": 5}},
        {"checksums": {"../a": "0" * 64}},
        {"engines": None},
        {"seconds": float("nan")},
        {"status": "finished"},
        {"clip_id": "b"},
        {"finished_at": 5},
        {"note": {}},
    ],
)
def test_a_record_of_wrong_types_counts_for_nothing(
    tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture, changes: dict[str, object]
) -> None:
    one = clip(tmp_path)
    finish(ledger, one)
    record = json.loads(ledger.path("a").read_text())
    ledger.path("a").write_text(json.dumps({**record, **changes}))
    assert left([one], ledger) == ["a"]
    if changes != {"outputs": {}}:  # a record of this kind is whole, and shows that the clip is not
        assert ledger.get("a") is None and not list(ledger.records())
        (said,) = caplog.messages  # once, however often it is looked up
        assert str(ledger.path("a")) in said


def test_a_record_that_is_no_file_counts_for_nothing(tmp_path: Path, ledger: Ledger) -> None:
    one = clip(tmp_path)
    finish(ledger, one)
    ledger.path("a").unlink()
    os.mkfifo(ledger.path("a"))  # whoever opens it waits for ever
    assert left([one], ledger) == ["a"]


def test_longest_expected_first_whatever_the_order(tmp_path: Path, ledger: Ledger) -> None:
    clips = [
        clip(tmp_path, "small", 1_000),
        clip(tmp_path, "large", 9_000_000),
        clip(tmp_path, "large-too", 9_000_000),
        clip(tmp_path, "range", 9_000_000, start=Fraction(1), end=Fraction(11)),
        Clip("missing", str(tmp_path / "missing.mp4")),
        Clip("remote", "https://127.0.0.1:1/a.mp4"),
    ]
    order = ["missing", "remote", "large", "large-too", "range", "small"]
    assert left(clips, ledger) == order
    assert left(clips[::-1], ledger) == order


def test_fingerprints_are_stable_and_survive_the_report(tmp_path: Path) -> None:
    described = json.loads(json.dumps(CONFIG.describe()))
    assert RunConfig.from_description(described) == CONFIG
    assert RunConfig.from_description(described).fingerprint() == CONFIG.fingerprint()
    assert CONFIG.fingerprint() != CONFIG.capture_fingerprint()


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for wrong in ({"workers": 0}, {"attempts": 0}):
        with pytest.raises(ValueError):
            RunOptions(tmp_path, **wrong)


HOLD = """
import sys, time
from pathlib import Path
from facecap_batch.output.lock import OutputLock
with OutputLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_runs_on_one_folder_refuse_each_other(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(OutputBusy, match=f"process {holder.pid}"), OutputLock(tmp_path):
            pass
        holder.kill()  # however it ends, the lock goes with it
        holder.wait()
        with OutputLock(tmp_path):
            pass


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("I was here first")
    with pytest.raises(OutputNotWritable, match="cannot be written"), OutputLock(tmp_path / "out"):
        pass
