"""Where a clip's time goes, stage by stage.

In: a `FaceCapture` that was given a `Stopwatch`, and whatever else is put inside `during`. Out: seconds per
stage. One thread at a time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import get_args

from facecap_batch.capturing.context import Stage


class Stopwatch:
    """Seconds per stage; a `StageTimer`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(get_args(Stage), 0.0)

    @contextlib.contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Count the time inside for `stage`; stages besides those of a capture may be added."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
