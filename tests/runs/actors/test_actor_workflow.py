"""Clips of one actor step by step in this process: in any order, cut, failing, behind a URI."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.output.actors import ACTORS_NAME, read_actors, write_actors
from facecap_batch.output.ledger import CAPTURED, DONE, FAILED, Ledger, Record
from facecap_batch.output.lock import OutputLock
from facecap_batch.runs.actors.plan import with_actors
from facecap_batch.runs.actors.workflow import ActorWorkflow
from facecap_batch.runs.clip_steps import classify_error, process
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.observers.event_log import EventLog
from facecap_batch.runs.planner import plan
from facecap_batch.runs.records import RunRecords
from facecap_batch.runs.workflow import WorkflowStep
from facecap_batch.scheduling.messages import Outcome, Task
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.storage.publish import StoragePath, storage_path
from tests.support.discs import DiscDetector, DiscRegressor
from tests.support.long_clips import CLOSED, pictures
from tests.support.runs import at_any_time, results
from tests.support.videos import write_video

SEGMENT_S = 2.0
CONFIG = RunConfig("discs", {}, CaptureSettings(), SolveSettings(calibrate="actor"))
LONG, SHORT, OTHER = "long", "short", "other"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("discs")
    write_video(folder / "long.mp4", pictures(), **CLOSED)  # type: ignore[arg-type]
    for name in (SHORT, OTHER):
        write_video(folder / f"{name}.mp4", pictures(40), **CLOSED)  # type: ignore[arg-type]
    actors = {LONG: "Ada", SHORT: "Ada", OTHER: None}
    return [Clip(name, str(folder / f"{name}.mp4"), actor=actor) for name, actor in actors.items()]


@dataclasses.dataclass
class Carried:
    """How a run went."""

    keys: list[str]  # of the tasks that were done
    steps: list[WorkflowStep]

    def ended(self) -> dict[str, Outcome]:
        return {step.clip_id: step.ended for step in self.steps if step.ended is not None}


def carry_out(
    clips: list[Clip],
    output: StoragePath,
    order: random.Random | None = None,
    losing: Collection[str] = (),
    segment_s: float = 0.0,
    tasks_done: int = 1000,
) -> Carried:
    """What the driver does, without Ray. It takes tasks in the `order` that comes, the workers of the tasks
    `losing` die, and it is killed after `tasks_done`."""
    ledger = Ledger(output).as_of_now()
    workflow = ActorWorkflow(with_actors(plan(clips, ledger, CONFIG), clips, ledger, CONFIG), output)
    tasks: list[Task] = workflow.first()
    carried = Carried([], [])
    while tasks and len(carried.keys) < tasks_done:
        task = tasks.pop(order.randrange(len(tasks)) if order else 0)
        carried.keys.append(task.key)
        outcome = Outcome(task.key, 3, error_type="WorkerLost", error="lost 3 workers")
        if task.key not in losing:
            try:
                with OutputLock(output) as lock:
                    result = process(task.payload, CONFIG, lock.claim, engines, None, segment_s)
                outcome = Outcome(task.key, 1, result=result)
            except Exception as error:
                error_type, message, _ = classify_error(error)
                outcome = Outcome(task.key, 1, error_type=error_type, error=message)
        for step in workflow.advance(outcome):
            carried.steps.append(step)
            tasks = [task for task in tasks if task.key not in step.dropped] + list(step.tasks)
            publish(Ledger(output), step)
    if not tasks:
        write_actors(output, workflow.calibrations)
    return carried


def publish(ledger: Ledger, step: WorkflowStep) -> None:
    if step.captured is not None:
        ledger.put(step.captured)
    if step.ended is not None and step.ended.ok:
        ledger.put(step.ended.result)
    elif step.ended is not None:
        raw = step.ended.result.raw if step.ended.result else {}
        before = step.ended.result or Record(step.clip_id, FAILED, "", "", "")
        ledger.put(dataclasses.replace(before, status=FAILED, outputs=raw))


def engines() -> FaceCapture:
    return FaceCapture(DiscDetector(), DiscRegressor(), CONFIG.capture)


@pytest.fixture(scope="module")
def clean(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("clean")
    carried = carry_out(clips, output)
    assert sorted(carried.keys) == sorted(
        [LONG, SHORT, OTHER, "/calibration of Ada", f"{LONG}/solve", f"{SHORT}/solve"]
    )
    assert all(outcome.ok for outcome in carried.ended().values())
    assert read_actors(output)["Ada"].clips == 2
    return everything(output)


def everything(output: Path) -> dict[str, bytes]:
    return {**results(output), ACTORS_NAME: (output / ACTORS_NAME).read_bytes()}


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_tasks_gives_the_same_bytes(
    seed: int, clips: list[Clip], clean: dict[str, bytes], tmp_path: Path
) -> None:
    """Also of a clip that is cut into segments, which is solved after its join."""
    carried = carry_out(clips, tmp_path, random.Random(seed), segment_s=SEGMENT_S)
    keys = carried.keys
    assert keys.index(f"{LONG}/join") < keys.index("/calibration of Ada") < keys.index(f"{LONG}/solve")
    captured = next(step for step in carried.steps if step.captured and step.clip_id == LONG)
    assert captured.was_cut and captured.ended is None
    assert everything(tmp_path) == clean
    assert carry_out(clips, tmp_path).keys == []


def test_killed_after_any_task(clips: list[Clip], clean: dict[str, bytes], tmp_path: Path) -> None:
    for count in range(7):
        output = tmp_path / str(count)
        first = carry_out(clips, output, tasks_done=count)
        second = carry_out(clips, output)
        assert everything(output) == clean
        # Nothing is captured or solved twice; only the calibration, as long as it is not in the folder.
        again = set(first.keys) & set(second.keys) - {"/calibration of Ada"}
        assert not again and carry_out(clips, output).keys == []


def test_a_capture_that_fails_leaves_its_actor_to_the_others(clips: list[Clip], tmp_path: Path) -> None:
    alone, output = tmp_path / "alone", tmp_path / "out"
    carry_out([clip for clip in clips if clip.clip_id != LONG], alone)
    carried = carry_out(clips, output, losing=[LONG])
    assert carried.ended()[LONG].error_type == "WorkerLost" and carried.ended()[SHORT].ok
    assert everything(output) == everything(alone)
    assert carry_out(clips, output, losing=[LONG]).keys == [LONG]  # the others need nothing
    solves = {f"{LONG}/solve", f"{SHORT}/solve"}
    assert set(carry_out(clips, output).keys) == {LONG, "/calibration of Ada", *solves}


@pytest.mark.parametrize(
    ("losing", "failed"),
    [("/calibration of Ada", {LONG, SHORT}), (f"{SHORT}/solve", {SHORT})],
    ids=["calibration", "solve"],
)
def test_what_fails_after_the_capture_is_not_captured_again(
    losing: str, failed: set[str], clips: list[Clip], clean: dict[str, bytes], tmp_path: Path
) -> None:
    carried = carry_out(clips, tmp_path, losing=[losing])
    ended = carried.ended()
    assert {name for name, outcome in ended.items() if not outcome.ok} == failed
    assert ended[SHORT].error == f"{losing.lstrip('/')}: lost 3 workers"
    again = carry_out(clips, tmp_path)
    assert set(again.keys) == {"/calibration of Ada", *(f"{name}/solve" for name in failed)}
    assert everything(tmp_path) == clean


def test_a_folder_behind_a_uri(clips: list[Clip], clean: dict[str, bytes]) -> None:
    output = storage_path("memory://actors")
    carry_out(clips, output, tasks_done=4)
    carry_out(clips, output)
    assert {name: (output / name).read_bytes() for name in clean} == clean
    assert carry_out(clips, output).keys == []


def record(status: str) -> Record:
    return Record("take", status, "input", "capture", "all")


def test_the_record_of_the_end_comes_after_that_of_the_capture(tmp_path: Path) -> None:
    """However slow the storage is with the first."""
    gate = threading.Event()

    class Gated(Ledger):
        def put(self, record: Record) -> None:
            if record.status == CAPTURED:
                assert gate.wait(20)
            super().put(record)

    records = RunRecords(Gated(tmp_path), {}, at_any_time)
    seen: list[str] = []
    records.observe(lambda record: seen.append(record.status))
    records.publish(record(CAPTURED), False)
    records.publish(record(DONE), False)
    assert not records.by_clip
    threading.Timer(0.2, gate.set).start()
    records.close()
    found = Ledger(tmp_path).get("take")
    assert found is not None and found.status == DONE and seen == [DONE]


def test_a_capture_whose_record_is_refused_goes_on(tmp_path: Path) -> None:
    class Full(Ledger):
        def put(self, record: Record) -> None:
            raise OSError("full")

    records = RunRecords(Full(tmp_path), {}, at_any_time)
    records.publish(record(CAPTURED), False)
    records.close()
    assert not records.by_clip


def test_the_log_names_a_step_of_several_clips(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log.jsonl", "run")
    log.retried("/calibration of Ada", "lost")
    log.close()
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert line["step"] == "calibration of Ada" and "clip" not in line
