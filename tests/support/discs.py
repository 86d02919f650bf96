"""A world whose truth is known: faces are discs, red above and blue below, and two engines that read them.

The engines stand for trained networks (which tests cannot have): the detector finds every disc, whichever
way it lies; the regressor says where the disc is in its crop, how large, and is sure of it only when red is
above.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec
from facecap_batch.importing.published_weights import detector_card
from tests.support.videos import write_video

DIAMETER_CM = 14.0
ANCHORS = 8
CROP = 96
WIDTH, HEIGHT = 320, 240  # pixels, of `disc_video`
SHARP = {"crf": "12"}


def scene(width: int, height: int, *discs: tuple[float, float, float], shade: int = 120) -> np.ndarray:
    """uint8 [height, width, 3]: grey with discs of (centre x, centre y, radius), pixels."""
    image = np.full((height, width, 3), shade, np.uint8)
    y, x = np.mgrid[:height, :width] + 0.5
    for center_x, center_y, radius in discs:
        inside = (x - center_x) ** 2 + (y - center_y) ** 2 <= radius**2
        image[inside & (y < center_y)] = (230, 30, 30)
        image[inside & (y >= center_y)] = (30, 30, 230)
    return image


def walk(count: int) -> np.ndarray:
    """float [count, 3]: centre x, y and radius of a disc that wanders about and comes nearer."""
    t = np.arange(count) / 30
    return np.column_stack([160 + 70 * np.sin(2 * t), 120 + 30 * np.cos(3 * t), 30 + 10 * np.sin(t)])


def disc_video(
    path: Path, places: np.ndarray, hidden: range = range(0), turn: int = 0, **how: object
) -> Path:
    """A video of one disc, absent in the frames `hidden`, its pictures turned counterclockwise by `turn`."""
    frames = [
        np.ascontiguousarray(np.rot90(scene(WIDTH, HEIGHT, *([] if k in hidden else [place])), turn // 90))
        for k, place in enumerate(places)
    ]
    return write_video(path, frames, options=SHARP, **how)  # type: ignore[arg-type]


def _coloured(image: np.ndarray) -> np.ndarray:
    return np.abs(image[..., 0].astype(int) - image[..., 2]) > 70


class DiscDetector:
    """Boxes of all discs, largest first."""

    backend = "discs"

    def __init__(self, score: float = 0.9) -> None:
        self.card: EngineCard = detector_card("discs", 320, ANCHORS)
        self.score = score
        self.images = 0  # how many have been looked at

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        self.images += len(batch)
        boxes = np.zeros((len(batch), ANCHORS, 4), np.float32)
        scores = np.zeros((len(batch), ANCHORS), np.float32)
        for row, image in enumerate(batch):
            # The line between red and blue is neither: close it.
            mask = cv2.morphologyEx(_coloured(image).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5)))
            _, _, found, _ = cv2.connectedComponentsWithStats(mask)
            found = found[1:]
            found = found[np.argsort(-found[:, 4], kind="stable")][:ANCHORS]
            for column, (x, y, w, h, area) in enumerate(found):
                if area >= 12:
                    boxes[row, column], scores[row, column] = (x, y, x + w, y + h), self.score
        return {"boxes": boxes, "scores": scores}


class DiscRegressor:
    """Where the disc is in the crop: jawOpen tells how blue it is, the head looks along the viewing ray."""

    backend = "discs"

    def __init__(self, **postprocess: float) -> None:
        self.card = EngineCard(
            name="discs",
            role="regressor",
            file="regressor.onnx",
            sha256="",
            licence="Apache-2.0",
            version="1",
            input=InputSpec("crop", (BATCH, CROP, CROP, 3)),
            outputs={"outputs": (BATCH, 57), "presence": (BATCH,)},
            output_names=OUTPUT_NAMES,
            postprocess={"crop_scale": 1.5, **postprocess},
        )
        self.crops = 0  # how many have been looked at

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        self.crops += len(batch)
        outputs = np.zeros((len(batch), 57), np.float32)
        presence = np.zeros(len(batch), np.float32)
        for row, image in enumerate(batch):
            mask = _coloured(image)
            y, x = np.nonzero(mask)
            if len(x) < 0.1 * CROP * CROP:
                continue
            red = image[y, x, 0] > image[y, x, 2]
            if not 0.2 < red.mean() < 0.8:
                continue
            up = y[~red].mean() - y[red].mean()
            presence[row] = float(up > 2 * abs(x[~red].mean() - x[red].mean()))
            diameter = 2 * np.sqrt(len(x) / np.pi)
            outputs[row, OUTPUT_NAMES.index("jawOpen")] = image[y, x, 2].mean() / 255
            outputs[row, 54:57] = (
                (x.mean() + 0.5) / CROP * 2 - 1,
                (y.mean() + 0.5) / CROP * 2 - 1,
                np.log(DIAMETER_CM * CROP / diameter),
            )
        return {"outputs": outputs, "presence": presence}
