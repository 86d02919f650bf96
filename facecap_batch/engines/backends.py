"""The list of backends, and the one door through which an engine is opened.

In: a card and a backend's name. Out: a running `Engine` on exactly that backend, or an error with the install
line. "auto" takes the first of `BACKENDS` that works here and says which and why.
"""

from __future__ import annotations

import dataclasses
import logging

from facecap_batch.engines import onnxruntime_backend, torch_backend
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.engine import Engine
from facecap_batch.errors import BackendUnavailable

log = logging.getLogger(__name__)

# Fastest first; "torch" is the reference and never chosen over ONNX Runtime.
BACKENDS: tuple[str, ...] = ("onnxruntime-cuda", "onnxruntime-cpu", "torch")


@dataclasses.dataclass(frozen=True)
class BackendChoice:
    """A backend that works here, and why it was taken."""

    name: str
    reason: str


def unavailable_because(backend: str) -> str | None:
    """Why `backend` cannot run here, with the install line; None where it can."""
    if backend in onnxruntime_backend.PROVIDERS:
        return onnxruntime_backend.unavailable_because(backend)
    if backend == "torch":
        return torch_backend.unavailable_because()
    return f"there is no backend {backend!r}; backends: auto, {', '.join(BACKENDS)}"


def choose_backend(backend: str = "auto", excluded: tuple[str, ...] = ()) -> BackendChoice:
    """Resolve `backend`; "auto" takes the first that is installed and not in `excluded`.

    Raises BackendUnavailable with the install line where it (for "auto": any) cannot run.
    """
    if backend != "auto":
        if reason := unavailable_because(backend):
            raise BackendUnavailable(f"backend {backend}: {reason}")
        return BackendChoice(backend, "asked for by name")
    passed_over: list[str] = []
    for name in BACKENDS:
        reason = "did not start" if name in excluded else unavailable_because(name)
        if reason is None:
            return BackendChoice(name, "; ".join(["the fastest that works here", *passed_over]))
        passed_over.append(f"not {name}: {reason}")
    raise BackendUnavailable("no backend works here; " + "; ".join(passed_over))


def open_engine(card: EngineCard, backend: str = "auto", threads: int = 1) -> Engine:
    """Verify the card's file and open it on `backend`, with `threads` CPU threads.

    Raises EngineError or EngineMismatch for a missing or changed file, BackendUnavailable where the backend
    cannot run. A backend asked for by name is never replaced by another; "auto" logs what it took and why.
    """
    card.verify()
    if backend != "auto":
        return _open(card, choose_backend(backend).name, threads)
    passed_over: tuple[str, ...] = ()
    while True:
        choice = choose_backend("auto", passed_over)
        try:
            engine = _open(card, choice.name, threads)
        except BackendUnavailable as error:  # installed, but its device or driver is not there
            log.warning("engine %s: passed over %s: %s", card.name, choice.name, error)
            passed_over += (choice.name,)
        else:
            log.info("engine %s on %s: %s", card.name, choice.name, choice.reason)
            return engine


def _open(card: EngineCard, backend: str, threads: int) -> Engine:
    if backend in onnxruntime_backend.PROVIDERS:
        return onnxruntime_backend.OnnxRuntimeEngine(card, backend, threads)
    return torch_backend.TorchEngine(card, threads)
