"""A worker without faces for the schedulers: it opens, works and fails as its arguments order."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from facecap_batch.scheduling.messages import Done, Failed, Listener, Progress, WorkerReady

TAKEN: list[bytearray] = []  # memory that is free for nobody


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
        return WorkerReady(self.node_id(), os.getpid())

    def node_id(self) -> str:
        return "here"

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
        if order == "slow":
            time.sleep(0.5)
        if order == "hang once" and first_time:
            time.sleep(600)
        if order == "starve once" and first_time:
            take_memory_away()
            threading.Thread(target=time.sleep, args=(0,)).start()
        if order == "unfit once" and first_time:
            yield Failed("OutOfMemory", "it leaks", retry=True, worker_unfit=True)
            return
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


class EventRecorder(Listener):
    """Remembers every event."""

    def __init__(self) -> None:
        self.started_keys: list[str] = []
        self.retries: list[str] = []
        self.heartbeats = 0
        self.counts: list[int] = []
        self.joined_workers: list[WorkerReady] = []
        self.losses: list[tuple[WorkerReady | None, str, bool]] = []

    def started(self, key: str, worker: WorkerReady) -> None:
        self.started_keys.append(key)

    def progress(self, key: str, progress: Progress) -> None:
        self.heartbeats += 1

    def retried(self, key: str, reason: str) -> None:
        self.retries.append(key)

    def workers(self, count: int) -> None:
        self.counts.append(count)

    def joined(self, worker: WorkerReady) -> None:
        self.joined_workers.append(worker)

    def lost(self, worker: WorkerReady | None, reason: str, node_died: bool) -> None:
        self.losses.append((worker, reason, node_died))


def die(number: signal.Signals) -> None:
    """End this process by a signal; this thread may run on for a moment."""
    os.kill(os.getpid(), number)
    time.sleep(60)


def take_memory_away() -> None:
    """From now on this process gets no further memory from the system.

    A stack for another thread is there, of those that have ended: a thread starts, and finds no memory for
    its first call.
    """
    ended = [threading.Thread(target=time.sleep, args=(0.1,)) for _ in range(4)]
    for thread in ended:
        thread.start()
    for thread in ended:
        thread.join()
    time.sleep(0.2)  # until the system has ended them, too
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size // 2, size // 2))
    for piece in (2**20, 2**16, 2**12):  # bytes: what was freed
        with contextlib.suppress(MemoryError):
            while True:
                TAKEN.append(bytearray(piece))


def import_place(module: str) -> str | None:
    """The file that `module` is imported from in this process."""
    return importlib.import_module(module).__file__


class ArenaCounter(ToyWorker):
    """Its node is named after the number of its C library's arenas, with `THREADS` that all take memory."""

    THREADS = 4

    def node_id(self) -> str:
        meeting = threading.Barrier(self.THREADS)

        def take_memory() -> None:
            kept = [bytes(2000 + number) for number in range(100)]  # more than Python's own pools give
            meeting.wait()
            kept.clear()

        threads = [threading.Thread(target=take_memory) for _ in range(self.THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with tempfile.NamedTemporaryFile() as file:
            libc = ctypes.CDLL(None)
            libc.fopen.restype = ctypes.c_void_p
            stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
            libc.malloc_info(0, stream)
            libc.fclose(stream)
            return str(Path(file.name).read_text().count("<heap "))
