"""Two runs on one folder refuse each other, also where no operating system holds the lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from facecap_batch.errors import OutputBusy
from facecap_batch.output import lock
from facecap_batch.output.lock import LOCK_NAME, OutputLock, is_held
from facecap_batch.storage.remote import RemotePath
from tests.support.object_store import BUCKET, ObjectStore

HOLD = """
import sys, time
from facecap_batch.output import lock
from facecap_batch.storage.publish import storage_path
lock.SETTLE_S = 0.2
with lock.OutputLock(storage_path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def output(store: ObjectStore, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RemotePath:
    monkeypatch.setattr(lock, "SETTLE_S", 0.2)
    return RemotePath(f"s3://{BUCKET}/{request.node.name}")


def change(output: RemotePath, **fields: object) -> None:
    """Change fields of the lock."""
    path = output / LOCK_NAME
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), **fields}).encode())


def test_a_lock_holds_until_its_run_ends(output: RemotePath) -> None:
    assert not is_held(output)
    with OutputLock(output):
        assert is_held(output)
        with pytest.raises(OutputBusy, match=f"another run .*process {os.getpid()} on"), OutputLock(output):
            pass
        assert is_held(output)
    assert not is_held(output) and not output.exists()
    with OutputLock(output):
        pass


def test_of_runs_that_begin_together_one_wins(output: RemotePath) -> None:
    ends: list[str] = []
    begin, end = threading.Barrier(4), threading.Barrier(4)

    def hold() -> None:
        begin.wait()
        try:
            with OutputLock(output):
                ends.append("held")
                end.wait()
        except OutputBusy:
            ends.append("busy")
            end.wait()

    runs = [threading.Thread(target=hold) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(ends) == ["busy", "busy", "busy", "held"]


def test_a_run_that_was_killed_on_this_machine_holds_nothing(output: RemotePath) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, output.uri], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert is_held(output)
        with pytest.raises(OutputBusy, match=f"process {holder.pid}"), OutputLock(output):
            pass
        holder.kill()
        holder.wait()
    assert (output / LOCK_NAME).exists() and not is_held(output)
    with OutputLock(output):
        assert is_held(output)


def test_a_run_of_another_machine_holds_until_it_is_silent_for_long(output: RemotePath) -> None:
    with OutputLock(output):
        kept = (output / LOCK_NAME).read_bytes()
    (output / LOCK_NAME).write_bytes(kept)
    change(output, machine="another", process=1 << 30, beat=time.time() - lock.STALE_S / 2)
    with pytest.raises(OutputBusy, match="may be deleted"), OutputLock(output):
        pass
    change(output, beat=time.time() - lock.STALE_S - 1)
    with OutputLock(output):
        assert is_held(output)
    (output / LOCK_NAME).write_bytes(b"not a lock of ours")
    with OutputLock(output):
        assert is_held(output)


def test_a_lock_is_renewed_until_another_run_takes_it(
    output: RemotePath, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    with OutputLock(output):
        first = json.loads((output / LOCK_NAME).read_bytes())["beat"]
        deadline = time.monotonic() + 30
        while json.loads((output / LOCK_NAME).read_bytes())["beat"] == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert json.loads((output / LOCK_NAME).read_bytes())["beat"] > first
        while "taken this folder over" not in caplog.text and time.monotonic() < deadline:
            change(output, token="of another run")
            time.sleep(0.1)
    assert "taken this folder over" in caplog.text
    assert json.loads((output / LOCK_NAME).read_bytes())["token"] == "of another run"  # theirs to remove
