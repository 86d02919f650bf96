"""What a worker process that the driver has started does: it makes its worker and works for the driver.

In: from the driver's end of a connection a function that makes the worker, then payloads, one at a time. Out:
`WorkerReady` or `NotReady`, then for each payload what the worker yields. The process ends with its
connection: when the driver lets go of it, however that happens.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import queue
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, Protocol

from facecap_batch.errors import FacecapError
from facecap_batch.scheduling.ends.memory import end_process, end_without_memory
from facecap_batch.scheduling.messages import Done, Failed, Progress, WorkerReady


class Worker(Protocol):
    """What works: see `scheduler`."""

    def ready(self) -> WorkerReady:
        """Open what it works with."""
        ...

    def work(self, payload: Any) -> Iterator[Progress | Done | Failed]:
        """Do one task."""
        ...


@dataclasses.dataclass(frozen=True)
class NotReady:
    """The worker could not be made, or could not open what it works with."""

    error: Exception


def main(connection_handle: int) -> None:
    """Serve the driver until it lets go.

    Args:
        connection_handle: File descriptor of this process's end of the connection.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver, too: the driver decides
    end_without_memory()
    connection = Connection(connection_handle)
    received: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # A daemon: this thread waits for the driver to let go, also while a decoder hangs in the other one.
    threading.Thread(target=_serve, args=(connection, received), daemon=True).start()
    try:
        while True:
            received.put(connection.recv())
    except (EOFError, OSError):
        # What is published is complete, and nothing else matters: no library may delay the end.
        os._exit(0)
    except BaseException:  # the other thread would wait for ever
        end_process()


def _serve(connection: Connection, received: queue.SimpleQueue[Any]) -> None:
    """Serve the driver; whatever ends that ends the process, so that the driver hears of it."""
    try:
        _work(connection, received)
    except BaseException:
        end_process()


def _work(connection: Connection, received: queue.SimpleQueue[Any]) -> None:
    try:
        worker: Worker = received.get()()
        ready = worker.ready()
    except Exception as error:
        connection.send(NotReady(_portable(error)))
        return
    connection.send(ready)
    while True:
        for message in _messages(worker, received.get()):
            connection.send(message)


def _messages(worker: Worker, payload: Any) -> Iterator[Progress | Done | Failed]:
    """What the worker yields for `payload`; a `Failed` where it raises or ends without a result."""
    try:
        for message in worker.work(payload):
            yield message
            if not isinstance(message, Progress):
                return
    except Exception as error:
        yield Failed(type(error).__name__, f"a bug, please report it: {error!r}")
        return
    yield Failed("WorkerLost", "the worker ended its task without a result", retry=True)


def _portable(error: Exception) -> Exception:
    """`error`, or one with the same words where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return FacecapError(f"{type(error).__name__}: {error}")
    return error
