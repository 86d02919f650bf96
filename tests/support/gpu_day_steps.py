"""Steps of a GPU day that end badly, each for real, and what a report of one with a GPU looks like."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def good(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"number": number}


def paces_itself(budget_s: float) -> Iterator[dict[str, Any]]:
    yield {"budget_s": budget_s}


def finds() -> Iterator[dict[str, Any]]:
    yield {"needs": "there", "missing": None}
    yield {"needs": "missing", "missing": "it is not here"}


def crashes() -> Iterator[dict[str, Any]]:
    yield {"number": 0}
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(pid_file: str) -> Iterator[dict[str, Any]]:
    """With a process that it has started, as Ray's are."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(pid_file).write_text(str(child.pid))
    yield {"number": 0}
    time.sleep(600)


def lacks_a_module() -> Iterator[dict[str, Any]]:
    yield {"number": 0}
    import a_module_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401


def lacks_a_library() -> Iterator[dict[str, Any]]:
    yield {"number": 0}
    ctypes.CDLL("libnobodyhasit.so.9")


def fails() -> Iterator[dict[str, Any]]:
    yield {"number": 0}
    raise ArithmeticError("seven is not eight")


def exits() -> Iterator[dict[str, Any]]:
    """As a C library that gives up does."""
    print("giving up", file=sys.stderr, flush=True)
    os._exit(7)
    yield {}


def crashes_at_the_end(directory: str) -> Iterator[dict[str, Any]]:
    """Everything is found out, and then the interpreter's end would crash."""
    import atexit

    atexit.register(os.abort)
    yield {"directory": directory}
