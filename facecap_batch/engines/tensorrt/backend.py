"""TensorRT: the card's network as a plan for the GPU at hand, in FP32 (without TF32), FP16 or INT8.

In: a verified card and a backend's name, which contains the precision. Out: an `Engine`. The plan comes
from the plan cache or is built (minutes, once per GPU, version and network). Each batch size of the card
has an optimisation profile and a separate execution context. Images go to the GPU as bytes, one copy a
batch; they are normalised there, by the network itself. One thread at a time may use an engine, any thread.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from facecap_batch.engines.backends import cuda
from facecap_batch.engines.batching import check_outputs, in_fixed_batches
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.tensorrt import graph, plans, versions
from facecap_batch.engines.tensorrt.build import build_plan, plan_key
from facecap_batch.errors import BackendUnavailable, EngineError, EngineMismatch

PRECISIONS = versions.PRECISIONS


def unavailable_because(backend: str) -> str | None:
    """Why `backend` cannot run in this process, with the install line; None where it can."""
    reasons = [cuda.unavailable_because(), graph.unavailable_because()]
    try:
        trt = versions.load()
    except BackendUnavailable as error:
        reasons.append(str(error))
    else:
        reasons.append(versions.unavailable_because(trt, PRECISIONS[backend]))
    return "; ".join(filter(None, reasons)) or None


@dataclasses.dataclass(frozen=True)
class BuiltPlan:
    """A plan that is ready in the cache."""

    engine: str
    backend: str
    path: Path
    seconds: float  # that it took to have it open
    existed: bool  # it was in the cache already


def build_ahead(card: EngineCard, backend: str) -> BuiltPlan:
    """See to it that the plan of `card` for this machine is in the cache, and opens.

    Raises BackendUnavailable, EngineError, EngineMismatch.
    """
    card.verify()
    if reason := unavailable_because(backend):
        raise BackendUnavailable(f"backend {backend}: {reason}")
    trt = versions.load()
    key = plan_key(card, PRECISIONS[backend], trt, cuda.Device().info)
    path = plans.plan_path(card.name, key)
    existed = plans.stored(path, key) is not None
    started = time.monotonic()
    TensorRtEngine(card, backend)
    if not path.is_file():
        raise EngineError(
            f"the plan of {card.name!r} was built but could not be kept in {path.parent}; make that folder "
            f"writable or set {plans.CACHE_VARIABLE}"
        )
    return BuiltPlan(card.name, backend, path, time.monotonic() - started, existed)


class TensorRtEngine:
    """An engine in TensorRT; see `batching.Engine`."""

    def __init__(self, card: EngineCard, backend: str = "tensorrt") -> None:
        self.card = card
        self.backend = backend
        self._trt = trt = versions.load()
        self._device = cuda.Device()
        self._logger = versions.make_logger(trt)
        self._runtime = versions.start(trt, "Runtime", self._logger)
        key = plan_key(card, PRECISIONS[backend], trt, self._device.info)
        self._engine = plans.fetch(
            card.name,
            key,
            lambda: build_plan(card, key, trt, self._logger),
            self._runtime.deserialize_cuda_engine,
        )
        self._stream = self._device.stream()
        self._profiles = {shapes[0][0]: number for number, shapes in enumerate(key.profiles)}
        self._contexts: dict[int, Any] = {}
        self._buffers: dict[str, cuda.Buffer] = {}
        self._check_contract(key.profiles[0][2])

    def device_bytes(self) -> int:
        """Device memory of one execution context; each batch size in use has one."""
        return versions.device_bytes(self._engine)

    def _check_contract(self, shape: tuple[Any, ...]) -> None:
        engine, trt, spec = self._engine, self._trt, self.card.input
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._outputs = [name for name in names if name not in inputs]
        kind = np.dtype(trt.nptype(engine.get_tensor_dtype(inputs[0]))) if len(inputs) == 1 else None
        if inputs != [spec.name] or kind != np.dtype(spec.dtype):
            raise EngineMismatch(
                f"engine {self.card.name!r}: its plan takes {inputs} ({kind}), the card says {spec}"
            )
        context = self._context(int(shape[0]), shape)
        check_outputs(self.card, {name: list(context.get_tensor_shape(name)) for name in self._outputs})

    def _context(self, batch: int, shape: tuple[Any, ...]) -> Any:
        """The execution context of a batch size, set to an input of `shape`."""
        if batch not in self._contexts:
            context = self._engine.create_execution_context()
            if context is None:
                raise EngineError(
                    f"engine {self.card.name!r}: TensorRT cannot make a context for batches of {batch}: it "
                    f"needs {self.device_bytes() >> 20} MiB and the GPU has "
                    f"{self._device.free_bytes() >> 20} MiB free; run fewer workers on it"
                )
            if not context.set_optimization_profile_async(self._profiles[batch], self._stream):
                raise EngineError(
                    f"engine {self.card.name!r}: its plan has no profile for batches of {batch}"
                )
            self._device.wait(self._stream)
            self._contexts[batch] = context
        context = self._contexts[batch]
        if not context.set_input_shape(self.card.input.name, shape):
            raise EngineError(f"engine {self.card.name!r}: its plan does not take {list(shape)}")
        return context

    def _buffer(self, name: str, size: int) -> cuda.Buffer:
        held = self._buffers.get(name)
        if held is None or held.size < size:
            self._buffers.pop(name, None)
            del held  # the old one is freed before the new one is asked for
            self._buffers[name] = held = self._device.buffer(size)
        return held

    def _run_fixed(self, batch: np.ndarray) -> list[np.ndarray]:
        self._device.activate()
        context = self._context(len(batch), batch.shape)
        fed = self._buffer(self.card.input.name, batch.nbytes)
        self._device.upload(batch, fed, self._stream)
        context.set_tensor_address(self.card.input.name, fed.address)
        results = {}
        for name in self._outputs:
            kind = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))
            results[name] = np.empty(tuple(context.get_tensor_shape(name)), kind)
            context.set_tensor_address(name, self._buffer(name, results[name].nbytes).address)
        if not context.execute_async_v3(self._stream):
            reason = versions.reason(self._logger)
            raise EngineError(f"engine {self.card.name!r}: TensorRT fails to run: {reason}")
        for name, result in results.items():
            self._device.download(self._buffers[name], result, self._stream)
        self._device.wait(self._stream)
        return [results[name] for name in self.card.outputs]

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See `batching.Engine.run`."""
        return in_fixed_batches(self.card, batch, self._run_fixed)
