"""Muon: steps of one size in every direction of a weight matrix.

In: the weights that mix features, with their gradients. Out: the weights, moved. The gradient of a matrix
lies mostly along a few directions; Muon makes all of its singular values one, so that rare features are
learnt as fast as common ones (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/). Trained from
nothing, the expression half came as far with 47,000 crops as with more than twice as many under AdamW.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facecap_batch.training.optimisation import replicas

MOMENTUM = 0.95
WEIGHT_DECAY = 0.03
# Five rounds of x -> a x + b x x' x + c x x' x x' x bring singular values from 0.001..1 to 0.7..1.2.
ROUNDS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)


def is_mixing(weight: Tensor) -> bool:
    """Whether a parameter is a matrix, or a convolution of more than one channel at a time."""
    return weight.ndim >= 2 and weight[0].numel() > 1 and weight.shape[1] > 1


def mixing_weights(module: nn.Module, readouts: Sequence[str]) -> list[nn.Parameter]:
    """The weights of `module` that mix features, but for those of `readouts`, names of layers whose output
    leaves it: their rows are answers, not features."""
    return [
        parameter
        for name, parameter in module.named_parameters()
        if is_mixing(parameter) and not name.startswith(tuple(readouts))
    ]


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix [R, C] with its singular values near one, by Newton and Schulz' iteration: float32.

    It needs products only, in bfloat16, which processors with matrix units are fast at.
    """
    a, b, c = QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide.bfloat16() / (wide.norm() + 1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    straight: Tensor = x if wide is matrix else x.T
    return straight.float()


class Muon(torch.optim.Optimizer):
    """Momentum (Nesterov's), made orthogonal; weights decay as in AdamW."""

    def __init__(self, parameters: Sequence[nn.Parameter], rate: float) -> None:
        """`rate`: of a step, by which a square matrix' singular values move."""
        super().__init__(parameters, {"lr": rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient; a `closure` is not called."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for weight, direction in zip(weights, self._directions(weights), strict=True):
                tall = max(1.0, direction.shape[0] / direction.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * WEIGHT_DECAY)
                weight.add_(direction.view_as(weight), alpha=-group["lr"] * tall)

    def _directions(self, weights: Sequence[nn.Parameter]) -> list[Tensor]:
        """Where each of `weights` goes, float32 [R, C]. Every replica works out its share of them."""
        directions = []
        for number, weight in enumerate(weights):
            gradient, state = weight.grad, self.state[weight]
            assert gradient is not None
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight)
            momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
            ahead = gradient.lerp(momentum, MOMENTUM).flatten(1)
            ours = number % replicas.count() == replicas.rank()
            directions.append(orthogonal(ahead) if ours else torch.zeros_like(ahead))
        return replicas.shared(directions)
