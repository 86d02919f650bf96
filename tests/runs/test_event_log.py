"""The log of a run, line by line, without a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facecap_batch.output.ledger import DONE, FAILED, Record
from facecap_batch.runs.observers.event_log import EventLog
from facecap_batch.scheduling.messages import Outcome, WorkerReady

NODE = WorkerReady("node", 12, "torch")


@pytest.fixture
def event_log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "logs" / "log.jsonl", "run-1")


def lines(event_log: EventLog) -> list[dict]:
    return [json.loads(line) for line in event_log.path.read_text().splitlines()]


def test_steps_of_a_clip_have_its_name_and_their_own(event_log: EventLog) -> None:
    event_log.joined(NODE)
    event_log.started("take 1/segment 3", NODE)
    event_log.lost(NODE, "the worker process died", node_died=True)
    event_log.retried("take 1/segment 3", "the worker process died")
    event_log.started("take 1/segment 3", NODE)
    event_log.ended(Outcome("take 1/segment 3", 2, result=object()))
    found = lines(event_log)
    assert [line["event"] for line in found] == [
        "worker_joined", "started", "worker_lost", "retried", "started", "ended",
    ]  # fmt: skip
    assert all(line["run"] == "run-1" and (line["node"], line["pid"]) == ("node", 12) for line in found)
    assert all((line["clip"], line["step"]) == ("take 1", "segment 3") for line in found if "clip" in line)
    assert found[2]["node_died"] is True and found[-1]["attempts"] == 2


def test_clips_end_with_what_is_known_of_them(event_log: EventLog) -> None:
    event_log.kept(Record("名前", DONE, "", "", "", frames=7, seconds=0.5, backend="torch", note="odd\nfile"))
    event_log.kept(Record("b", FAILED, "", "", "", attempts=3, error_type="BadVideo", error="cut \udcff off"))
    event_log.lost(None, "never ready", node_died=False)
    done, failed, lost = lines(event_log)
    assert (done["event"], done["clip"], done["frames"], done["note"]) == ("done", "名前", 7, "odd\nfile")
    assert (failed["event"], failed["attempts"], failed["error"]) == ("failed", 3, "cut ? off")
    assert lost["event"] == "worker_lost" and "pid" not in lost


def test_two_runs_share_a_file_and_a_full_disk_ends_no_run(event_log: EventLog, tmp_path: Path) -> None:
    second = EventLog(event_log.path, "run-2")
    event_log.write("run_started")
    second.write("run_started")
    event_log.close()
    second.write("run_ended", state="finished")
    assert [line["run"] for line in lines(second)] == ["run-1", "run-2", "run-2"]
    full = EventLog(Path("/dev/full"), "run-3")
    full.write("run_started")
    full.write("run_ended")
