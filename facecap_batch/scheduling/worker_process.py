"""A worker process of the driver's own machine, as the driver sees it.

In: a function that makes the worker. Out: the worker's messages, or `ProcessEnded` with the reason. The
process is a fresh interpreter: nothing that a decoder does to it reaches the driver, and nothing of the
driver (threads, locks, a `__main__` that must not run twice) reaches it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

from facecap_batch.scheduling.cluster import WORKER_ENVIRONMENT
from facecap_batch.scheduling.python_process import python_command
from facecap_batch.scheduling.worker_main import Worker

LEAVE_S = 5.0  # how long a process that was let go may take to end before it is killed
MAX_REASON = 200  # characters of what the process printed last
_CODE = "import sys; from facecap_batch.scheduling.worker_main import main; main(int(sys.argv[1]))"


class ProcessEnded(Exception):
    """The worker process has ended; the message says how, in one line."""


class WorkerProcess:
    """A process with one worker."""

    def __init__(self, make_worker: Callable[[], Worker]) -> None:
        """Start the process. It answers with `WorkerReady` or `NotReady`.

        Args:
            make_worker: Called in the process; pickled to it, so a function of a module, or a partial one.
        """
        self._connection, theirs = multiprocessing.Pipe()
        # What it prints is nobody's business unless it dies: then its last line may say why.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115
        handle = theirs.fileno()
        try:
            self._process = subprocess.Popen(
                python_command(_CODE, str(handle)),
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                pass_fds=[handle],
                env={**os.environ, **WORKER_ENVIRONMENT},  # as Ray's workers have it
            )
        finally:
            theirs.close()
        self.send(make_worker)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, payload: Any) -> None:
        """Give the worker its task."""
        with contextlib.suppress(OSError):  # an end that `receive` reports
            self._connection.send(payload)

    def receive(self, timeout_s: float) -> Any:
        """The next message of the worker.

        Args:
            timeout_s: How long to wait for it.

        Returns:
            The message; None where none has come in time.

        Raises:
            ProcessEnded: The process has ended.
        """
        try:
            return self._connection.recv() if self._connection.poll(timeout_s) else None
        except (EOFError, OSError):
            raise ProcessEnded(self._reason()) from None

    def leave(self) -> None:
        """Let the process go, which ends it."""
        self._connection.close()
        try:
            self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._printed.close()

    def kill(self) -> None:
        """End the process at once; harmless when it has ended."""
        self._process.kill()
        self.leave()

    def _reason(self) -> str:
        try:
            code = self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            return "the worker process closed its connection"
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = "unknown"
            # The kernel leaves no other trace where a process had more memory than there was.
            why = "; perhaps memory ran out" if name == "SIGKILL" else ""
            return f"the worker process died: ended by signal {-code} ({name}){why}"
        self._printed.seek(0)
        lines = self._printed.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"the worker process died: exit code {code}" + (f": {last[:MAX_REASON]}" if last else "")
