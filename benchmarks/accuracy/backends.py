"""What a backend's precision costs in quality: a regressor's raw values on rendered people, by backend.

    python benchmarks/accuracy/backends.py --heldout heldout/ict/faces --heldout heldout/hm08/faces
        [--engines default] [--backend onnxruntime-cpu --backend openvino-bf16] [--shards 1]

Prints for each folder and backend mean r over the 51 coefficients, r of left - right, median slope and
the error of the landmarks. Exit code 1 where a backend's mean r is more than MAX_LOSS below the first one's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.training.regressor import quality
from facecap_batch.training.rendering.dataset import FaceShard, face_shards, load_faces, resized

MAX_LOSS = 0.005  # of mean r
BATCH = 32  # crops


def measured(card: EngineCard, backend: str, shards: list[FaceShard]) -> quality.Quality:
    """The quality of `card` on `backend` over all crops of `shards`."""
    engine = open_engine(card, backend)
    people = FaceShard(
        *(np.concatenate([getattr(shard, name) for shard in shards]) for name in FaceShard.__annotations__)
    )
    crops = resized(people.image, card.input.size)
    found = [engine.run(crops[first : first + BATCH]) for first in range(0, len(crops), BATCH)]
    outputs, landmarks = (np.concatenate([each[k] for each in found]) for k in ("outputs", "landmarks"))
    return quality.measure(outputs, landmarks, people)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--heldout", type=Path, action="append", required=True)
    parser.add_argument("--engines", default="default")
    parser.add_argument("--backend", action="append", help="the first is what others are compared with")
    parser.add_argument("--shards", type=int, default=1, help="of each folder, of 1,024 crops")
    options = parser.parse_args()
    card, worst = load_set(options.engines).regressor, 0.0
    for folder in options.heldout:
        shards = [load_faces(path) for path in face_shards(folder)[: options.shards]]
        first: float | None = None
        for backend in options.backend or ("onnxruntime-cpu", "openvino-bf16"):
            found = measured(card, backend, shards)
            first = found.mean_r if first is None else first
            worst = max(worst, first - found.mean_r)
            print(
                f"{folder}, {card.name}, {backend}: mean r {found.mean_r:.4f}, "
                f"left - right {found.sides_r:.4f}, median slope {np.median(found.slope):.4f}, "
                f"landmarks {found.points_percent:.2f} %",
                flush=True,
            )
    return int(worst > MAX_LOSS)


if __name__ == "__main__":
    sys.exit(main())
