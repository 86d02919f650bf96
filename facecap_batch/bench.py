"""How fast things are here: each engine on each backend at each batch size, and a clip step by step.

In: an engine set, perhaps a video. Out: `Speed` after `Speed`. One process and one thread, like one worker.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from facecap_batch.capture import CaptureSettings, capture
from facecap_batch.coefficients import write_parquet
from facecap_batch.engines.backends import BACKENDS, open_engine, unavailable_because
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.exporters import EXPORTERS
from facecap_batch.manifest import Clip
from facecap_batch.solve import solve
from facecap_batch.verify import engine_input, painted_pictures
from facecap_batch.video import decode


@dataclasses.dataclass(frozen=True)
class Speed:
    """What was measured, and how many images or frames of it a second holds."""

    what: str
    backend: str  # empty where none is involved
    batch: int  # 0 where there is none
    per_second: float


def bench(
    engines: str = "default", backends: Sequence[str] = (), video: Path | None = None, seconds: float = 1.0
) -> Iterator[Speed]:
    """Measure every engine of the set on `backends` (default: all that work here), `seconds` each; then, for
    a video, decoding alone, capture and the rest. Raises EngineError, BackendUnavailable, BadVideo.
    """
    from facecap_batch.worker import limit_threads

    limit_threads()
    cards = load_set(engines)
    names = list(backends) or [name for name in BACKENDS if unavailable_because(name) is None]
    for card in cards.cards:
        for name in names:
            engine = open_engine(card, name)
            for size in card.batch_sizes:
                batch = engine_input(card, painted_pictures(size))
                rounds = _rounds(lambda engine=engine, batch=batch: engine.run(batch), seconds)  # type: ignore[misc]
                yield Speed(f"{card.role} {card.name}", name, size, rounds * size)
    if video is not None:
        yield from _clip(cards, names[0], video)


def _clip(cards: EngineSet, backend: str, video: Path) -> Iterator[Speed]:
    settings = CaptureSettings()
    started = time.perf_counter()
    frames = sum(1 for _ in decode(video, thread_count=settings.decode_threads, damage="keep"))
    yield Speed("decoding alone", "", 0, frames / (time.perf_counter() - started))

    detector, regressor = open_engine(cards.detector, backend), open_engine(cards.regressor, backend)
    started = time.perf_counter()
    clip = Clip(clip_id="bench", path=str(video))
    raw = capture(clip, detector, regressor, dataclasses.replace(settings, damage="keep"))
    captured = time.perf_counter() - started
    yield Speed("capture", backend, 0, frames / captured)

    with tempfile.TemporaryDirectory() as folder:
        final = solve(raw)
        EXPORTERS["fbx"][0](final, Path(folder) / "first.fbx")  # builds the head, once per process
        started = time.perf_counter()
        final = solve(raw)
        write_parquet(raw, Path(folder) / "raw.parquet")
        write_parquet(final, Path(folder) / "final.parquet")
        EXPORTERS["fbx"][0](final, Path(folder) / "bench.fbx")
        rest = time.perf_counter() - started
    yield Speed("solve, Parquet and FBX", "", 0, frames / rest)
    yield Speed("whole clip", backend, 0, frames / (captured + rest))


def _rounds(call: Callable[[], object], seconds: float) -> float:
    """Calls per second, after one call to warm up."""
    call()
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds or count == 0:
        call()
        count += 1
    return count / elapsed
