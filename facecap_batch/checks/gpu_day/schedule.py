"""Which steps a GPU day has, and in which order: what matters most comes first, for time may run out.

In: `DayOptions`, and what earlier steps found: whether there is a GPU, which backends open. Out: `Step`s.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from facecap_batch.checks.gpu_day import steps
from facecap_batch.checks.gpu_day.clips import SIZES
from facecap_batch.checks.gpu_day.step import Step

# Of the GPU, the one that matters most first: that of them which opens is measured in all ways.
GPU_BACKENDS = ("tensorrt", "onnxruntime-cuda", "tensorrt-fp16", "torch-cuda")
COMPARED = ("onnxruntime-cpu",)  # measured beside them
STAND_INS = ("onnxruntime-cpu", "torch")  # measured instead of them in a rehearsal
REFERENCE = "torch"  # has no certificate: it is what the others are compared with
NVDEC = "NVDEC"

USUAL_THREADS = 4  # as `runs.config.GPU_DECODE_THREADS`
OTHER_THREADS = (1, 2, 8)
WORKERS, REHEARSED_WORKERS = (1, 2, 4), (1, 2)
CLIP_S, REHEARSED_CLIP_S = 10.0, 2.0
COPIES = 3  # clips per worker: the last round, in which workers run out of clips, is a third


@dataclasses.dataclass(frozen=True)
class DayOptions:
    """What a GPU day is made with."""

    output: Path  # folder
    source: Path  # video of a face that the clips are made of
    minutes: float = 8.0
    engines: str = "default"
    clip_s: float | None = None  # seconds of each clip; None: CLIP_S, in a rehearsal REHEARSED_CLIP_S
    rehearse: bool = False  # as on a machine without a GPU

    def clip(self, name: str) -> str:
        """Where the clip of that size lies."""
        return str(self.output / "clips" / f"{name}.mp4")


def first_steps() -> list[Step]:
    """What decides everything else."""
    backends = dict.fromkeys((*GPU_BACKENDS, *COMPARED, *STAND_INS))
    return [_step("machine", steps.machine, 0.2, backends=list(backends), nvdec=NVDEC)]


def opening_steps(options: DayOptions, gpu: bool) -> list[Step]:
    """Which backends open, and the clips."""
    backends = (*GPU_BACKENDS, *(COMPARED if gpu else STAND_INS))
    seconds = options.clip_s or (CLIP_S if gpu else REHEARSED_CLIP_S)
    making: dict[str, Any] = {
        "source": str(options.source),
        "folder": str(options.output / "clips"),
        "seconds": seconds,
    }
    return [
        *(
            # With TensorRT plans are built: a minute or two.
            _step(
                f"open {name}", steps.opening, 0.25 if "tensorrt" in name else 0.1,
                needs=name, engines=options.engines, backend=name,
            )
            for name in backends
        ),
        _step("clips", steps.clips, 0.15, **making),
    ]  # fmt: skip


def measuring_steps(options: DayOptions, opened: list[str], gpu: bool) -> list[Step]:
    """Certificates and speeds of the backends that open, `opened`, the one that matters most first."""
    if not opened:
        return []
    best = opened[0]
    found = [_bench(options, best, gpu), *_certificate(options, best, gpu), _capture(options, best)]
    found += [_capture(options, best, hwaccel="cuda")]
    for name in opened[1:]:
        found += [_bench(options, name, gpu), *_certificate(options, name, gpu), _capture(options, name)]
    found += [_capture(options, best, OTHER_THREADS)]
    return found + [_workers(options, best, count, gpu) for count in (WORKERS if gpu else REHEARSED_WORKERS)]


def _bench(options: DayOptions, backend: str, gpu: bool) -> Step:
    seconds = 0.5 if gpu else 0.1  # per batch size; five calls at least
    return _step(
        f"bench {backend}", steps.bench, 0.1, paced=True,
        engines=options.engines, backend=backend, seconds=seconds,
    )  # fmt: skip


def _certificate(options: DayOptions, backend: str, gpu: bool) -> list[Step]:
    if backend == REFERENCE:
        return []
    crops, images = (300, 60) if gpu else (100, 20)  # the reference computes them on the CPU
    certificate = _step(
        f"certificate {backend}", steps.certificate, 0.2 if gpu else 0.3,
        engines=options.engines, backend=backend, crops=crops, images=images,
        folder=str(options.output / "certificates"),
    )  # fmt: skip
    return [certificate]


def _capture(
    options: DayOptions, backend: str, threads: tuple[int, ...] = (USUAL_THREADS,), hwaccel: str = "none"
) -> Step:
    how = "decoded by NVDEC" if hwaccel == "cuda" else f"{', '.join(map(str, threads))} decoding threads"
    return _step(
        f"capture {backend}, {how}", steps.capture, 0.1 + 0.05 * len(threads),
        needs=NVDEC if hwaccel == "cuda" else "", paced=True,
        engines=options.engines, backend=backend, videos=[options.clip(size.name) for size in SIZES],
        threads=list(threads), hwaccel=hwaccel,
    )  # fmt: skip


def _workers(options: DayOptions, backend: str, count: int, gpu: bool) -> Step:
    return _step(
        f"{count} workers on {backend}" if count > 1 else f"1 worker on {backend}", steps.workers, 0.2,
        engines=options.engines, backend=backend, video=options.clip(SIZES[0 if gpu else 1].name),
        copies=COPIES * count, count=count, gpu=gpu, folder=str(options.output / "runs" / str(count)),
    )  # fmt: skip


def _step(
    name: str, function: object, share: float, needs: str = "", paced: bool = False, **arguments: object
) -> Step:
    called = f"{steps.__name__}:{function.__name__}"  # type: ignore[attr-defined]
    return Step(name, called, arguments, share, needs, paced)
