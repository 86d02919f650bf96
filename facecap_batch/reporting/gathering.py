"""The figures of a folder's takes, gathered in the background while the page is looked at already.

In: `Takes`. Out: those that are there by now, to any number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from facecap_batch.reporting.takes import TakeData, Takes


class Gathering:
    """Reads every take once; `close` it."""

    def __init__(self, takes: Takes, describe: Callable[[TakeData], dict[str, Any]]) -> None:
        """`describe`: what is kept of a take, called in the thread."""
        self._takes, self._describe = takes, describe
        self._changed = threading.Condition()
        self._found: list[dict[str, Any]] = []
        self._closing, self._error = False, ""
        self._thread = threading.Thread(target=self._run, name="figures", daemon=True)
        self._thread.start()

    def after(self, number: int, wait_s: float) -> tuple[list[dict[str, Any]], bool, str]:
        """What was found beyond the first `number` takes; waits up to `wait_s` seconds for any.

        Returns:
            The takes, whether these are the last, and what has gone wrong, if anything.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._found) > number or self._is_over() or self._closing, wait_s
            )
            return self._found[number:], self._is_over(), self._error

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _is_over(self) -> bool:
        return len(self._found) == len(self._takes.rows) or bool(self._error)

    def _run(self) -> None:
        try:
            for data in self._takes.each():
                described = self._describe(data)
                with self._changed:
                    self._found.append(described)
                    self._changed.notify_all()
                    if self._closing:
                        return
        except Exception as error:  # whatever it is, the page shows what is there
            with self._changed:
                self._error = f"{type(error).__name__}: {error}"
                self._changed.notify_all()
