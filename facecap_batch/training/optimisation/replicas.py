"""Replicas: processes that train one network together, each on crops of its own.

In: gradients. Out: their mean over all processes, and whether any of them was asked to stop. Started by
`torchrun`; a process alone is a group of one, to which all of this does nothing.
"""

from __future__ import annotations

import os

import torch
from torch import distributed, nn


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
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), asked])
    distributed.all_reduce(flat)
    *means, asked = (flat / count()).split([*(gradient.numel() for gradient in gradients), 1])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))
    return bool(asked.item() > 0)
