"""OpenVINO on the CPU, in float32 or bfloat16: the card's network compiled for each shape that it is fed.

In: a verified card and a backend's name, which contains the precision. Out: an `Engine`. A model of open
shapes is slower than one compiled for the shape at hand, so each is compiled when it first comes. Compiled
models are tuned for many workers side by side: one thread unless asked otherwise, bound to no core. One
thread at a time may use an engine.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from facecap_batch.engines.batching import check_outputs, in_fixed_batches
from facecap_batch.engines.cards import PLACES_IN_BF16, EngineCard
from facecap_batch.engines.openvino.library import DEVICE, PRECISIONS, load
from facecap_batch.engines.openvino.split import Stage, in_stages
from facecap_batch.errors import EngineError, EngineMismatch

# Compiled models that an engine keeps, each with weights of its own: pictures of many sizes come one after
# the other, and those of one clip are of one.
MAX_SHAPES = 8

Runner = Callable[[np.ndarray], list[np.ndarray]]


class OpenVinoEngine:
    """An engine in OpenVINO; see `batching.Engine`."""

    def __init__(self, card: EngineCard, backend: str = "openvino", threads: int = 1) -> None:
        self.card = card
        self.backend = backend
        self._threads = threads
        self._openvino = load()
        self._core = self._openvino.Core()
        self._runners: OrderedDict[tuple[int, ...], Runner] = OrderedDict()
        try:
            self._model = self._core.read_model(str(card.path))
        except Exception as error:  # the bindings raise plain ones
            raise EngineError(
                f"engine {card.name!r}: {card.path} does not load in {backend}: {error}"
            ) from error
        self._check_contract()

    def _check_contract(self) -> None:
        spec, inputs = self.card.input, self._model.inputs
        kinds = {"uint8": "u8", "float32": "f32"}
        found = [
            (sorted(entry.get_names()), entry.get_element_type().get_type_name(), _shape(entry))
            for entry in inputs
        ]
        if len(found) != 1 or spec.name not in found[0][0] or found[0][1] != kinds[spec.dtype]:
            raise EngineMismatch(
                f"engine {self.card.name!r}: {self.card.file} takes {found}, the card says {spec}"
            )
        shape = found[0][2][1:]
        item = [spec.size if isinstance(axis, str) else axis for axis in shape]
        if tuple(item) != spec.shape[1:] or (spec.step and item == shape):
            raise EngineMismatch(
                f"engine {self.card.name!r}: {self.card.file} takes {found[0][2]}, the card says {spec.shape}"
            )
        outputs = {name: entry for entry in self._model.outputs for name in entry.get_names()}
        check_outputs(self.card, {name: _shape(entry) for name, entry in outputs.items()})
        every = [sorted(entry.get_names()) for entry in self._model.outputs]
        self._order = [
            next(number for number, names in enumerate(every) if name in names) for name in self.card.outputs
        ]

    def _runner(self, shape: tuple[int, ...]) -> Runner:
        """The network compiled for input of `shape`."""
        if shape in self._runners:
            self._runners.move_to_end(shape)
            return self._runners[shape]
        if len(self._runners) == MAX_SHAPES:
            self._runners.popitem(last=False)
        model = self._model.clone()
        model.reshape({self.card.input.name: list(shape)})
        precision = PRECISIONS[self.backend]
        stages = None
        if precision != "f32":
            stages = in_stages(self._openvino, model, PLACES_IN_BF16 not in self.card.judged_in)
        if stages is None:
            runner = self._compiled(model, precision)
            self._runners[shape] = lambda batch: runner([batch])
        else:
            self._runners[shape] = self._one_after_the_other(stages, precision)
        return self._runners[shape]

    def _one_after_the_other(self, stages: list[Stage], precision: str) -> Runner:
        parts = []
        for stage in stages:
            of_stage = "f32" if stage.exact else precision
            parts.append((stage.takes, self._compiled(stage.model, of_stage, stage is not stages[-1])))

        def run(batch: np.ndarray) -> list[np.ndarray]:
            values = [batch]
            for takes, part in parts:
                outputs = part([values[number] for number in takes])
                values += outputs
            return outputs

        return run

    def _compiled(
        self, model: Any, precision: str, passing: bool = False
    ) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        """`passing`: what it returns need not outlast the next call, and is not copied."""
        compiled = self._core.compile_model(
            model,
            DEVICE,
            {
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,  # or all workers of a machine are bound to the same cores
                "CPU_DENORMALS_OPTIMIZATION": False,  # or the thread that asks rounds them away ever after
                # OpenVINO 2026.4 crashes while it generates code for a difference of a Gemm and a product,
                # which the default regressor has; without its own code for such nodes it is as fast.
                "SNIPPETS_MODE": "DISABLE",
            },
        )
        request, outputs = compiled.create_infer_request(), range(len(compiled.outputs))

        def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
            results = request.infer(dict(enumerate(inputs)), share_inputs=True, share_outputs=passing)
            return [results[number] for number in outputs]

        return run

    def _run_fixed(self, batch: np.ndarray) -> list[np.ndarray]:
        try:
            results = self._runner(batch.shape)(batch)
        except Exception as error:  # the bindings raise plain ones
            raise EngineError(
                f"engine {self.card.name!r}: {self.card.path} fails on {batch.dtype} {list(batch.shape)} in "
                f"{self.backend}: {error}"
            ) from error
        return [results[number] for number in self._order]

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See `batching.Engine.run`."""
        return in_fixed_batches(self.card, batch, self._run_fixed)


def _shape(entry: Any) -> list[object]:
    """The shape of an input or output; "?" for an axis that is open."""
    return [axis.get_length() if axis.is_static else "?" for axis in entry.get_partial_shape()]
