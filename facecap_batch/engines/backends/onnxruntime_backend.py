"""ONNX Runtime, on the CPU or a CUDA device: one session with fixed batch shapes.

In: a verified card. Out: an `Engine`. Sessions are tuned for many workers side by side: one intra-op thread
unless asked otherwise, no spinning, sequential execution. The CUDA device is the first that this process may
use: Ray gives each worker its own in CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
from typing import Any

import numpy as np

from facecap_batch.engines.backends import cuda
from facecap_batch.engines.batching import check_outputs, in_fixed_batches
from facecap_batch.engines.cards import EngineCard
from facecap_batch.errors import BackendUnavailable, EngineError, EngineMismatch, install_hint

log = logging.getLogger(__name__)

PROVIDERS = {"onnxruntime-cpu": "CPUExecutionProvider", "onnxruntime-cuda": "CUDAExecutionProvider"}
INSTALL = {
    "onnxruntime-cpu": install_hint("cpu"),
    "onnxruntime-cuda": f"pip uninstall onnxruntime; {install_hint('gpu')}",
}
# Bytes the CUDA arena of one session may take: several workers share a device.
CUDA_ARENA_BYTES = 2 << 30


def unavailable_because(backend: str) -> str | None:
    """Why `backend` cannot run in this process, with the install line; None where it can."""
    try:
        import onnxruntime
    except ImportError as error:
        return f"onnxruntime is not installed ({error}); {INSTALL[backend]}"
    if PROVIDERS[backend] not in onnxruntime.get_available_providers():
        return f"this onnxruntime has no {PROVIDERS[backend]}; {INSTALL[backend]}"
    return cuda.unavailable_because() if backend == "onnxruntime-cuda" else None


@functools.cache
def _preload_cuda(onnxruntime: Any) -> str:
    """Load CUDA's libraries from the packages that ``[gpu]`` installs; return what was odd about it.

    ONNX Runtime finds them by itself only on the system's path, or when torch has loaded its copies.
    """
    preload = getattr(onnxruntime, "preload_dlls", None)  # since 1.21
    if preload is None:
        return f"onnxruntime {onnxruntime.__version__} finds CUDA on the system's library path only"
    printed = io.StringIO()  # it prints what it cannot load
    try:
        with contextlib.redirect_stdout(printed):
            preload(directory="")  # the packages, then the system; never torch's
    except Exception as error:  # it raises plain ones
        printed.write(f"{type(error).__name__}: {error}")
    return " ".join(printed.getvalue().split())


class OnnxRuntimeEngine:
    """An engine in ONNX Runtime; see `batching.Engine`."""

    def __init__(self, card: EngineCard, backend: str = "onnxruntime-cpu", threads: int = 1) -> None:
        import onnxruntime

        self.card = card
        self.backend = backend
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        # Workers share cores; a thread that spins between batches takes one from its neighbour.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The arena then grows to what the largest fixed batch needs and no further.
        provider_options: dict[str, str] = {"arena_extend_strategy": "kSameAsRequested"}
        provider = PROVIDERS[backend]
        oddity = ""
        if backend == "onnxruntime-cuda":
            oddity = _preload_cuda(onnxruntime)
            provider_options |= {
                "device_id": "0",
                "gpu_mem_limit": str(CUDA_ARENA_BYTES),
                "cudnn_conv_algo_search": "HEURISTIC",
                "use_tf32": "0",  # TF32 would break parity with the CPU
            }
        try:
            self._session = onnxruntime.InferenceSession(
                str(card.path), options, providers=[(provider, provider_options)]
            )
        except Exception as error:  # onnxruntime raises its own, undocumented, classes
            raise EngineError(
                f"engine {card.name!r}: {card.path} does not load in {backend}: {error}"
            ) from error
        # ONNX Runtime falls back to the CPU without an error when a provider fails to initialise.
        if self._session.get_providers()[0] != provider:
            raise BackendUnavailable(
                f"{backend}: {provider} did not initialise (are the libraries of CUDA and cuDNN that this "
                f"onnxruntime was built for there? {oddity or 'they were found'}); {INSTALL[backend]}"
            )
        if oddity:
            log.info("%s: %s", backend, oddity)
        self._check_contract()

    def _check_contract(self) -> None:
        inputs = self._session.get_inputs()
        spec = self.card.input
        kinds = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}
        if len(inputs) != 1 or inputs[0].name != spec.name or inputs[0].type != kinds[spec.dtype]:
            found = [(entry.name, entry.type, entry.shape) for entry in inputs]
            raise EngineMismatch(
                f"engine {self.card.name!r}: {self.card.file} takes {found}, the card says {spec}"
            )
        item = [spec.size if isinstance(axis, str) or axis is None else axis for axis in inputs[0].shape[1:]]
        if tuple(item) != spec.shape[1:] or (spec.step and item == list(inputs[0].shape[1:])):
            raise EngineMismatch(
                f"engine {self.card.name!r}: {self.card.file} takes {inputs[0].shape}, "
                f"the card says {spec.shape}"
            )
        check_outputs(self.card, {entry.name: entry.shape for entry in self._session.get_outputs()})

    def _run_fixed(self, batch: np.ndarray) -> list[np.ndarray]:
        try:
            outputs: list[np.ndarray] = self._session.run(
                list(self.card.outputs), {self.card.input.name: batch}
            )
        except Exception as error:  # its own, undocumented, classes
            raise EngineError(
                f"engine {self.card.name!r}: {self.card.path} fails on {batch.dtype} {list(batch.shape)} in "
                f"{self.backend}: {error}"
            ) from error
        return outputs

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See `batching.Engine.run`."""
        return in_fixed_batches(self.card, batch, self._run_fixed)
