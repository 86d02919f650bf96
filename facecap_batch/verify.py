"""Whether the backends here agree: acceleration must not change the animation.

In: an engine set, backends, pictures (frames of a video, or painted ones). Out: a `Verdict` per engine,
backend and output, against one reference backend.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from facecap_batch.detection import letterbox
from facecap_batch.engines.backends import BACKENDS, open_engine, unavailable_because
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.engine import prepare_input
from facecap_batch.engines.parity import Parity, compare
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import BackendUnavailable
from facecap_batch.video import decode

PICTURES = 16
EVERY = 10  # frames of a video from one picture to the next
REFERENCES = ("torch", "onnxruntime-cpu")  # the first that is installed
# What no eye and no exporter can tell apart: a twentieth of an input pixel, a thousandth of a coefficient's
# range, a twentieth of a degree.
BOX_TOLERANCE = 0.05
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How far one backend is from the reference in one output."""

    engine: str
    backend: str
    reference: str
    parity: Parity
    tolerance: float  # largest difference allowed, in the output's unit

    @property
    def ok(self) -> bool:
        return self.parity.within(self.tolerance)


def verify(
    engines: str = "default", backends: Sequence[str] = (), reference: str = "", video: Path | None = None
) -> Iterator[Verdict]:
    """Compare `backends` (default: all that work here) with `reference` (default: see REFERENCES).

    Raises BackendUnavailable where a named backend does not work, or where there is nothing to compare;
    EngineError, BadVideo.
    """
    cards = load_set(engines)
    reference = reference or next((name for name in REFERENCES if unavailable_because(name) is None), "")
    others = list(backends) or [name for name in BACKENDS if unavailable_because(name) is None]
    others = [name for name in others if name != reference]
    if not reference or not others:
        raise BackendUnavailable(
            f"only {reference or 'no backend'} works here, so there is nothing to compare it with: "
            "pip install 'facecap-batch[torch]' brings the reference"
        )
    images = painted_pictures() if video is None else frames_of(video)
    for card in cards.cards:
        batch = engine_input(card, images)
        standard = open_engine(card, reference)
        for name in others:
            for parity in compare(standard, open_engine(card, name), batch):
                tolerance = BOX_TOLERANCE if parity.output == "boxes" else TOLERANCE
                yield Verdict(card.name, name, reference, parity, tolerance)


def engine_input(card: EngineCard, images: Sequence[np.ndarray]) -> np.ndarray:
    """A batch for the engine: whole pictures for a detector, their middle squares for a regressor."""
    if card.role == "detector":
        return prepare_input(card, np.stack([letterbox(image, card.input)[0] for image in images]))
    return prepare_input(card, np.stack([_middle(image, card.input.size) for image in images]))


def frames_of(video: Path) -> list[np.ndarray]:
    """Up to PICTURES frames of `video`, uint8 [H, W, 3] RGB, upright. Raises BadVideo."""
    images = []
    for frame in decode(video, thread_count=1):
        if frame.index % EVERY == 0:
            images.append(frame.image)
        if len(images) == PICTURES:
            break
    return images


def painted_pictures(count: int = PICTURES, side: int = 320) -> list[np.ndarray]:
    """Soft blobs of colour, always the same: uint8 [side, side, 3]."""
    random = np.random.default_rng(7)
    blobs = [random.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(count)]
    return [cv2.resize(blob, (side, side), interpolation=cv2.INTER_CUBIC) for blob in blobs]


def _middle(image: np.ndarray, size: int) -> np.ndarray:
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = np.ascontiguousarray(image[top : top + side, left : left + side])
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
