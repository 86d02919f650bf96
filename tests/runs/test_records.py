"""Records are published beside the loop that hands out tasks, and count once they are there."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from facecap_batch.output.ledger import DONE, FAILED, Ledger, Record
from facecap_batch.output.segment_store import FOLDER
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.records import MAX_WAITING, PUBLISHING_THREADS, RunRecords
from facecap_batch.scheduling.messages import Progress
from tests.support.runs import at_any_time, run_quietly, write_clips

SLOW_S = 0.1


def record(clip_id: str, status: str = DONE) -> Record:
    return Record(
        clip_id, status, "input", "capture", "all", attempts=2, error_type="" if status == DONE else "Bad"
    )


class SlowLedger(Ledger):
    """A storage that takes its time, the longer the earlier a record comes."""

    def put(self, record: Record) -> None:
        time.sleep(SLOW_S if int(record.clip_id) % 2 else 2 * SLOW_S)
        super().put(record)


def test_publishing_does_not_hold_the_loop(tmp_path: Path) -> None:
    records = RunRecords(SlowLedger(tmp_path), {}, at_any_time)
    seen: list[str] = []
    records.observe(lambda record: seen.append(record.clip_id))
    started = time.monotonic()
    for number in range(2 * PUBLISHING_THREADS):
        records.publish(record(str(number)), False)
    assert time.monotonic() - started < SLOW_S
    assert not records.is_done("0")
    records.close()
    assert time.monotonic() - started < 2 * PUBLISHING_THREADS * SLOW_S
    assert seen == [str(number) for number in range(2 * PUBLISHING_THREADS)] == list(records.by_clip)
    assert all(Ledger(tmp_path).get(clip_id) for clip_id in seen)


def test_a_storage_that_is_too_slow_holds_the_loop(tmp_path: Path) -> None:
    class Counting(Ledger):
        published = 0

        def put(self, record: Record) -> None:
            time.sleep(0.005)
            Counting.published += 1

    records = RunRecords(Counting(tmp_path), {}, at_any_time)
    for number in range(3 * MAX_WAITING):
        records.publish(record(str(number)), False)
        assert number + 1 - Counting.published <= MAX_WAITING + PUBLISHING_THREADS
    records.close()
    assert len(records.by_clip) == 3 * MAX_WAITING


def test_a_clip_counts_once_its_record_is_there(tmp_path: Path) -> None:
    gate = threading.Event()

    class Gated(Ledger):
        def put(self, record: Record) -> None:
            gate.wait(20)
            super().put(record)

    records = RunRecords(Gated(tmp_path), {"kept": record("kept")}, at_any_time)
    segments = tmp_path / FOLDER / "long"
    segments.mkdir(parents=True)
    records.publish(record("long"), True)
    records.progress("another", Progress(1))
    assert (records.is_done("kept"), records.is_done("long")) == (True, False) and segments.exists()
    gate.set()
    deadline = time.monotonic() + 20
    while not records.is_done("long") and time.monotonic() < deadline:
        records.progress("another", Progress(2))  # workers report all the time
    assert records.is_done("long") and not segments.exists()
    records.close()


def test_a_storage_that_refuses_makes_a_failure_of_what_was_done(tmp_path: Path) -> None:
    class Full(Ledger):
        def put(self, record: Record) -> None:
            raise OSError(28, "No space left on device")

    records = RunRecords(Full(tmp_path), {}, at_any_time)
    records.publish(record("1"), False)
    records.publish(record("2", FAILED), False)
    records.close()
    first, second = records.by_clip.values()
    assert (first.status, first.error_type, first.attempts) == (FAILED, "OutputNotWritable", 2)
    assert "its record could not be written: No space left" in first.error
    assert second.error_type == "Bad"
    assert records.errors() == {"OutputNotWritable": 1, "Bad": 1}


def test_a_bug_in_publishing_surfaces(tmp_path: Path) -> None:
    class Broken(Ledger):
        def put(self, record: Record) -> None:
            raise ZeroDivisionError

    records = RunRecords(Broken(tmp_path), {}, at_any_time)
    with pytest.raises(ZeroDivisionError):
        records.publish(record("1"), False)
        records.close()


@pytest.mark.usefixtures("ray_floor")
def test_a_run_publishes_two_records_at_once(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record waits for the other: a loop that published one after the other would wait for ever."""
    together = threading.Barrier(2)
    put = Ledger.put

    def wait_and_put(self: Ledger, record: Record) -> None:
        together.wait(60)
        put(self, record)

    monkeypatch.setattr(Ledger, "put", wait_and_put)
    manifest = write_clips(tmp_path, {"one": 2, "two": 2})
    assert run_quietly(manifest, tmp_path / "out", config, workers=1).exit_code == 0
    assert not together.broken
