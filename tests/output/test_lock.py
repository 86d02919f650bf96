"""An output folder on a local disk belongs to one run at a time; whoever only looks disturbs nobody."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from facecap_batch.errors import OutputBusy
from facecap_batch.output.lock import OutputLock, is_held


def test_a_lock_holds_until_its_run_ends(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with OutputLock(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(OutputBusy, match=f"another run .*process {os.getpid()} on"), OutputLock(tmp_path):
            pass
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_a_run_begins_although_its_folder_is_being_looked_at(tmp_path: Path) -> None:
    """What `status --watch` asks again and again must not look like another run."""
    with OutputLock(tmp_path):
        pass
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            is_held(tmp_path)

    onlookers = [threading.Thread(target=look) for _ in range(4)]
    for onlooker in onlookers:
        onlooker.start()
    try:
        for _ in range(300):
            with OutputLock(tmp_path):
                assert is_held(tmp_path)
    finally:
        ended.set()
        for onlooker in onlookers:
            onlooker.join()
