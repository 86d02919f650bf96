"""What bfloat16 costs in accuracy, on any CPU: engines run by torch with their values rounded to 8 bits.

    python benchmarks/accuracy/bfloat16.py [--engines default] [--faces FOLDER] [--count 256]

Every value that a node takes or gives is rounded to bfloat16: once everywhere, once everywhere but in all
that leads to whole numbers, once everywhere but from the last convolutions to whole numbers. The second is
what ``openvino-bf16`` does, the third where the card allows it (`engines/openvino/split`). Hardware adds
products up in float32, as is done here, and rounds no more often. Prints for each output the largest and the
mean difference from float32, and the largest of 95 % of the crops; exits with 1 where the backend's own way
is beyond what `verify` allows. FOLDER holds rendered faces (``faces_*.npz``); without it faces are drawn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from facecap_batch.checks.bench import engine_input
from facecap_batch.checks.output_parity import compare, limit_of
from facecap_batch.engines.backends.torch_backend import TorchEngine
from facecap_batch.engines.cards import PLACES_IN_BF16, EngineCard
from facecap_batch.engines.sets import load_set
from facecap_batch.training.rendering.dataset import face_shards, load_faces, resized

WHERE_IT_LOOKS = "but where it looks"
AFTER_CONVOLUTIONS = "but where it looks, after convolutions"
WHOLE = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


class RoundingEngine(TorchEngine):
    """The reference, with the values of all nodes but those of `exact` rounded to bfloat16."""

    def __init__(self, card: EngineCard, exact: frozenset[str]) -> None:
        super().__init__(card)
        nodes = onnx.load(str(card.path)).graph.node
        kept = [node.name in exact for node in nodes if node.op_type != "Constant"]
        self._nodes = [
            (operator if keeps else _rounding(operator), inputs, outputs, attributes)
            for keeps, (operator, inputs, outputs, attributes) in zip(kept, self._nodes, strict=True)
        ]


def _rounding(operator: Any) -> Any:
    def rounded(value: Any) -> Any:
        is_real = torch.is_tensor(value) and value.dtype == torch.float32
        return value.to(torch.bfloat16).to(torch.float32) if is_real else value

    def run(inputs: list[Any], attributes: Mapping[str, Any]) -> Any:
        result = operator([rounded(value) for value in inputs], attributes)
        return [rounded(value) for value in result] if isinstance(result, list) else rounded(result)

    return run


def lead_to_whole_numbers(card: EngineCard, past_convolutions: bool) -> frozenset[str]:
    """Names of the nodes that casts to whole numbers depend on, and of these casts: all of them, or those
    after which no convolution comes before the next cast."""
    graph = onnx.load(str(card.path)).graph
    takers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    casts = {
        node.name
        for node in graph.node
        if node.op_type == "Cast" and any(each.name == "to" and each.i in WHOLE for each in node.attribute)
    }
    leading, before_convolutions = set(casts), set[str]()
    for node in reversed(graph.node):
        after = [taker for name in node.output for taker in takers.get(name, []) if taker.name in leading]
        if after:
            leading.add(node.name)
        if any(
            taker.name not in casts and (taker.op_type == "Conv" or taker.name in before_convolutions)
            for taker in after
        ):
            before_convolutions.add(node.name)
    if past_convolutions:
        return frozenset(leading)
    convolutions = {node.name for node in graph.node if node.op_type == "Conv"}
    return frozenset(casts | leading - before_convolutions - convolutions)


def batch_of(card: EngineCard, faces: Path | None, count: int) -> np.ndarray:
    """Input for `card`, of rendered faces where it is a regressor and there are any."""
    if faces is None or card.role == "detector":
        return engine_input(card, count)
    shards = face_shards(faces)
    each = -(-count // len(shards))
    images = np.concatenate([load_faces(path).image[:each] for path in shards])[:count]
    return resized(images, card.input.size)


def main() -> int:
    """Measure both engines of a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engines", default="default")
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--count", type=int, default=256)
    options = parser.parse_args()
    beyond = 0
    for card in load_set(options.engines).cards:
        batch = batch_of(card, options.faces, options.count)
        expected = [TorchEngine(card).run(batch)]
        ways = {
            "everywhere": frozenset[str](),
            WHERE_IT_LOOKS: lead_to_whole_numbers(card, past_convolutions=True),
            AFTER_CONVOLUTIONS: lead_to_whole_numbers(card, past_convolutions=False),
        }
        own = AFTER_CONVOLUTIONS if PLACES_IN_BF16 in card.judged_in else WHERE_IT_LOOKS
        for what, exact in ways.items():
            for parity in compare(card, expected, [RoundingEngine(card, exact).run(batch)]):
                allowed = parity.within(limit_of(card, parity.output, "bf16"))
                beyond += what == own and not allowed
                print(
                    f"{card.name} {parity.output}, bfloat16 {what}: largest {parity.max_abs:.2g}, mean "
                    f"{parity.mean_abs:.2g}, in 95 % of {parity.items} below "
                    f"{np.percentile(parity.item_max, 95):.2g} per unit, {'ok' if allowed else 'beyond'}",
                    flush=True,
                )
    return int(beyond > 0)


if __name__ == "__main__":
    sys.exit(main())
