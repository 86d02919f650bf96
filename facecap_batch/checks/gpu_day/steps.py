"""What the steps of a GPU day do: functions that measure with the pieces that the commands use.

In: plain JSON values. Out: records, each yielded as soon as it is known. They run in processes of their own
(`step_process`), one after the other.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from facecap_batch.checks.gpu_day.step import Record


def machine(backends: Sequence[str], nvdec: str) -> Iterator[Record]:
    """What is installed, as `doctor` finds it, whether there is a GPU, and what of `backends` and NVDEC (here
    `nvdec`) cannot work."""
    from facecap_batch.checks.doctor import installed
    from facecap_batch.engines.backends import cuda
    from facecap_batch.engines.registry import unavailable_because
    from facecap_batch.errors import DecoderUnavailable
    from facecap_batch.video.nvdec import decodes_on_gpu

    yield {"gpu": cuda.unavailable_because() is None}
    for finding in installed():
        yield {"what": finding.what, "ok": finding.ok, "detail": finding.detail}
    for name in backends:
        yield {"needs": name, "missing": unavailable_because(name)}
    try:
        decodes_on_gpu()
    except DecoderUnavailable as error:
        yield {"needs": nvdec, "missing": str(error)}


def clips(source: str, folder: str, seconds: float) -> Iterator[Record]:
    """Write the clips that are captured."""
    from facecap_batch.checks.gpu_day.clips import SIZES, write_clip

    for size in SIZES:
        path = Path(folder) / f"{size.name}.mp4"
        frames = write_clip(Path(source), path, size, seconds)
        yield {"clip": size.name, "path": str(path), "frames": frames, "bytes": path.stat().st_size}


def opening(engines: str, backend: str) -> Iterator[Record]:
    """Open a backend's engines and run each batch size once: with TensorRT, that builds plans."""
    from facecap_batch.checks.bench import engine_input
    from facecap_batch.checks.gpu_day.gpu_memory import PeakMemory
    from facecap_batch.engines.registry import build_plans, open_engine
    from facecap_batch.engines.sets import load_set
    from facecap_batch.engines.tensorrt.versions import PRECISIONS
    from facecap_batch.runs.worker import limit_threads

    limit_threads()
    if backend in PRECISIONS:
        for plan in build_plans(engines, [backend]):
            yield {"plan": plan.engine, "seconds": plan.seconds, "existed": plan.existed}
    cards = load_set(engines).cards
    batches = [[engine_input(card, size) for size in sorted(card.batch_sizes)] for card in cards]
    with PeakMemory() as memory:
        started = time.perf_counter()
        opened = [open_engine(card, backend) for card in cards]
        open_s = time.perf_counter() - started
        started = time.perf_counter()
        for engine, inputs in zip(opened, batches, strict=True):
            for batch in inputs:
                engine.run(batch)
        first_s = time.perf_counter() - started
        memory.look()
        yield {"backend": backend, "open_s": open_s, "first_s": first_s, "gpu_mib": memory.growth_mib}


def bench(engines: str, backend: str, seconds: float, budget_s: float) -> Iterator[Record]:
    """Each engine at each batch size, with fewer calls where `budget_s` does not last."""
    from facecap_batch.checks.bench import engine_speeds
    from facecap_batch.engines.sets import load_set

    ends = time.monotonic() + budget_s
    cards = load_set(engines).cards
    for number, card in enumerate(cards):
        share_s = (ends - time.monotonic()) / (len(cards) - number)
        for speed in engine_speeds(card, backend, seconds, share_s):
            yield dataclasses.asdict(speed)


def certificate(engines: str, backend: str, crops: int, images: int, folder: str) -> Iterator[Record]:
    """Compare a backend with the reference, and write its certificate where it can have one."""
    from facecap_batch.checks.verify import verify

    for comparison in verify(engines, [backend], crops=crops, images=images):
        kept = comparison.certify(Path(folder) / f"{backend}.json") if comparison.certifiable else None
        yield {"certificate": str(kept.path) if kept else None, **comparison.describe()}


def capture(
    engines: str, backend: str, videos: Sequence[str], threads: Sequence[int], hwaccel: str, budget_s: float
) -> Iterator[Record]:
    """Clips from their files to Parquet and FBX, in one process, with each number of decoding threads; only
    their beginnings where `budget_s` does not last."""
    from facecap_batch.capturing.settings import CaptureSettings
    from facecap_batch.checks.bench import opened_clip_speed
    from facecap_batch.engines.registry import open_engine
    from facecap_batch.engines.sets import load_set
    from facecap_batch.runs.worker import limit_threads
    from facecap_batch.video.nvdec import decodes_on_gpu

    limit_threads()
    if hwaccel == "cuda":
        decodes_on_gpu()  # raises DecoderUnavailable
    ends = time.monotonic() + budget_s
    cards = load_set(engines)
    opened = open_engine(cards.detector, backend), open_engine(cards.regressor, backend)
    passes = [(number, video) for number in threads for video in videos]
    for done, (number, video) in enumerate(passes):
        settings = CaptureSettings(decode_threads=number, hwaccel=hwaccel)  # type: ignore[arg-type]
        share_s = (ends - time.monotonic()) / (len(passes) - done)
        speed = opened_clip_speed(opened, Path(video), settings, share_s)
        yield {**dataclasses.asdict(speed), "fps": speed.fps, "decode_fps": speed.decode_fps}


def workers(
    engines: str, backend: str, video: str, copies: int, count: int, gpu: bool, folder: str
) -> Iterator[Record]:
    """A run over copies of a clip on Ray: `count` workers that share a GPU, or as many CPUs."""
    from facecap_batch.capturing.settings import CaptureSettings
    from facecap_batch.checks.gpu_day.gpu_memory import PeakMemory
    from facecap_batch.runs.config import RunOptions, make_config, worker_threads
    from facecap_batch.runs.manifest import read_manifest
    from facecap_batch.runs.start import start_run

    output = Path(folder)
    output.mkdir(parents=True, exist_ok=True)
    manifest = output / "manifest.csv"
    rows = "".join(f"{Path(video).resolve()},copy{number:03}\n" for number in range(copies))
    manifest.write_text(f"path,clip_id\n{rows}", encoding="utf-8")
    share = 1 / count if gpu else 0.0
    threads, cpus = worker_threads(share)
    options = RunOptions(
        output / "out", workers=count, gpus_per_worker=share, cpus_per_worker=cpus, force=True
    )
    config = make_config(engines, backend, CaptureSettings(decode_threads=threads))
    with PeakMemory() as memory:
        summary = start_run(read_manifest(manifest), config, options)
    yield {
        "backend": backend,
        "workers": count,
        "decode_threads": threads,
        "clips": summary.clips,
        "done": summary.done,
        "frames": summary.frames,
        "work_s": summary.work_s,
        "elapsed_s": summary.elapsed_s,
        "fps": summary.frames / summary.work_s if summary.work_s else None,
        "gpu_mib": memory.growth_mib,
    }
