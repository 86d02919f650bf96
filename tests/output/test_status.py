"""The progress of a folder while its run is ending."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecap_batch.output import status as status_module
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.reports import RunReport, write_clips, write_run
from facecap_batch.output.status import status


def write_state(output: Path, state: str) -> None:
    write_clips(output, [], {})
    write_run(
        output,
        RunReport(
            run_id="id",
            state=state,
            manifest="manifest.csv",
            workers=1,
            clips=0,
            done=0,
            failed=0,
            pending=0,
            kept=0,
            started_at="2026-01-01T00:00:00+00:00",
            fingerprint="",
            capture_fingerprint="",
            config={},
        ),
    )


def test_the_lock_tells_a_running_run_from_a_killed_one(tmp_path: Path) -> None:
    with OutputLock(tmp_path):
        write_state(tmp_path, "running")
        assert status(tmp_path).state == "running"
    assert status(tmp_path).state == "killed"
    write_state(tmp_path, "finished")
    assert status(tmp_path).state == "finished"


def test_a_run_that_ends_while_it_is_looked_at_was_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = OutputLock(tmp_path)
    lock.__enter__()
    write_state(tmp_path, "running")
    read, ask = status_module.read_reports, status_module.is_held
    looked: list[str] = []

    def end_after_the_first(look: str) -> None:
        looked.append(look)
        if len(looked) == 1:
            write_state(tmp_path, "finished")
            lock.__exit__()

    def read_reports(output: Path) -> object:
        found = read(output)
        end_after_the_first("reports")
        return found

    def is_held(output: Path) -> bool:
        held = ask(output)
        end_after_the_first("lock")
        return held

    monkeypatch.setattr(status_module, "read_reports", read_reports)
    monkeypatch.setattr(status_module, "is_held", is_held)
    assert status(tmp_path).state == "running"
    assert status(tmp_path).state == "finished"
