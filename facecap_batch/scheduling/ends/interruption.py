"""Ctrl-C and SIGTERM as the same thing: an order to end well.

In: signals of this process. Out: KeyboardInterrupt in its main thread.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within this context SIGINT and SIGTERM raise KeyboardInterrupt, also where the shell that started the
    process had it ignore SIGINT: cluster managers send SIGTERM before they kill. Outside the main thread
    nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
