"""How fast things are here: each engine on each backend at each batch size, and a clip stage by stage.

In: an engine set, optionally a video, optionally MediaPipe's model. Out: one record after the other, as
they are measured. One thread, like one worker. An engine is measured in a separate process on each backend,
so that its memory can be measured.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from facecap_batch.capturing.detector import letterbox
from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.checks import mediapipe_baseline
from facecap_batch.checks.output_parity import precision_of
from facecap_batch.checks.stage_timer import Stopwatch, TimedEngine
from facecap_batch.checks.synthetic_faces import synthetic_crops, synthetic_images
from facecap_batch.clip import Clip
from facecap_batch.coefficients import write_parquet
from facecap_batch.engines.batching import Engine, prepare_input
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.registry import BACKENDS, open_engine, unavailable_because
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.errors import BackendUnavailable
from facecap_batch.exporting.formats import EXPORTERS
from facecap_batch.runs.worker import limit_threads
from facecap_batch.scheduling.python_process import call_in_new_process
from facecap_batch.solve.solver import solve_table
from facecap_batch.video.decoder import decode
from facecap_batch.video.options import HardwareDecoding

log = logging.getLogger(__name__)

WARM_UP = 3  # calls before the first that counts
MIN_ROUNDS = 5
WARM_UP_S = Fraction(1)  # of the video, before the pass that counts
PACE_S = Fraction(1, 4)  # the same where time is limited: it shows how much can be taken


@dataclasses.dataclass(frozen=True)
class EngineSpeed:
    """One engine on one backend at one batch size."""

    role: str
    engine: str
    backend: str
    precision: str
    batch: int
    rounds: int
    p50_ms: float  # of a call
    p99_ms: float
    per_second: float  # images, at the median
    memory_mib: float  # growth of the process, from before the engine was opened to its peak so far


@dataclasses.dataclass(frozen=True)
class ClipSpeed:
    """A whole clip, from its file to Parquet and FBX."""

    video: str
    backend: str
    frames: int
    decode_s: float  # decoding alone, in a separate pass
    total_s: float
    stages: dict[str, float]  # seconds of `total_s`
    decode_threads: int = 1
    hwaccel: HardwareDecoding = "none"
    # Stage -> seconds that it cannot do without: decoding alone, and the networks alone in the same pass.
    limits: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def fps(self) -> float:
        return self.frames / self.total_s

    @property
    def decode_fps(self) -> float:
        return self.frames / self.decode_s


@dataclasses.dataclass(frozen=True)
class BaselineClipSpeed:
    """MediaPipe's Face Landmarker on the same clip."""

    video: str
    frames: int
    seconds: float  # as it measured them

    @property
    def fps(self) -> float:
        return self.frames / self.seconds


Speed = EngineSpeed | ClipSpeed | BaselineClipSpeed


def bench(
    engines: str = "default",
    backends: Sequence[str] = (),
    video: Path | None = None,
    seconds: float = 1.0,
    peer_model: Path | None = None,
    peer_python: Path | None = None,
) -> Iterator[Speed]:
    """Measure every engine of the set, then a video from its file to Parquet and FBX.

    Args:
        engines: Name or folder of the set.
        backends: By name; empty: all that work here. The video is measured on the first of them.
        video: None: only the engines are measured.
        seconds: How long each engine is measured at each batch size.
        peer_model: MediaPipe's task bundle; None: MediaPipe is not measured.
        peer_python: A Python that has MediaPipe; None: this one.

    Returns:
        One record per measurement, each made when it is asked for.

    Raises:
        EngineError, BackendUnavailable, BadVideo, BaselineFailed.
    """
    limit_threads()
    cards = load_set(engines)
    names = list(backends) or [name for name in BACKENDS if unavailable_because(name) is None]
    for card in cards.cards:
        for name in list(names):
            try:
                measured = call_in_new_process(engine_speeds, card, name, seconds)
            except BackendUnavailable as error:  # installed, but its device or driver is not there
                if backends or len(names) == 1:
                    raise
                log.warning("skipped %s: %s", name, error)
                names.remove(name)
                continue
            yield from measured
    if video is None:
        return
    yield clip_speed(cards, names[0], video)
    if peer_model is not None:
        theirs = mediapipe_baseline.measure([video], peer_model, peer_python)
        yield BaselineClipSpeed(video.name, theirs.frames, theirs.inner_s)


