"""Float32 engines to static INT8 ones, as a set of their own.

    python jobs/quantise.py --calibration data/faces --output engines/int8 --heldout heldout/faces
    facecap-batch verify --engines engines/int8 --against default --backend onnxruntime-cpu

In: an engine set of the default networks, and rendered faces (``faces_*.npz`` from jobs/synthesise.py) for
the ranges of intermediate values. Out: the set in INT8, as QuantizeLinear and DequantizeLinear around
convolutions; and, on faces of people that were neither trained nor calibrated on, the loss of mean r and the
speed of both. Figures, and why INT8 is not the default: docs/engines.md.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from facecap_batch.checks.speed_ratio import times_faster
from facecap_batch.checks.synthetic_faces import synthetic_images
from facecap_batch.engines.cards import EngineCard, write_card
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.training.crops.shard_options import shards_of
from facecap_batch.training.quantise import quantise
from facecap_batch.training.regressor.quality import measure
from facecap_batch.training.rendering.dataset import FaceShard, load_faces, resized

BACKEND = "onnxruntime-cpu"
BATCH = 8
CROPS, IMAGES = 512, 128  # for calibration


def crops_of(folder: Path, count: int) -> np.ndarray:
    """uint8 [count, S, S, 3], spread over the shards of a folder."""
    shards = shards_of(folder)
    every = -(-count // len(shards))
    return np.concatenate([load_faces(path).image[:every] for path in shards[:count]])[:count]


def images_of(crops: np.ndarray, count: int, side: int) -> np.ndarray:
    """Images for a detector, uint8 [count, side, side, 3]: crops of any size on synthetic ones."""
    rng = np.random.default_rng(5)
    images = np.stack([cv2.resize(image, (side, side)) for image in synthetic_images(count, seed=5)])
    for image in images[::2]:
        width = int(rng.integers(side // 8, side * 2 // 3))
        x, y = rng.integers(0, side - width, 2)
        crop = cv2.resize(crops[rng.integers(len(crops))], (width, width), interpolation=cv2.INTER_AREA)
        image[y : y + width, x : x + width] = crop
    return images


def quality(card: EngineCard, shard: FaceShard) -> float:
    """Mean r over the 51 coefficients."""
    outputs = open_engine(card, BACKEND).run(resized(shard.image, card.input.size))
    return measure(outputs["outputs"], outputs["landmarks"], shard).mean_r


def speed_ratios(card: EngineCard, than: EngineCard) -> dict[str, float]:
    """By batch size: the speed of `card` over that of `than`, medians of calls in turns."""
    one, other = open_engine(card, BACKEND), open_engine(than, BACKEND)
    return {str(size): round(times_faster(one, other, size), 3) for size in (1, BATCH)}


def main(
    calibration: Annotated[Path, typer.Option(help="folder of faces_*.npz")],
    output: Annotated[Path, typer.Option(help="folder of the new set")],
    engines: Annotated[str, typer.Option(help="engine set, by name or folder")] = "default",
    heldout: Annotated[
        Path | None, typer.Option(help="folder of faces_*.npz of people not trained on, to measure quality")
    ] = None,
) -> None:
    """Make the set; see the module's docstring."""
    cv2.setNumThreads(1)
    cards = load_set(engines)
    crops = crops_of(calibration, CROPS)
    images = images_of(crops, IMAGES, cards.detector.input.size)
    regressor_crops = resized(crops, cards.regressor.input.size)
    made = [
        quantise(card, [items[k : k + BATCH] for k in range(0, len(items), BATCH)], output)
        for card, items in ((cards.detector, images), (cards.regressor, regressor_crops))
    ]
    for card, original in zip(made, cards.cards, strict=True):
        figures: dict[str, object] = {"times_faster_at_batch": speed_ratios(card, original)}
        if heldout is not None and card.role == "regressor":
            shards = [load_faces(path) for path in shards_of(heldout)]
            before, after = (np.mean([quality(one, shard) for shard in shards]) for one in (original, card))
            figures |= {
                "heldout_mean_r": round(float(after), 4),
                "loss_of_mean_r": round(float(before - after), 4),
            }
        write_card(dataclasses.replace(card, quality=figures), output / f"{card.role}.json")
        print(f"{card.name}: {figures}", flush=True)


if __name__ == "__main__":
    typer.run(main)
