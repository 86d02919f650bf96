"""How hard each term of the loss pulls at each network, and how steadily.

In: an expression half and batches. Out: a `Pull` for each term and patch network. A term whose gradient is
small beside another's is not learnt, whatever its value is: the optimisers make steps of one size, and most
of each goes where the largest gradient points.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from facecap_batch.training.crops.examples import Example
from facecap_batch.training.networks.expression import Expression
from facecap_batch.training.networks.patch_network import PatchNetwork
from facecap_batch.training.regressor.losses import expression_terms


@dataclasses.dataclass(frozen=True)
class Pull:
    """The gradient of one term of the loss by the convolutions of one patch network."""

    network: str  # eye, side or face
    term: str  # of losses.expression_terms
    size: float  # mean length over the batches
    steadiness: float  # mean cosine between two batches' gradients: 1 where all point the same way, 0 noise


def pulls(expression: Expression, batches: Sequence[Example], weights: Tensor) -> list[Pull]:
    """Measure terms that reach a network's convolutions.

    Args:
        expression: In training mode; its gradients are lost.
        batches: Two or more.
        weights: Of the signals (`losses.signal_weights`).

    Returns:
        One for each network and term, the strongest pull of a network first.
    """
    found: dict[tuple[str, str], list[Tensor]] = {}
    networks = {n: m for n, m in expression.named_children() if isinstance(m, PatchNetwork)}
    for given in batches:
        terms = expression_terms(expression, given, weights)
        for term, value in terms.items():
            expression.zero_grad(set_to_none=True)
            value.backward(retain_graph=True)
            for name, network in networks.items():
                gradient = _gradient(network)
                if gradient is not None:
                    found.setdefault((name, term), []).append(gradient)
    expression.zero_grad(set_to_none=True)
    measured = [Pull(name, term, *_size(gradients)) for (name, term), gradients in found.items()]
    return sorted(measured, key=lambda pull: (list(networks).index(pull.network), -pull.size))


def _gradient(network: PatchNetwork) -> Tensor | None:
    parts = [
        weight.grad.flatten()
        for weight in network.parameters()
        if weight.ndim == 4 and weight.grad is not None
    ]
    gradient = torch.cat(parts) if parts else torch.zeros(1)
    return gradient if gradient.any() else None


def _size(gradients: Sequence[Tensor]) -> tuple[float, float]:
    lengths = [float(gradient.norm()) for gradient in gradients]
    units = [gradient / length for gradient, length in zip(gradients, lengths, strict=True)]
    cosines = [float(one @ other) for one, other in itertools.combinations(units, 2)]
    return sum(lengths) / len(lengths), sum(cosines) / max(len(cosines), 1)
