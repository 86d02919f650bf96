"""What is shown while a run is going."""

from __future__ import annotations

import io

import pytest

from facecap_batch.output.ledger import DONE, Record
from facecap_batch.output.segment_store import SegmentRecord
from facecap_batch.runs.observers.progress import (
    BarDisplay,
    PlainDisplay,
    ProgressCounter,
    Snapshot,
    describe,
)
from facecap_batch.runs.workflow import WorkflowStep
from facecap_batch.scheduling.messages import Outcome, Progress, WorkerReady
from facecap_batch.timecode import clock


class Memory:
    """A display that remembers."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.remarks: list[str] = []

    def show(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def say(self, text: str) -> None:
        self.remarks.append(text)

    def close(self) -> None:
        pass


def done(clip_id: str, frames: int) -> Outcome:
    record = Record(clip_id, DONE, "", "", "", frames=frames, frames_with_face=1, seconds=frames / 25)
    return Outcome(clip_id, 1, result=record)


def end(counter: ProgressCounter, outcome: Outcome) -> None:
    """The events of the scheduler and of the workflow at the end of a clip."""
    counter.ended(outcome)
    counter.advance(WorkflowStep(outcome.key, ended=outcome))


def test_the_counter_counts_clips_frames_and_time() -> None:
    display = Memory()
    counter = ProgressCounter(
        clips=5, kept=1, costs={"a": 2.0, "b": 1.0, "c": 1.0, "d": 0.0}, display=display
    )
    counter.workers(2)
    for key in "abcd":
        counter.started(key, WorkerReady("node", 1))
    counter.progress("a", Progress(10))
    assert (display.snapshots[-1].frames, display.snapshots[-1].left_s) == (10, None)
    end(counter, done("b", 50))
    snapshot = counter.snapshot()
    assert (snapshot.done, snapshot.frames, snapshot.video_s) == (1, 60, pytest.approx(60 / 25))
    assert snapshot.share == 0.25 and snapshot.left_s == pytest.approx(3 * snapshot.elapsed_s, rel=0.5)
    counter.retried("a", "the worker process died")
    assert counter.snapshot().frames == 50  # what was lost is not counted
    end(counter, Outcome("c", 2, error_type="BadVideo", error="cut off"))
    end(counter, done("a", 100))
    end(counter, done("d", 0))
    last = counter.snapshot()
    assert (last.done, last.failed, last.frames, last.share, last.left_s) == (3, 1, 150, 1.0, 0.0)
    assert display.remarks == ["retried: a: the worker process died", "failed: c: BadVideo: cut off"]
    assert counter.most_workers == 2


def test_segments_count_before_their_clip_is_done() -> None:
    counter = ProgressCounter(clips=2, kept=0, costs={"long": 10.0, "short": 20.0}, display=Memory())
    counter.workers(1)
    counter.started("long", WorkerReady("node", 1))
    counter.ended(Outcome("long", 1))
    counter.advance(WorkflowStep("long", video_s=60.0))  # longer than was expected
    for number in range(3):
        record = SegmentRecord("", number, 1, 500, 1.0)
        counter.started(f"long/segment {number}", WorkerReady("node", 1))
        counter.progress(f"long/segment {number}", Progress(499))
        counter.ended(Outcome(f"long/segment {number}", 1, result=record))
        counter.advance(WorkflowStep("long", segments=(record,), segments_s=20.0))
        found = counter.snapshot()
        assert (found.done, found.frames) == (0, 500 * (number + 1))
        assert found.share == pytest.approx(20 * (number + 1) / 80)
    end(counter, done("long", 1500))
    assert (counter.snapshot().frames, counter.snapshot().share) == (1500, pytest.approx(60 / 80))
    end(counter, done("short", 100))
    assert (counter.snapshot().frames, counter.snapshot().share) == (1600, 1.0)


def snapshot(**changes: float) -> Snapshot:
    values: dict = {
        "clips": 40, "kept": 2, "done": 9, "failed": 1, "frames": 4620, "video_s": 185.0, "elapsed_s": 21.8,
        "left_s": 47.6, "workers": 2, "share": 0.3,
    }  # fmt: skip
    return Snapshot(**{**values, **changes})


def test_a_line_says_it_all() -> None:
    assert describe(snapshot()) == ("12/40 clips, 1 failed, 3:05 of video, 212 fps, 2 workers, 0:48 left")
    assert describe(snapshot(left_s=None, failed=0, workers=1, elapsed_s=0.0)) == (
        "11/40 clips, 3:05 of video, 0 fps, 1 worker"
    )
    assert [clock(seconds) for seconds in (0, 59.6, 3599, 36000)] == ["0:00", "1:00", "59:59", "10:00:00"]


def test_plain_lines_come_now_and_then_and_remarks_at_once() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream, every_s=3600)
    display.show(snapshot())
    display.say("failed: a")
    assert stream.getvalue() == "failed: a\n"
    eager = PlainDisplay(stream, every_s=0)
    eager.show(snapshot())
    assert stream.getvalue().count("12/40 clips") == 1


def test_the_bar_survives_names_that_look_like_markup(capfd: pytest.CaptureFixture[str]) -> None:
    display = BarDisplay()
    display.say("failed: [bold]take[/] [/closed]: oops")
    display.show(snapshot(share=1.0))
    display.close()
    text = capfd.readouterr().err
    assert "[bold]take[/] [/closed]" in text and "12/40 clips" in text
