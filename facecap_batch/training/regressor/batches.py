"""Endless random batches of rendered face crops for the regressor, from shards that may still be growing.

In: a folder of ``faces_XXXX.npz``. Out: `FaceBatch` tensors, PICTURES of each person, augmented: mirrored
with left and right labels swapped, hands and things held before some, brightness and contrast varied. A pool
of shards is held in memory and turned over as training goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from facecap_batch.engines.default_crop import CROP, POINTS
from facecap_batch.training.regressor import distillation
from facecap_batch.training.regressor.distillation import MIRRORED_CHANNELS
from facecap_batch.training.rendering import dataset, degrade

POOL_SHARDS = 24  # of 1,024 crops: 113 MB each
BATCHES_PER_SHARD = 64  # until another shard takes the place of the oldest one
PICTURES = 8  # of one person in a batch
OCCLUDED = 0.02  # share of crops with a hand or a thing before the face, on top of those rendered with one
STYLE = 0.5  # how far a picture's style is thrown about; 0 not at all
GREY = 0.2  # share of pictures without colour
# Mirror image of each Multi-PIE landmark, the irises and the mouth centre.
MIRRORED_POINTS = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1), 69, 68, 70,
)  # fmt: skip
assert len(MIRRORED_POINTS) == POINTS


@dataclasses.dataclass(frozen=True)
class FaceBatch:
    """Crops and their labels."""

    image: np.ndarray  # uint8 [B, CROP, CROP, 3]
    coefficients: Tensor  # float32 [B, 51]
    head: Tensor  # float32 [B, 6]
    points: Tensor  # float32 [B, POINTS, 2]
    covered: Tensor  # bool [B, POINTS], landmarks behind something
    taught: Tensor | None = None  # float32 [B, 51], what teachers say


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
    taught = None
    if batch.taught is not None:
        taught = batch.taught.clone()
        taught[rows] = batch.taught[rows][:, list(MIRRORED_CHANNELS)]
    return FaceBatch(image, coefficients, head, points, covered, taught)


def to_input(image: np.ndarray, rng: np.random.Generator, style: float = STYLE) -> Tensor:
    """uint8 [B, S, S, 3] to float32 [B, 3, S, S], about -1..1, each as another camera might have taken it.

    Brightness, contrast, gamma, colours mixed, a random 3 x 3 filter over some (Xu et al. 2021), noise over
    some: what renders have in common with each other and not with footage must not be learnt. `style` is how
    far all that goes; at 0 the pixels stay as they are.
    """
    if not style:
        return torch.from_numpy(image).permute(0, 3, 1, 2).float().mul_(1 / 127.5).sub_(1.0)
    count = len(image)
    curves = _curves(rng, count, style)
    colours = np.eye(3, dtype=np.float32) + _normal(rng, 0.12 * style, count, 3, 3)
    grey = rng.random(count) < GREY
    colours[grey] = colours[grey].mean(1, keepdims=True)
    kernels = _normal(rng, 0.06 * style, count, 3, 3)
    kernels[rng.random(count) >= 0.4] = 0.0
    kernels[:, 1, 1] += 1.0
    noise = _normal(rng, 0.06 * style, count)
    noise[rng.random(count) >= 0.4] = 0.0
    seen = np.empty(image.shape, np.float32)
    for row, pixels in enumerate(image):
        coloured = cv2.transform(cv2.LUT(pixels, curves[row]), colours[row])
        cv2.filter2D(coloured, -1, kernels[row], dst=seen[row])
        if noise[row]:
            seen[row] += _normal(rng, noise[row], *pixels.shape)
    return torch.from_numpy(seen).permute(0, 3, 1, 2)


def _curves(rng: np.random.Generator, count: int, style: float) -> np.ndarray:
    """What brightness and gamma make of each of 256 values: float32 [count, 256], -1..1."""
    light = np.linspace(0.0, 1.0, 256, dtype=np.float32) + _normal(rng, 0.04 * style, count, 1)
    return light.clip(1e-4, 1.0) ** np.exp(_normal(rng, 0.25 * style, count, 1)) * 2 - 1


def _normal(rng: np.random.Generator, deviation: float, *shape: int) -> np.ndarray:
    """float32 of that shape."""
    return rng.standard_normal(shape, np.float32) * np.float32(deviation)


class FaceBatches:
    """Iterator of augmented batches; see the module's docstring."""

    def __init__(self, folder: Path, size: int, seed: int, taught: Path | None = None) -> None:
        """`taught`: folder of what teachers say of the shards (`teaching`); only those that they saw are
        drawn."""
        if size % PICTURES:
            raise ValueError(f"a batch holds whole groups of {PICTURES} pictures of a person, not {size}")
        self._folder, self._taught = folder, taught
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._pool: list[tuple[dataset.FaceShard, np.ndarray | None]] = []
        self._queue: list[Path] = []
        self._served = 0

    def _next_shard(self) -> tuple[dataset.FaceShard, np.ndarray | None]:
        if not self._queue:
            self._queue = sorted(self._folder.glob("faces_*.npz"))
            if self._taught is not None:
                self._queue = [
                    path for path in self._queue if distillation.path_of(self._taught, path).exists()
                ]
            if not self._queue:
                wanted = "" if self._taught is None else f" that {self._taught} says anything of (`teach`)"
                raise FileNotFoundError(
                    f"{self._folder} holds no faces_*.npz{wanted}; make some with jobs/synthesise.py"
                )
            self._rng.shuffle(self._queue)
        path = self._queue.pop()
        taught = None if self._taught is None else np.load(distillation.path_of(self._taught, path))
        return dataset.load_faces(path), taught

    def _person(self, crops: int) -> np.ndarray:
        """Rows of a shard of `crops` that show one of its people."""
        first = self._rng.integers(crops // dataset.PICTURES_PER_PERSON) * dataset.PICTURES_PER_PERSON
        return first + self._rng.choice(dataset.PICTURES_PER_PERSON, PICTURES, replace=False)

    def __iter__(self) -> FaceBatches:
        return self

    def __next__(self) -> FaceBatch:
        if self._served % BATCHES_PER_SHARD == 0:
            self._pool = [*self._pool[-(POOL_SHARDS - 1) :], self._next_shard()]
        self._served += 1
        people = self._size // PICTURES
        chosen = [self._pool[k] for k in self._rng.integers(0, len(self._pool), people)]
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
            taught=None if self._taught is None else gather(said for _, said in chosen if said is not None),
        )
        batch = mirror(batch, np.repeat(self._rng.random(people) < 0.5, PICTURES))
        for row in np.flatnonzero(self._rng.random(self._size) < OCCLUDED):
            red, green, blue = (float(v) for v in batch.image[row, CROP // 2, CROP // 2])
            mask = degrade.occlude(batch.image[row], (red, green, blue), self._rng)
            batch.covered[row] |= torch.from_numpy(degrade.covered(mask, batch.points[row].numpy()))
        return batch
