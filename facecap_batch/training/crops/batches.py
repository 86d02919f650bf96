"""Endless random batches of rendered face crops for the regressor, from shards that may still be growing.

In: folders of ``faces_XXXX.npz``, one for each family of rigs. Out: `FaceBatch` tensors, PICTURES of each
person, as many people of each family; mirrored with left and right labels swapped, hands and things held
before some. A pool of shards of each family is held in memory and turned over as training goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from facecap_batch.engines.default_crop import CROP
from facecap_batch.training.crops import distillation
from facecap_batch.training.mirror import MIRRORED_CHANNELS, MIRRORED_POINTS
from facecap_batch.training.rendering import dataset, degrade

POOL_SHARDS = 24  # of all families, of 1,024 crops: 113 MB each
CROPS_PER_SHARD = 2048  # seen until another shard takes the place of the oldest one
PICTURES = 8  # of one person in a batch
OCCLUDED = 0.02  # share of crops with a hand or a thing before the face, on top of those rendered with one


@dataclasses.dataclass(frozen=True)
class FaceBatch:
    """Crops and their labels."""

    image: np.ndarray  # uint8 [B, CROP, CROP, 3]
    coefficients: Tensor  # float32 [B, 51]
    head: Tensor  # float32 [B, 6]
    points: Tensor  # float32 [B, POINTS, 2]
    covered: Tensor  # bool [B, POINTS], landmarks behind something
    distilled: Tensor | None = None  # float32 [B, 51], what teachers predict


def mirror(batch: FaceBatch, chosen: np.ndarray) -> FaceBatch:
    """The batch with the crops `chosen` (bool [B]) mirrored and their labels swapped."""
    image = batch.image.copy()
    for row in np.flatnonzero(chosen):
        image[row] = cv2.flip(image[row], 1)
    rows = torch.from_numpy(chosen)
    coefficients, head, points = batch.coefficients.clone(), batch.head.clone(), batch.points.clone()
    coefficients[rows] = batch.coefficients[rows][:, list(MIRRORED_CHANNELS)]
    head[rows] *= head.new_tensor([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0])
    points[rows] = batch.points[rows][:, list(MIRRORED_POINTS)] * points.new_tensor([-1.0, 1.0])
    covered = batch.covered.clone()
    covered[rows] = batch.covered[rows][:, list(MIRRORED_POINTS)]
    distilled = None
    if batch.distilled is not None:
        distilled = batch.distilled.clone()
        distilled[rows] = batch.distilled[rows][:, list(MIRRORED_CHANNELS)]
    return FaceBatch(image, coefficients, head, points, covered, distilled)


Shard = tuple[
    dataset.FaceShard, np.ndarray | None
]  # crops, and float32 [n, 51] of what teachers predict of them


class ShardPool:
    """Some shards of a folder, turned over as crops are drawn from them."""

    def __init__(self, folder: Path, size: int, distilled: Path | None) -> None:
        """`size`: shards held at once; `distilled`: see `FaceBatches`."""
        self._folder, self._size, self._taught = folder, size, distilled
        self._pool: list[Shard] = []
        self._queue: list[Path] = []
        self._drawn = 0

    def draw(self, rng: np.random.Generator) -> Shard:
        """A shard to take PICTURES of one person from."""
        if not self._pool or self._drawn >= CROPS_PER_SHARD:
            self._pool = [*self._pool[-(self._size - 1) :], self._next(rng)]
            self._drawn = 0
        self._drawn += PICTURES
        return self._pool[rng.integers(len(self._pool))]

    def _next(self, rng: np.random.Generator) -> Shard:
        if not self._queue:
            self._queue = dataset.face_shards(self._folder)
            if self._taught is not None:
                self._queue = distillation.taught(self._taught, self._queue)
            rng.shuffle(self._queue)
        path = self._queue.pop()
        distilled = None if self._taught is None else np.load(distillation.path_of(self._taught, path))
        return dataset.load_faces(path), distilled


class FaceBatches:
    """Iterator of augmented batches; see the module's docstring."""

    def __init__(
        self, folders: Sequence[Path], size: int, seed: int | Sequence[int], distilled: Sequence[Path] = ()
    ) -> None:
        """`distilled`: for each of `folders` the folder of what teachers predict of its shards
        (`distillation`); only those that they saw are drawn."""
        if size % (PICTURES * len(folders)):
            raise ValueError(
                f"a batch holds whole groups of {PICTURES} pictures of a person and as many of each of "
                f"{len(folders)} folders, not {size}"
            )
        self._size = size
        teachers: list[Path | None] = [*distilled] if distilled else [None] * len(folders)
        share = max(POOL_SHARDS // len(folders), 1)
        self._pools = [
            ShardPool(folder, share, teacher) for folder, teacher in zip(folders, teachers, strict=True)
        ]
        self.seed(seed)

    def seed(self, seed: int | Sequence[int]) -> None:
        """Begin other batches."""
        self._rng = np.random.default_rng(seed)

    def _person(self, crops: int) -> np.ndarray:
        """Rows of a shard of `crops` that show one of its people."""
        first = self._rng.integers(crops // dataset.IMAGES_PER_PERSON) * dataset.IMAGES_PER_PERSON
        rows: np.ndarray = first + self._rng.choice(dataset.IMAGES_PER_PERSON, PICTURES, replace=False)
        return rows

    def __iter__(self) -> FaceBatches:
        return self

    def __next__(self) -> FaceBatch:
        people = self._size // PICTURES
        chosen = [self._pools[k % len(self._pools)].draw(self._rng) for k in range(people)]
        rows = [self._person(len(shard.image)) for shard, _ in chosen]

        def gather(arrays: Iterable[np.ndarray]) -> Tensor:
            return torch.from_numpy(
                np.concatenate([part[row] for part, row in zip(arrays, rows, strict=True)])
            )

        batch = FaceBatch(
            image=gather(shard.image for shard, _ in chosen).numpy(),
            coefficients=gather(shard.coefficients for shard, _ in chosen),
            head=gather(shard.head for shard, _ in chosen),
            points=gather(shard.points for shard, _ in chosen),
            covered=gather(shard.covered for shard, _ in chosen),
            distilled=None
            if chosen[0][1] is None
            else gather(part for _, part in chosen if part is not None),
        )
        batch = mirror(batch, np.repeat(self._rng.random(people) < 0.5, PICTURES))
        for row in np.flatnonzero(self._rng.random(self._size) < OCCLUDED):
            red, green, blue = (float(v) for v in batch.image[row, CROP // 2, CROP // 2])
            mask = degrade.occlude(batch.image[row], (red, green, blue), self._rng)
            batch.covered[row] |= torch.from_numpy(degrade.covered(mask, batch.points[row].numpy()))
        return batch