def engine_speeds(
    card: EngineCard, backend: str, seconds: float, budget_s: float = math.inf
) -> list[EngineSpeed]:
    """Measure `card` on `backend` at each of its batch sizes, in this process, smallest first.

    Args:
        card, backend: What is opened.
        seconds: How long each batch size is measured; `MIN_ROUNDS` calls at least.
        budget_s: Seconds for everything; where they do not last, a call that warms up and one that counts are
            enough for a batch size.
    """
    limit_threads()
    ends = time.perf_counter() + budget_s
    sizes = sorted(card.batch_sizes)
    batches = [engine_input(card, size) for size in sizes]
    before = _resident_kib("VmRSS")
    engine = open_engine(card, backend)
    speeds = []
    for number, (size, batch) in enumerate(zip(sizes, batches, strict=True)):
        began = time.perf_counter()
        until = began + (ends - began) / (len(sizes) - number)
        for _ in range(WARM_UP):
            engine.run(batch)
            if time.perf_counter() >= until:
                break
        took: list[float] = []
        enough = time.perf_counter() + seconds
        while not took or (
            time.perf_counter() < until and (time.perf_counter() < enough or len(took) < MIN_ROUNDS)
        ):
            started = time.perf_counter()
            engine.run(batch)
            took.append(time.perf_counter() - started)
        middle, slow = np.percentile(took, [50, 99])
        speeds.append(
            EngineSpeed(
                role=card.role,
                engine=card.name,
                backend=backend,
                precision=precision_of(card, backend),
                batch=size,
                rounds=len(took),
                p50_ms=1e3 * float(middle),
                p99_ms=1e3 * float(slow),
                per_second=size / float(middle),
                memory_mib=(_resident_kib("VmHWM") - before) / 1024,
            )
        )
    return speeds


def engine_input(card: EngineCard, count: int) -> np.ndarray:
    """Synthetic faces as a batch for `card`."""
    if card.role != "detector":
        return prepare_input(card, np.stack(synthetic_crops(count, card.input.size)))
    return prepare_input(
        card, np.stack([letterbox(image, card.input)[0] for image in synthetic_images(count)])
    )


def clip_speed(cards: EngineSet, backend: str, video: Path) -> ClipSpeed:
    """Decode `video` alone, then take it the whole way on `backend`, everything warm. Raises BadVideo."""
    engines = open_engine(cards.detector, backend), open_engine(cards.regressor, backend)
    return opened_clip_speed(engines, video, CaptureSettings())


def opened_clip_speed(
    engines: tuple[Engine, Engine], video: Path, settings: CaptureSettings, budget_s: float = math.inf
) -> ClipSpeed:
    """Decode `video` alone, then take it the whole way, everything warm.

    Args:
        engines: Detector and regressor, open on one backend.
        video: A path; damage in it is kept.
        settings: How it is captured, its decoding threads and decoder among them.
        budget_s: Seconds for everything; where they do not last, only the video's beginning is taken.

    Raises:
        BadVideo: It does not decode.
        DecoderUnavailable: The GPU shall decode and cannot.
    """
    settings = dataclasses.replace(settings, damage="keep")
    write_fbx, _ = EXPORTERS["fbx"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        beginning = Clip(clip_id="bench", path=str(video), end=WARM_UP_S if budget_s == math.inf else PACE_S)
        write_fbx(solve_table(FaceCapture(*engines, settings).capture(beginning)), Path(folder) / "first.fbx")
        end = _affordable_s(time.perf_counter() - started, budget_s)

        started = time.perf_counter()
        frames = sum(
            1
            for _ in decode(
                video,
                end=end,
                thread_count=settings.decode_threads,
                damage="keep",
                hwaccel=settings.hwaccel,
            )
        )
        decode_s = time.perf_counter() - started

        stopwatch = Stopwatch()
        detector, regressor = (TimedEngine(engine, stopwatch) for engine in engines)
        started = time.perf_counter()
        clip = Clip("bench", str(video), end=end)
        raw = FaceCapture(detector, regressor, settings, timer=stopwatch).capture(clip)
        with stopwatch.during("solve"):
            final = solve_table(raw)
        with stopwatch.during("export"):
            write_parquet(raw, Path(folder) / "raw.parquet")
            write_parquet(final, Path(folder) / "final.parquet")
            write_fbx(final, Path(folder) / "bench.fbx")
        total_s = time.perf_counter() - started
    rest = total_s - sum(stopwatch.seconds.values())
    return ClipSpeed(
        video.name,
        engines[0].backend,
        frames,
        decode_s,
        total_s,
        {**stopwatch.seconds, "rest": rest},
        settings.decode_threads,
        settings.hwaccel,
        {"decode": decode_s, **stopwatch.network_seconds},
    )


def _affordable_s(took_s: float, budget_s: float) -> Fraction | None:
    """How many seconds of a video can be taken in what is left of `budget_s` where `PACE_S` of them took
    `took_s`; None: all, whatever they take. They are decoded alone, too, which takes less time than that."""
    if budget_s == math.inf:
        return None
    times = (budget_s - took_s) / (2 * took_s)
    return PACE_S * max(1, int(times))


def _resident_kib(field: str) -> int:
    """Resident memory of this process, KiB: VmRSS now, VmHWM at its peak; 0 where the system does not
    tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)
