"""What the expression half learns from, ready to be learnt: patches and targets, made in processes of their
own.

In: a `FaceBatches`. Out: `Example` batches. Cutting and augmenting cost as much as a third of a step, so
they run beside the training (`loader`).
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from facecap_batch.engines.default_crop import POINTS
from facecap_batch.training.crops.alignment import (
    Alignment,
    marks_in_patch,
    warp_patches,
)
from facecap_batch.training.crops.augmentation import AUGMENTATION, to_input
from facecap_batch.training.crops.batches import PICTURES, FaceBatch, FaceBatches
from facecap_batch.training.crops.bending import UNBENT, Bend, random_bends
from facecap_batch.training.crops.moves import moved
from facecap_batch.training.networks.expression import (
    LEFT_EYE_MARKS,
    LEFT_SIDE_MARKS,
    MOUTH_MARKS,
    RIGHT_EYE_MARKS,
    RIGHT_SIDE_MARKS,
    Patches,
)
from facecap_batch.training.networks.sizes import Design

SHOWN = (LEFT_EYE_MARKS, RIGHT_EYE_MARKS, LEFT_SIDE_MARKS, RIGHT_SIDE_MARKS, tuple(range(POINTS)))
AHEAD = 4  # batches that wait


@dataclasses.dataclass(frozen=True)
class Example:
    """One batch for the expression half."""

    patches: Patches
    angles: Tensor  # float32 [B, 3], radians, as a locator would find them
    true_angles: Tensor  # float32 [B, 3]
    coefficients: Tensor  # float32 [B, 51]
    hidden: Tensor  # float32 [B, 3], share of the left eye, the right eye and the mouth that is hidden
    marks: tuple[Tensor, ...]  # of each of SHOWN, float32 [B, n, 2], units of the patch
    distilled: Tensor | None  # float32 [B, 51], what teachers predict


def hidden_share(covered: Tensor) -> Tensor:
    """How much of the left eye, the right eye and the mouth is hidden, float32 [B, 3], from which landmarks
    are, bool [B, POINTS]."""
    regions = (LEFT_EYE_MARKS, RIGHT_EYE_MARKS, MOUTH_MARKS)
    return torch.stack([covered[:, list(marks)].float().mean(1) for marks in regions], 1)


def example(
    batch: FaceBatch, alignment: Alignment, rng: np.random.Generator, strength: float, design: Design
) -> Example:
    """Patches of `batch`, PICTURES of each person, as a network of `design` cuts them by `alignment`, bent
    and augmented by `strength`, with their targets."""
    bends: Sequence[Bend | None] = UNBENT
    if strength:
        bends = random_bends(rng, len(batch.image) // PICTURES, PICTURES, strength / AUGMENTATION)
    cut = warp_patches(batch.image, alignment, design, bends)
    patches = [to_input(patch, rng, strength) for patch in cut]
    places = zip(SHOWN, alignment.affines(design), design.windows.each, bends, strict=True)
    marks = [
        marks_in_patch(batch.points[:, list(shown)], affine, window.side, design.crop, bend)
        for shown, affine, window, bend in places
    ]
    return Example(
        patches=Patches(*patches),
        angles=alignment.head[:, :3],
        true_angles=batch.head[:, :3],
        coefficients=batch.coefficients,
        hidden=hidden_share(batch.covered),
        marks=tuple(marks),
        distilled=batch.distilled,
    )


class Examples(IterableDataset[Example]):
    """Endless examples; every process of a `DataLoader` makes its own from its own seed."""

    def __init__(
        self,
        batches: FaceBatches,
        seed: Sequence[int],
        strength: float,
        align: Callable[[FaceBatch], Alignment],
        design: Design,
    ) -> None:
        """`align`: where patches are cut, of a network of `design`; it goes to other processes."""
        self._batches, self._seed, self._strength, self._align = batches, seed, strength, align
        self._design = design

    def __iter__(self) -> Iterator[Example]:
        worker = torch.utils.data.get_worker_info()
        if worker:  # the training itself is asked to stop, saves, and ends its processes
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        seed = [*self._seed, worker.id if worker else 0]
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        rng = np.random.default_rng(seed)
        self._batches.seed(seed)
        for crops in self._batches:
            batch = moved(crops, rng) if self._strength else crops
            yield example(batch, self._align(batch), rng, self._strength, self._design)


def loader(examples: Examples, processes: int) -> Iterator[Example]:
    """Examples made by `processes` processes, or in this one where that is 0."""
    ahead = AHEAD if processes else None
    return iter(DataLoader(examples, batch_size=None, num_workers=processes, prefetch_factor=ahead))
