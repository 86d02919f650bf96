"""How much memory of the GPUs is in use, as ``nvidia-smi`` tells.

In: nothing. Out: MiB. Nothing of CUDA is opened for it, so whoever asks takes no memory of a GPU itself.
"""

from __future__ import annotations

import subprocess
import threading
from types import TracebackType

COMMAND = ("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits")
TIMEOUT_S = 10.0
EVERY_S = 0.5


def used_mib() -> int | None:
    """Of all GPUs together; None where nothing tells."""
    try:
        told = subprocess.run(COMMAND, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
        return sum(int(line) for line in told.split())
    except (OSError, subprocess.SubprocessError, ValueError):  # no such tool; no answer; "[N/A]"
        return None


class PeakMemory:
    """The most that was taken in addition while this context was open, MiB; None where nothing tells."""

    def __init__(self) -> None:
        self._before = used_mib()
        self._most = self._before
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def growth_mib(self) -> int | None:
        """What the peak so far lies above the beginning."""
        return None if self._before is None or self._most is None else self._most - self._before

    def look(self) -> None:
        """Look now, too."""
        now = used_mib()
        if now is not None and self._most is not None:
            self._most = max(self._most, now)

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.look()

    def __enter__(self) -> PeakMemory:
        if self._before is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._before is not None:
            self._thread.join()
