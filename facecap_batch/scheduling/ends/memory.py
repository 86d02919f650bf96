"""The end of a process that cannot go on because memory has run out: at once, so that its driver hears of it.

In: errors that nobody else handles. Out: the end of this process.

`Thread.start` waits until its thread has begun. A thread that has no memory for its first call ends before
that, and would be waited for for ever, whichever library starts it: Python tells `sys.unraisablehook` alone.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from facecap_batch.errors import MEMORY_ADVICE

BEGIN_S = 60.0  # how long the thread that watches may take to begin, on the busiest machine
_LAST_WORDS = f"not enough memory to go on; {MEMORY_ADVICE}\n".encode()  # made while there is some


def end_process(code: int = 1) -> NoReturn:
    """End this process for the error that is being handled, and print why.

    Args:
        code: Exit code of the process.
    """
    try:
        if isinstance(sys.exc_info()[1], MemoryError):
            os.write(2, _LAST_WORDS)  # a traceback would take some
        else:
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(code)


@functools.cache
def end_without_memory(code: int = 1) -> None:
    """From now on this process ends where memory runs out in a place from which no caller can be told.

    Args:
        code: Exit code of the process then.

    Raises:
        MemoryError: It has run out already.
    """
    told: queue.SimpleQueue[sys.UnraisableHookArgs] = queue.SimpleQueue()
    begun = threading.Semaphore(0)
    _thread.start_new_thread(_watch, (told, sys.unraisablehook, begun.release, code))
    if not begun.acquire(timeout=BEGIN_S):
        raise MemoryError("no thread can begin")
    # A function in C: where there is no memory for a first call, there is none for a hook in Python either.
    sys.unraisablehook = told.put


def _watch(
    told: queue.SimpleQueue[sys.UnraisableHookArgs],
    tell_others: Callable[[sys.UnraisableHookArgs], Any],
    begin: Callable[[], None],
    code: int,
) -> None:
    try:
        begin()
        while True:
            error = told.get()
            if issubclass(error.exc_type, MemoryError):
                os.write(2, _LAST_WORDS)
                return
            with contextlib.suppress(Exception):
                tell_others(error)
            del error  # it may hold the object that was being removed
    finally:
        os._exit(code)
