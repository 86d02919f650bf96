"""What the two readings of an expression half are worth: by features, by landmarks alone, and their mean.

    python benchmarks/accuracy/readings.py --run RUN --heldout FOLDER... [--size default] [--people 128]

In: a run, or weights that were kept (`jobs/train_regressor.py`), and folders of rendered people that were not
trained on, of whose first shard the first people are read. Out: for each folder and reading the mean over the
51 coefficients of r, of r within a person (each picture less the mean of that person's), and the median slope
within a person. Nothing is clipped or amplified.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from facecap_batch.training.crops.alignment import OwnAlignment
from facecap_batch.training.crops.batches import PICTURES, FaceBatch
from facecap_batch.training.crops.examples import example
from facecap_batch.training.networks.face_regressor import FaceRegressor
from facecap_batch.training.regressor.quality import agreement
from facecap_batch.training.rendering.dataset import FaceShard, face_shards, load_faces

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import train_regressor

BATCH = 8 * PICTURES


def readings(network: FaceRegressor, shard: FaceShard, count: int) -> dict[str, np.ndarray]:
    """Coefficients [N, 51] of the first `count` crops of a shard, by each reading and by their mean."""
    align, unmoved = OwnAlignment(network), np.random.default_rng(0)
    features, landmarks = [], []
    for first in range(0, count, BATCH):
        rows = slice(first, min(first + BATCH, count))
        coefficients, head, points, covered = (
            torch.from_numpy(part[rows])
            for part in (shard.coefficients, shard.head, shard.points, shard.covered)
        )
        batch = FaceBatch(shard.image[rows], coefficients, head, points, covered)
        given = example(batch, align(batch), unmoved, 0.0, network.design)
        with torch.inference_mode():
            said, _ = network.expression(given.patches, given.angles)
        features.append(said.readings[0])
        landmarks.append(said.readings[1])
    first_reading, second = torch.cat(features).numpy(), torch.cat(landmarks).numpy()
    return {"features": first_reading, "landmarks": second, "both": (first_reading + second) / 2}


def within(values: np.ndarray) -> np.ndarray:
    """Values [N, C], PICTURES of each person, less each person's mean."""
    people = values.reshape(-1, PICTURES, values.shape[1])
    apart: np.ndarray = people - people.mean(1, keepdims=True)
    return apart.reshape(values.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description="What each reading of an expression half is worth.")
    parser.add_argument("--run", type=Path, required=True, help="folder of expression.pt and locator.pt")
    parser.add_argument("--heldout", type=Path, nargs="+", required=True, help="folders of faces_*.npz")
    parser.add_argument("--size", choices=[size.value for size in train_regressor.Size], default="default")
    parser.add_argument("--people", type=int, default=128, help="people to read of each folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = train_regressor.averaged(arguments.run, train_regressor.Size(arguments.size))
    print("| people | reading | r | r within a person | slope within a person |")
    print("| --- | --- | --- | --- | --- |")
    for folder in arguments.heldout:
        shard = load_faces(face_shards(folder)[0])
        count = min(arguments.people * PICTURES, len(shard.image))
        truth = shard.coefficients[:count].astype(float)
        for name, said in readings(network, shard, count).items():
            r, _ = agreement(truth, said.astype(float))
            inner_r, slope = agreement(within(truth), within(said.astype(float)))
            figures = f"{r.mean():.3f} | {inner_r.mean():.3f} | {np.median(slope):.2f}"
            print(f"| {folder} | {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
