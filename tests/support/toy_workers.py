"""A worker without faces for the schedulers: it opens, works and fails as its arguments order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from facecap_batch.scheduling.messages import Done, Failed, Progress, WorkerReady


class ToyWorker:
    """`opening` orders how it becomes ready; each payload is an order and a file that marks an attempt."""

    def __init__(self, opening: str = "") -> None:
        self.opening = opening

    def ready(self) -> WorkerReady:
        if self.opening == "fails":
            raise FileNotFoundError("no such engine")
        if self.opening == "dies":
            die(signal.SIGKILL)
        if self.opening == "leaves":
            print("the last words")
            raise SystemExit(3)
        if self.opening == "hangs":
            time.sleep(600)
        return WorkerReady("here", os.getpid())

    def work(self, payload: tuple[str, str]) -> Iterator[Progress | Done | Failed]:
        order, mark = payload
        for frames in range(3):
            yield Progress(frames)
        first_time = not Path(mark).exists()
        Path(mark).touch()
        if order == "segfault":
            die(signal.SIGSEGV)
        if order == "die once" and first_time:
            die(signal.SIGKILL)
        if order == "hang once" and first_time:
            time.sleep(600)
        if order == "fail":
            yield Failed("BadVideo", "not a video")
            return
        if order == "fail once" and first_time:
            yield Failed("OSError", "the storage hiccups", retry=True)
            return
        if order == "bug":
            raise ZeroDivisionError("oops")
        if order == "nothing":
            return
        yield Done((order, os.getpid()))


def die(number: signal.Signals) -> None:
    """End this process by a signal; this thread may run on for a moment."""
    os.kill(os.getpid(), number)
    time.sleep(60)
