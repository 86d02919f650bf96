"""How many times as fast one engine is as another, on a machine that does other work, too.

In: engines, sets. Out: ratios of medians of calls in turns, by the time that the CPUs spent in this process:
what others do on the machine does not count, and clocks that change with it count for both.
"""

from __future__ import annotations

import statistics
import time

from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.checks.bench import engine_input
from facecap_batch.engines.batching import Engine, size_of_one_shape
from facecap_batch.engines.certificates import SpeedRatio, libraries_of
from facecap_batch.engines.registry import FASTER, RIVAL, open_engine, unavailable_because
from facecap_batch.engines.sets import EngineSet

CALLS = 40  # of each engine


def times_faster(engine: Engine, than: Engine, size: int) -> float:
    """The speed of `engine` over that of another, in batches of `size` synthetic faces."""
    theirs, ours = seconds_of_calls(engine, than, size)
    return theirs / ours


def seconds_of_calls(engine: Engine, than: Engine, size: int) -> tuple[float, float]:
    """Seconds that a call takes `than`, and `engine`: medians, in batches of `size` synthetic faces."""
    batch = engine_input(than.card, size)
    took: list[list[float]] = [[], []]
    for _ in range(CALLS):
        for one, times in zip((than, engine), took, strict=True):
            started = time.process_time()
            one.run(batch)
            times.append(time.process_time() - started)
    before, after = (statistics.median(times[1:]) for times in took)
    return before, after


def speed_beside_rival(cards: EngineSet, backend: str) -> SpeedRatio | None:
    """The speed of `backend` over that of `registry.RIVAL` in the batches that a capture uses; None where
    `auto` does not ask for it, or there is no rival here."""
    if backend not in FASTER or unavailable_because(RIVAL) is not None:
        return None
    settings = CaptureSettings()
    items = {"detector": settings.detect_batch, "regressor": settings.regress_batch}
    frames = {"detector": settings.detect_every, "regressor": 1}  # that each item of a batch is for
    ratios, theirs_s, ours_s = {}, 0.0, 0.0
    for card in cards.cards:
        size = size_of_one_shape(card, items[card.role])
        theirs, ours = seconds_of_calls(open_engine(card, backend), open_engine(card, RIVAL), size)
        ratios[card.role] = round(theirs / ours, 3)
        theirs_s += theirs / size / frames[card.role]
        ours_s += ours / size / frames[card.role]
    return SpeedRatio(RIVAL, libraries_of(RIVAL), ratios, round(theirs_s / ours_s, 3))
