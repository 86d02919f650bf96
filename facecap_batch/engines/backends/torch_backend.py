"""The reference: the ONNX graph exactly as written, node by node, by torch in float32.

In: a verified card. Out: an `Engine`. Nothing is fused, folded or re-ordered, and no kernel is shared with
ONNX Runtime or TensorRT, so agreement with it says that their optimisations left the network's meaning alone.
Any ONNX file whose operators are in `torch_ops` runs, a user's too. ``torch`` computes on the CPU and is what
all others are compared with; ``torch-cuda`` is the same on a GPU, without TF32. Torch and onnx are imported
only when one is opened.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from facecap_batch.engines.batching import check_outputs, in_fixed_batches
from facecap_batch.engines.cards import EngineCard
from facecap_batch.errors import EngineError, EngineMismatch, install_hint

DEVICES = {"torch": "cpu", "torch-cuda": "cuda"}
INSTALL = install_hint("torch")


def unavailable_because(backend: str = "torch") -> str | None:
    """Why `backend` cannot run here, with the install line; None where it can."""
    missing = [name for name in ("torch", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed; {INSTALL}"
    if backend == "torch-cuda":
        import torch

        if not torch.cuda.is_available():
            build = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is a CPU build"
            return f"torch {torch.__version__} {build} and sees no GPU; install a CUDA build of torch"
    return None


class TorchEngine:
    """An engine in torch; see `batching.Engine`."""

    def __init__(self, card: EngineCard, backend: str = "torch", threads: int = 1) -> None:
        import onnx
        import torch

        from facecap_batch.engines.backends.torch_ops import OPERATORS

        torch.set_num_threads(threads)  # torch knows only a process-wide count
        self.card = card
        self.backend = backend
        self._torch = torch
        self._device = DEVICES[backend]
        # Process-wide, too: products of 10 bits would be no reference.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        try:
            model = onnx.load(str(card.path))
        except Exception as error:  # protobuf raises its own classes
            raise EngineError(f"engine {card.name!r}: {card.path} is not an ONNX file: {error}") from error
        graph = model.graph
        missing = sorted({node.op_type for node in graph.node} - OPERATORS.keys() - {"Constant"})
        if missing:
            raise EngineError(f"engine {card.name!r}: the torch backend has no operator {', '.join(missing)}")
        self._constants: dict[str, Any] = {
            tensor.name: self._tensor(onnx.numpy_helper.to_array(tensor)) for tensor in graph.initializer
        }
        self._nodes = []
        for node in graph.node:
            attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
            if node.op_type == "Constant":
                self._constants[node.output[0]] = self._constant(onnx, attributes)
            else:
                self._nodes.append((OPERATORS[node.op_type], list(node.input), list(node.output), attributes))
        self._check_contract(graph)

    def _tensor(self, array: np.ndarray) -> Any:
        return self._torch.from_numpy(np.array(array)).to(self._device)

    def _constant(self, onnx: Any, attributes: dict[str, Any]) -> Any:
        (value,) = attributes.values()
        is_tensor = isinstance(value, onnx.TensorProto)
        return self._tensor(onnx.numpy_helper.to_array(value) if is_tensor else np.asarray(value))

    def _check_contract(self, graph: Any) -> None:
        fed = [entry.name for entry in graph.input if entry.name not in self._constants]
        if fed != [self.card.input.name]:
            raise EngineMismatch(
                f"engine {self.card.name!r}: {self.card.file} takes {fed}, "
                f"the card says {self.card.input.name!r}"
            )
        check_outputs(self.card, {entry.name: _shape(entry) for entry in graph.output})

    def _run_fixed(self, batch: np.ndarray) -> list[np.ndarray]:
        values = dict(self._constants)
        values[""] = None  # how ONNX writes an input left out
        values[self.card.input.name] = self._tensor(batch)
        with self._torch.inference_mode():
            for operator, inputs, outputs, attributes in self._nodes:
                result = operator([values[name] for name in inputs], attributes)
                results = result if isinstance(result, list) else [result]
                values.update(zip(outputs, results, strict=True))
        return [values[name].cpu().numpy() for name in self.card.outputs]

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See `batching.Engine.run`."""
        return in_fixed_batches(self.card, batch, self._run_fixed)


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _shape(entry: Any) -> list[object]:
    return [dim.dim_value or dim.dim_param for dim in entry.type.tensor_type.shape.dim]
