"""How well coefficients can be read from where a face's landmarks truly are: a bound for engines that have to
find them first.

    python benchmarks/accuracy/true_landmarks.py --data data/ict/faces --heldout heldout/ict/faces

A network of two hidden layers learns the 51 coefficients from the true landmarks and head pose of the
rendered faces under --data (`dataset.FaceShard`), and is measured on --heldout: once from one picture alone,
once where the mean of a person's pictures is known beside it and what is asked for is the difference from
that, as if the person's face at rest had been seen. Prints mean Pearson's r over the 51 of both, and the ten
coefficients that are read worst. What shading and folds show comes on top of it; what is hidden behind hair
and hands, which true landmarks know, does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.regressor import quality
from facecap_batch.training.rendering import dataset

EYE_CORNERS = (36, 39, 42, 45)
WIDTH, EPOCHS, BATCH, RATE = 512, 14, 256, 2e-3
WORST = 10


def landmarks_and_pose(shard: dataset.FaceShard) -> np.ndarray:
    """Landmarks upright, about the middle of the eyes, in centimetres, and three angles: float32 [n, F]."""
    roll, log_scale = shard.head[:, 2], shard.head[:, 5]
    middle = shard.points[:, EYE_CORNERS].mean(1, keepdims=True)
    points = (shard.points - middle) * np.exp(log_scale)[:, None, None]
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    x, y = points[..., 0], points[..., 1]
    upright = np.stack([x * cos + y * sin, y * cos - x * sin], 2)
    return np.concatenate([upright.reshape(len(upright), -1), shard.head[:, :3]], 1).astype(np.float32)


def read(folders: Sequence[Path], shards: int | None) -> tuple[Tensor, Tensor]:
    """What is seen, float32 [n, F], and coefficients, [n, 51], of the first `shards` of each folder."""
    files = [path for folder in folders for path in dataset.face_shards(folder)[:shards]]
    loaded = [dataset.load_faces(path) for path in files]
    seen = np.concatenate([landmarks_and_pose(shard) for shard in loaded])
    return torch.from_numpy(seen), torch.from_numpy(np.concatenate([shard.coefficients for shard in loaded]))


def persons_mean(values: Tensor) -> Tensor:
    """[n, F], of each row's person."""
    people = values.unflatten(0, (-1, dataset.IMAGES_PER_PERSON))
    means: Tensor = people.mean(1, keepdim=True).expand_as(people).flatten(0, 1)
    return means


def learnt(seen: Tensor, wanted: Tensor) -> nn.Module:
    """A network that reads `wanted` from `seen`."""
    network = nn.Sequential(
        nn.Linear(seen.shape[1], WIDTH), nn.GELU(), nn.Dropout(0.1),
        nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(0.1), nn.Linear(WIDTH, wanted.shape[1]),
    )  # fmt: skip
    steps = EPOCHS * (len(seen) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps)
    weight = 1 / (wanted.var(0) + 0.002)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(seen)).split(BATCH)[: len(seen) // BATCH]:
            optimiser.zero_grad()
            (weight * (network(seen[rows]) - wanted[rows]).square()).mean().backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def report(name: str, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> None:
    """Learn from one, and print what comes out of the other."""
    middle, spread = train[0].mean(0), train[0].std(0) + 1e-6
    network = learnt((train[0] - middle) / spread, train[1])
    with torch.no_grad():
        found = network((test[0] - middle) / spread)
    r, _ = quality.agreement(test[1].numpy(), found.numpy())
    worst = ", ".join(f"{ARKIT_NAMES[k]} {r[k]:.2f}" for k in r.argsort()[:WORST])
    print(f"{name}: mean r {r.mean():.3f}; worst: {worst}")


def main() -> None:
    parser = argparse.ArgumentParser(description="How well true landmarks say what a face does.")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="folder of faces_*.npz to learn from"
    )
    parser.add_argument(
        "--heldout", type=Path, action="append", required=True, help="folder of faces_*.npz of others"
    )
    parser.add_argument("--shards", type=int, help="of each folder; all where it is not given")
    options = parser.parse_args()
    torch.manual_seed(0)
    train, test = read(options.data, options.shards), read(options.heldout, options.shards)
    report("one picture", train, test)

    def beside(seen: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([seen, seen - persons_mean(seen)], 1), wanted - persons_mean(wanted)

    report("the person known", beside(*train), beside(*test))


if __name__ == "__main__":
    main()
