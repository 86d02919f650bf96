"""Where a clip's time goes, stage by stage, and how much of it the networks alone take.

In: a `FaceCapture` that was given a `Stopwatch` and engines in `TimedEngine`s, and whatever else is put
inside `during`. Out: seconds per stage, of the whole and of the networks. One thread at a time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import get_args

import numpy as np

from facecap_batch.capturing.context import Stage
from facecap_batch.engines.batching import Engine

OUTSIDE = ""  # the stage of what happens between stages


class Stopwatch:
    """Seconds per stage; a `StageTimer`.

    Attributes:
        seconds: Stage -> seconds inside it.
        network_seconds: Stage -> those of them that engines ran; stages without engines are missing.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(get_args(Stage), 0.0)
        self.network_seconds: dict[str, float] = {}
        self._stage = OUTSIDE

    @contextlib.contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Count the time inside for `stage`; stages besides those of a capture may be added."""
        started, before = time.perf_counter(), self._stage
        self._stage = stage
        try:
            yield
        finally:
            self._stage = before
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def add_network(self, seconds: float) -> None:
        """An engine ran for `seconds` in the present stage."""
        self.network_seconds[self._stage] = self.network_seconds.get(self._stage, 0.0) + seconds


class TimedEngine:
    """An engine that tells a stopwatch how long it runs; see `batching.Engine`."""

    def __init__(self, engine: Engine, stopwatch: Stopwatch) -> None:
        self.card, self.backend = engine.card, engine.backend
        self._engine, self._stopwatch = engine, stopwatch

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See `batching.Engine.run`."""
        started = time.perf_counter()
        outputs = self._engine.run(batch)
        self._stopwatch.add_network(time.perf_counter() - started)
        return outputs
