"""Replicas: processes that train one network together, each on crops of its own.

In: gradients, and what each process has worked out of a common task. Out: means and sums over all processes,
and whether any of them was asked to stop. Started by
`torchrun`; a process alone is a group of one, to which all of this does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn


def join() -> None:
    """Join the other processes that `torchrun` started."""
    if count() > 1:
        distributed.init_process_group("gloo")


def leave() -> None:
    """Leave them, all at once: one that closes its connections early fails the others' last exchange."""
    if count() > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this one is; the first, 0, saves and reports."""
    return int(os.environ.get("RANK", "0"))


def shared(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Sums over all processes of tensors [...] that have the same shapes in each."""
    if count() == 1:
        return list(tensors)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def averaged(module: nn.Module, stop: bool) -> bool:
    """Replace the gradients of `module` by their mean over all processes.

    Args:
        module: The same in every process.
        stop: Whether this process was asked to stop.

    Returns:
        Whether any of them was: all stop at the same step.
    """
    if count() == 1:
        return stop
    gradients = [weight.grad for weight in module.parameters() if weight.grad is not None]
    asked = gradients[0].new_tensor([float(stop)])
    *sums, asked = shared([*gradients, asked])
    for gradient, total in zip(gradients, sums, strict=True):
        gradient.copy_(total / count())
    return bool(asked.item() > 0)
