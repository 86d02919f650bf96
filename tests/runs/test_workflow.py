"""A long clip from its row to its files, step by step in this process: cut, rotated, broken, resumed."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.segments.plan import SegmentPlan
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.errors import FacecapError
from facecap_batch.output.input_identity import identify
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.ownership.claim import Claim
from facecap_batch.output.segment_store import SegmentFolder, remove_done
from facecap_batch.runs.clip_steps import classify_error, process
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.planner import WorkItem
from facecap_batch.runs.workflow import ClipWorkflow
from facecap_batch.scheduling.messages import Outcome, Task
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.storage.publish import StoragePath, storage_path
from facecap_batch.storage.remote import RemotePath
from tests.support import videos
from tests.support.discs import DiscDetector, DiscRegressor
from tests.support.long_clips import CLOSED, pictures
from tests.support.runs import results
from tests.support.videos import write_video

SEGMENT_S = 2.0
CONFIG = RunConfig("discs", {}, CaptureSettings(), SolveSettings())


def engines(config: RunConfig) -> FaceCapture:
    return FaceCapture(DiscDetector(), DiscRegressor(), config.capture)


@dataclasses.dataclass
class Carried:
    """How a clip went."""

    keys: list[str]  # of the tasks that were done
    ended: Outcome


def work_item(path: Path) -> WorkItem:
    clip = Clip("clip", str(path))
    return WorkItem(clip, identify(clip).key(), 10.0)


def carry_out(
    path: Path,
    output: StoragePath,
    segment_s: float = SEGMENT_S,
    config: RunConfig = CONFIG,
    losing: str = "",
) -> Carried:
    """What the driver does, without Ray; the workers of task `losing` die."""
    with OutputLock(output) as lock:
        return _carry_out(path, lock.claim, segment_s, config, losing)


def _carry_out(path: Path, claim: Claim, segment_s: float, config: RunConfig, losing: str) -> Carried:
    workflow = ClipWorkflow([work_item(path)], claim.output)
    tasks: collections.deque[Task] = collections.deque(workflow.first())
    keys: list[str] = []
    ended = None
    while tasks:
        task = tasks.popleft()
        keys.append(task.key)
        outcome = Outcome(task.key, 3, error_type="WorkerLost", error="lost 3 workers")
        if task.key != losing:
            try:
                result = process(task.payload, config, claim, lambda: engines(config), None, segment_s)
                outcome = Outcome(task.key, 1, result=result)
            except FacecapError as error:
                error_type, message, _ = classify_error(error)
                outcome = Outcome(task.key, 1, error_type=error_type, error=message)
        step = workflow.advance(outcome)
        tasks = collections.deque(task for task in tasks if task.key not in step.dropped)
        tasks.extend(step.tasks)
        assert ended is None or step.ended is None
        ended = step.ended or ended
    assert ended is not None
    return Carried(keys, ended)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", pictures(), **CLOSED)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(long_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("whole")
    assert carry_out(long_clip, output, segment_s=0.0).keys == ["clip"]
    return results(output)


def test_the_files_are_those_of_the_clip_in_one_piece(
    long_clip: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    carried = carry_out(long_clip, tmp_path)
    assert carried.keys[0] == "clip" and carried.keys[-1] == "clip/join" and len(carried.keys) >= 5
    assert carried.ended.ok and carried.ended.key == "clip"
    assert results(tmp_path) == whole
    short = carry_out(long_clip, tmp_path / "short", segment_s=7.0)
    assert short.keys == ["clip"] and results(tmp_path / "short") == whole


def test_a_lost_segment_fails_the_clip_and_a_rerun_does_what_is_missing(
    long_clip: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    carried = carry_out(long_clip, tmp_path, losing="clip/segment 1")
    assert carried.keys == ["clip", "clip/segment 0", "clip/segment 1"]  # the others were dropped
    assert (carried.ended.key, carried.ended.error_type, carried.ended.attempts) == ("clip", "WorkerLost", 3)
    assert carried.ended.error == "clip/segment 1: lost 3 workers"
    carried = carry_out(long_clip, tmp_path)
    assert "clip/segment 0" not in carried.keys and "clip/segment 1" in carried.keys
    assert results(tmp_path) == whole
    assert carry_out(long_clip, tmp_path).keys == ["clip", "clip/join"]  # nobody removed what was done

    folder = SegmentFolder(tmp_path, "clip")
    (folder.path / "0001.npz").write_bytes(b"cut off")
    assert carry_out(long_clip, tmp_path).keys == ["clip", "clip/segment 1", "clip/join"]
    data = bytearray((folder.path / "0001.npz").read_bytes())
    data[len(data) // 2] ^= 0xFF  # of full length, and wrong
    (folder.path / "0001.npz").write_bytes(data)
    assert carry_out(long_clip, tmp_path).keys == ["clip", "clip/join", "clip"]  # rather in one piece
    assert results(tmp_path) == whole


def test_another_input_or_configuration_makes_other_segments(long_clip: Path, tmp_path: Path) -> None:
    first = carry_out(long_clip, tmp_path)
    other = dataclasses.replace(CONFIG, capture=CaptureSettings(max_faces=1))
    assert carry_out(long_clip, tmp_path, config=other).keys == first.keys
    assert len(carry_out(long_clip, tmp_path, segment_s=3.0, config=other).keys) < len(first.keys)
    folder = SegmentFolder(tmp_path, "clip")
    folder.remove()
    assert not folder.path.exists()


def test_a_clip_that_turns_out_to_lie_on_its_side_is_taken_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "side.mp4", pictures(hidden=[range(120)], turn=90), **CLOSED)  # type: ignore[arg-type]
    carried = carry_out(path, tmp_path / "cut")
    assert "clip/segment 0 (2)" in carried.keys and carried.keys[-1] == "clip/join (2)"
    carry_out(path, tmp_path / "whole", segment_s=0.0)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["refuse", "keep"])
def test_a_damaged_clip_ends_as_in_one_piece(damage: str, long_clip: Path, tmp_path: Path) -> None:
    """Its index is whole, so it is cut; one segment meets the damage."""
    path = videos.flip_bytes(long_clip, tmp_path / "broken.mp4", at=0.6, count=3000)
    config = dataclasses.replace(CONFIG, capture=CaptureSettings(damage=damage))  # type: ignore[arg-type]
    cut = carry_out(path, tmp_path / "cut", config=config)
    whole = carry_out(path, tmp_path / "whole", segment_s=0.0, config=config)
    assert "clip/segment 0" in cut.keys and cut.keys[-1] == "clip"
    assert (cut.ended.error_type, cut.ended.error) == (whole.ended.error_type, whole.ended.error)
    assert cut.ended.error_type == ("BadVideo" if damage == "refuse" else "")
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    rerun = carry_out(path, tmp_path / "cut", config=config)
    assert rerun.keys == ["clip"]  # it is remembered


def test_cuts_come_back_as_they_were_written(long_clip: Path, tmp_path: Path) -> None:
    with OutputLock(tmp_path) as lock:
        cuts = process(work_item(long_clip), CONFIG, lock.claim, lambda: engines(CONFIG), None, SEGMENT_S)
    assert isinstance(cuts, SegmentPlan)
    assert SegmentFolder(tmp_path, "clip").plan(cuts.key) == cuts
    assert SegmentFolder(tmp_path, "clip").plan("another") is None


def test_segments_behind_a_uri(long_clip: Path, whole: dict[str, bytes]) -> None:
    output = storage_path("memory://segments")
    assert isinstance(output, RemotePath)
    assert carry_out(long_clip, output, losing="clip/segment 1").ended.error_type == "WorkerLost"
    assert "clip/segment 0" not in carry_out(long_clip, output).keys
    assert {name: (output / name).read_bytes() for name in whole} == whole
    remove_done(output, lambda clip_id: clip_id == "another")
    assert "segments/clip/cuts.json" in output.sizes()
    remove_done(output, lambda clip_id: clip_id == "clip")
    assert sorted(output.sizes()) == sorted(whole)
