"""Whether this machine can do the work, and what to do where it cannot.

In: nothing. Out: findings, each tried for real: a video is written and read, an engine is run.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from facecap_batch import machine
from facecap_batch.errors import FacecapError

SMALL_TMP_BYTES = 1 * 2**30


@dataclasses.dataclass(frozen=True)
class Finding:
    what: str
    ok: bool
    detail: str
    required: bool = True  # False: worth knowing, but runs work without


def findings() -> Iterator[Finding]:
    """Look at everything; none of it takes longer than a few seconds."""
    yield from installed()
    yield from _engine_sets()
    yield _tried("temporary folder", _temporary_folder)


def installed() -> Iterator[Finding]:
    """Look at the machine, the libraries and the backends; no engine is opened."""
    yield Finding("Python", sys.version_info >= (3, 10), platform.python_version())
    hardware = machine.hardware()
    memory = hardware["memory_bytes"]
    size = f", {memory / 2**30:.0f} GiB" if memory else ""
    yield Finding("machine", True, f"{hardware['cpus']} CPUs{size}, {hardware['processor']}")
    yield from _gpu()
    for module in ("av", "cv2", "numpy", "pyarrow", "ray"):
        yield _tried(module, lambda module=module: _version(module))  # type: ignore[misc]
    yield _tried("query", lambda: _version("duckdb"), required=False)
    yield _tried("storage", lambda: _version("s3fs"), required=False)
    yield _tried("video", _decode_a_video)
    yield from _backends()


def _tried(what: str, attempt: Callable[[], str], required: bool = True) -> Finding:
    try:
        return Finding(what, True, attempt(), required)
    except FacecapError as error:
        return Finding(what, False, str(error), required)
    except Exception as error:
        return Finding(what, False, f"{type(error).__name__}: {error}", required)


def _version(module: str) -> str:
    return str(importlib.import_module(module).__version__)


def _decode_a_video() -> str:
    """Write a small H.264 (else MPEG-4) video and read it back."""
    import av
    import numpy as np

    from facecap_batch.video.decoder import decode

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "doctor.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for value in range(5):
                image = np.full((64, 64, 3), value * 40, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        count = sum(1 for _ in decode(path, thread_count=1))
    if count != 5:
        raise RuntimeError(f"{count} of 5 frames came back")
    return f"{codec} written and read"


def _gpu() -> Iterator[Finding]:
    """The GPUs and the driver as this process sees them; whether FFmpeg has NVDEC; TensorRT and its plans."""
    from facecap_batch.engines.backends import cuda
    from facecap_batch.engines.tensorrt import plans as tensorrt_plans
    from facecap_batch.engines.tensorrt import versions
    from facecap_batch.video.nvdec import decodes_on_gpu

    def devices() -> str:
        driver = cuda.driver()
        found = [cuda.Device(number).info for number in range(driver.device_count())]
        named = [
            f"{info.name} (compute {info.compute_capability}, {info.memory_bytes / 2**30:.0f} GiB)"
            for info in found
        ]
        module = f"driver {version}, " if (version := cuda.kernel_module()) else ""
        return f"{', '.join(named)}; {module}CUDA up to {driver.version()}"

    def tensorrt() -> str:
        trt = versions.load()
        refused = [
            name
            for name, precision in versions.PRECISIONS.items()
            if versions.unavailable_because(trt, precision)
        ]
        return str(trt.__version__) + (f", without {', '.join(refused)}" if refused else "")

    def cache() -> str:
        plans = tensorrt_plans.plans()
        size = sum(path.stat().st_size for path in plans) / 2**20
        return f"{len(plans)} plans, {size:.0f} MiB in {tensorrt_plans.plan_folder()}"

    yield _tried("GPU", devices, required=False)
    yield _tried("TensorRT", tensorrt, required=False)
    yield _tried("plan cache", cache, required=False)
    yield _tried("decoding on the GPU", decodes_on_gpu, required=False)


def _backends() -> Iterator[Finding]:
    from facecap_batch.engines.certificates import faster_here
    from facecap_batch.engines.registry import BACKENDS, choose_backend, unavailable_because
    from facecap_batch.engines.sets import load_set

    def chosen() -> str:
        """What a run of the default engines would take, and why."""
        choice = choose_backend(faster=faster_here(load_set("default")))
        return f"{choice.name}: {choice.reason.partition(';')[0]}"

    yield _tried("backend", chosen)
    for name in BACKENDS:
        reason = unavailable_because(name)
        yield Finding(f"backend {name}", reason is None, reason or "available", required=False)


def _engine_sets() -> Iterator[Finding]:
    from facecap_batch.engines.certificates import faster_here
    from facecap_batch.engines.registry import open_engine
    from facecap_batch.engines.sets import available_sets, load_set

    def try_set(name: str) -> str:
        engines = load_set(name)
        faster = faster_here(engines)
        return ", ".join(
            f"{card.name} {card.version} on {open_engine(card, faster=faster).backend}"
            for card in engines.cards
        )

    for name in dict.fromkeys(["default", *available_sets()]):
        yield _tried(f"engine set {name}", lambda name=name: try_set(name), name == "default")  # type: ignore[misc]


def _temporary_folder() -> str:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < SMALL_TMP_BYTES:
        raise OSError(f"{folder} has {free / 2**20:.0f} MiB free; Ray needs about 1 GiB: set TMPDIR")
    if not os.access(folder, os.W_OK):
        raise OSError(f"{folder} is not writable: set TMPDIR")
    return f"{folder}, {free / 2**30:.0f} GiB free"
