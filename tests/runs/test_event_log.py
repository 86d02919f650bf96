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
def journal(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "logs" / "log.jsonl", "run-1")


def lines(journal: EventLog) -> list[dict]:
    return [json.loads(line) for line in journal.path.read_text().splitlines()]


def test_steps_of_a_clip_have_its_name_and_their_own(journal: EventLog) -> None:
    journal.joined(NODE)
    journal.started("take 1/segment 3", NODE)
    journal.lost(NODE, "the worker process died", node_died=True)
    journal.retried("take 1/segment 3", "the worker process died")
    journal.started("take 1/segment 3", NODE)
    journal.ended(Outcome("take 1/segment 3", 2, result=object()))
    found = lines(journal)
    assert [line["event"] for line in found] == [
        "worker_joined", "started", "worker_lost", "retried", "started", "ended",
    ]  # fmt: skip
    assert all(line["run"] == "run-1" and (line["node"], line["pid"]) == ("node", 12) for line in found)
    assert all((line["clip"], line["step"]) == ("take 1", "segment 3") for line in found if "clip" in line)
    assert found[2]["node_died"] is True and found[-1]["attempts"] == 2


def test_clips_end_with_what_is_known_of_them(journal: EventLog) -> None:
    journal.kept(Record("名前", DONE, "", "", "", frames=7, seconds=0.5, backend="torch", note="odd\nfile"))
    journal.kept(Record("b", FAILED, "", "", "", attempts=3, error_type="BadVideo", error="cut \udcff off"))
    journal.lost(None, "never ready", node_died=False)
    done, failed, lost = lines(journal)
    assert (done["event"], done["clip"], done["frames"], done["note"]) == ("done", "名前", 7, "odd\nfile")
    assert (failed["event"], failed["attempts"], failed["error"]) == ("failed", 3, "cut ? off")
    assert lost["event"] == "worker_lost" and "pid" not in lost


def test_two_runs_share_a_file_and_a_full_disk_ends_no_run(journal: EventLog, tmp_path: Path) -> None:
    second = EventLog(journal.path, "run-2")
    journal.write("run_started")
    second.write("run_started")
    journal.close()
    second.write("run_ended", state="finished")
    assert [line["run"] for line in lines(second)] == ["run-1", "run-2", "run-2"]
    full = EventLog(Path("/dev/full"), "run-3")
    full.write("run_started")
    full.write("run_ended")
