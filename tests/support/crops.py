"""Labelled crops of a shard as training takes them."""

from __future__ import annotations

import numpy as np
import torch

from facecap_batch.training.crops.alignment import (
    Alignment,
)
from facecap_batch.training.crops.batches import FaceBatch
from facecap_batch.training.crops.examples import Example, example
from facecap_batch.training.networks.sizes import DEFAULT, Design
from facecap_batch.training.rendering import dataset


def true_alignment(batch: FaceBatch) -> Alignment:
    """Cuts where the labels say."""
    return Alignment(batch.head, batch.points, batch.points)


def example_of(batch: FaceBatch, alignment: Alignment | None = None, design: Design = DEFAULT) -> Example:
    """`batch` cut where the labels say, its pixels as they are."""
    return example(batch, alignment or true_alignment(batch), np.random.default_rng(2), 0.0, design)


def batch_of(shard: dataset.FaceShard, count: int) -> FaceBatch:
    names = ("coefficients", "head", "points", "covered")
    tensors = [torch.from_numpy(getattr(shard, name)[:count]) for name in names]
    return FaceBatch(shard.image[:count], *tensors)
