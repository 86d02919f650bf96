"""The list of backends, and the one function that opens an engine.

In: a card and a backend's name, which stands for runtime, device and precision. Out: a running `Engine` on
exactly that backend, or an error with the install line. "auto" takes the first of `AUTO` that works here
and logs which and why; before ONNX Runtime on the CPU it takes one that is certified to be faster here
(`certificates.faster_here`). It never lowers the precision of a set that was not judged in it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence

from facecap_batch.engines.backends import onnxruntime_backend, torch_backend
from facecap_batch.engines.batching import Engine
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.openvino import backend as openvino_backend
from facecap_batch.engines.openvino import library as openvino_library
from facecap_batch.engines.sets import load_set
from facecap_batch.engines.tensorrt import backend as tensorrt_backend
from facecap_batch.engines.tensorrt.backend import BuiltPlan
from facecap_batch.errors import BackendUnavailable

log = logging.getLogger(__name__)

# Fastest first. "torch" is the reference, "torch-cuda" the same on a GPU: never chosen over ONNX Runtime.
BACKENDS: tuple[str, ...] = (
    "tensorrt",
    "tensorrt-fp16",
    "tensorrt-int8",
    "onnxruntime-cuda",
    "onnxruntime-cpu",
    "openvino",
    "openvino-bf16",
    "torch-cuda",
    "torch",
)
# These compute with fewer bits than the network was made with: requested by name, or by cards that were
# judged so (`EngineCard.judged_in`).
REDUCED: dict[str, str] = {"tensorrt-fp16": "fp16", "tensorrt-int8": "int8", "openvino-bf16": "bf16"}
AUTO: tuple[str, ...] = ("tensorrt", "onnxruntime-cuda", "onnxruntime-cpu", "openvino", "torch")
RIVAL = "onnxruntime-cpu"  # of AUTO: those of FASTER go before it where they are certified to be faster
FASTER: tuple[str, ...] = ("openvino-bf16", "openvino")


@dataclasses.dataclass(frozen=True)
class BackendChoice:
    """A backend that works here, and why it was taken."""

    name: str
    reason: str


def unavailable_because(backend: str) -> str | None:
    """Why `backend` cannot run here, with the install line; None where it can."""
    if backend in onnxruntime_backend.PROVIDERS:
        return onnxruntime_backend.unavailable_because(backend)
    if backend in tensorrt_backend.PRECISIONS:
        return tensorrt_backend.unavailable_because(backend)
    if backend in openvino_library.PRECISIONS:
        return openvino_library.unavailable_because(backend)
    if backend in torch_backend.DEVICES:
        return torch_backend.unavailable_because(backend)
    return f"there is no backend {backend!r}; backends: auto, {', '.join(BACKENDS)}"


def full_precision_backends() -> tuple[str, ...]:
    """The backends that work here and compute as the network was made; all of them should agree."""
    return tuple(name for name in BACKENDS if name not in REDUCED and unavailable_because(name) is None)


def choose_backend(
    backend: str = "auto", excluded: tuple[str, ...] = (), faster: tuple[str, ...] = ()
) -> BackendChoice:
    """Resolve `backend`; "auto" takes the first of `AUTO` that is installed and not in `excluded`.

    `faster` are backends that are known to be faster than RIVAL with the engines in question; "auto" takes
    them before it.

    Raises BackendUnavailable with the install line where it (for "auto": any) cannot run.
    """
    if backend != "auto":
        if reason := unavailable_because(backend):
            raise BackendUnavailable(f"backend {backend}: {reason}")
        return BackendChoice(backend, "requested by name")
    skipped: list[str] = []
    behind = AUTO.index(RIVAL)
    for name in dict.fromkeys((*AUTO[:behind], *faster, *AUTO[behind:])):
        reason = "did not start" if name in excluded else unavailable_because(name)
        if reason is None:
            why = f"certified to be faster than {RIVAL} here" if name in faster else "the first that works"
            return BackendChoice(name, "; ".join([why, *skipped]))
        skipped.append(f"not {name}: {reason}")
    raise BackendUnavailable("no backend works here; " + "; ".join(skipped))


def open_engine(
    card: EngineCard, backend: str = "auto", threads: int = 1, faster: tuple[str, ...] = ()
) -> Engine:
    """Verify the card's file and open it on `backend`, with `threads` CPU threads; `faster` as for
    `choose_backend`.

    Raises EngineError or EngineMismatch for a missing or changed file, BackendUnavailable where the backend
    cannot run. A backend requested by name is never replaced by another; "auto" logs what it took and why.
    """
    card.verify()
    if backend != "auto":
        return _open(card, choose_backend(backend).name, threads)
    skipped: tuple[str, ...] = ()
    while True:
        choice = choose_backend("auto", skipped, faster)
        try:
            engine = _open(card, choice.name, threads)
        except BackendUnavailable as error:  # installed, but its device or driver is not there
            log.warning("engine %s: skipped %s: %s", card.name, choice.name, error)
            skipped += (choice.name,)
        else:
            log.info("engine %s on %s: %s", card.name, choice.name, choice.reason)
            return engine


def build_plans(engines: str, backends: Sequence[str]) -> Iterator[BuiltPlan]:
    """Have the plans of an engine set ready in the plan cache, for each of `backends`.

    Raises BackendUnavailable where one has no plans or cannot run here; EngineError.
    """
    for backend in backends:
        if backend not in tensorrt_backend.PRECISIONS:
            known = ", ".join(tensorrt_backend.PRECISIONS)
            raise BackendUnavailable(f"backend {backend!r} has nothing to build; those that have: {known}")
    for card in load_set(engines).cards:
        for backend in backends:
            yield tensorrt_backend.build_ahead(card, backend)


def _open(card: EngineCard, backend: str, threads: int) -> Engine:
    if backend in onnxruntime_backend.PROVIDERS:
        return onnxruntime_backend.OnnxRuntimeEngine(card, backend, threads)
    if backend in tensorrt_backend.PRECISIONS:
        return tensorrt_backend.TensorRtEngine(card, backend)
    if backend in openvino_library.PRECISIONS:
        return openvino_backend.OpenVinoEngine(card, backend, threads)
    return torch_backend.TorchEngine(card, backend, threads)
