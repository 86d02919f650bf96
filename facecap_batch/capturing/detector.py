"""Finding faces in whole images: images to boxes with scores.

In: uint8 RGB images of any size. They are scaled to fit the detector's largest input, laid in the top-left
corner of a canvas it takes (a square, or one of nearly the image's own shape) and padded with grey. Out:
per image the faces found, best first, in pixels of that image. The engine's card may carry, under
`postprocess`: `score_threshold` (what counts as a face), `nms_iou` and `top_k`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from facecap_batch.engines.batching import Engine, prepare_input, run_in_one_shape
from facecap_batch.engines.cards import InputSpec
from facecap_batch.engines.output_limits import MAX_BOX_SIDES, require_finite, require_within

PAD_VALUE = 127
DEFAULT_SCORE_THRESHOLD = 0.5
# A face already followed is believed at a lower score than one that appears.
FOLLOW_SHARE = 0.5
DEFAULT_NMS_IOU = 0.3
DEFAULT_TOP_K = 16
# Boxes that enter non-maximum suppression: at least so many, and so many for each face that may be found. A
# face has some twenty of them above the threshold.
_CANDIDATES = 400
_CANDIDATES_PER_FACE = 25


@dataclasses.dataclass(frozen=True, eq=False)
class Detection:
    """One face in one image."""

    box: np.ndarray  # float32 [4], x0 y0 x1 y1, pixels of the image given
    score: float  # 0..1
    # float32, how the face looks (see `people.appearance`); None where faces are not told apart.
    look: np.ndarray | None = None

    def scaled(self, factor: float) -> Detection:
        """The same face in an image `factor` times as large."""
        return Detection(self.box * np.float32(factor), self.score, self.look)


class Detector:
    """A detector engine with what comes before and after it."""

    def __init__(
        self, engine: Engine, batch: int = 1, score_threshold: float | None = None, min_top_k: int = 1
    ) -> None:
        """
        Args:
            engine: Open engine of a detector.
            batch: Images per call of the engine; what is found in one does not depend on the others.
            score_threshold: What counts as a face, 0..1; None: as the card says.
            min_top_k: Faces in one image that are not too many, where the card allows fewer.
        """
        card = engine.card
        self.engine = engine
        self.batch = batch
        self.size = card.input.size  # longest side of the input, pixels
        if score_threshold is None:
            score_threshold = float(card.postprocess.get("score_threshold", DEFAULT_SCORE_THRESHOLD))
        self.score_threshold = score_threshold
        self.nms_iou = float(card.postprocess.get("nms_iou", DEFAULT_NMS_IOU))
        self.top_k = max(min_top_k, int(card.postprocess.get("top_k", DEFAULT_TOP_K)))
        self._candidates = max(_CANDIDATES, _CANDIDATES_PER_FACE * min_top_k)

    def detect(self, images: Sequence[np.ndarray], min_score: float | None = None) -> list[list[Detection]]:
        """Faces in each of `images`, best first.

        Args:
            images: uint8 [H, W, 3] RGB each, of any size.
            min_score: 0..1; None: `score_threshold`.

        Raises:
            ImpossibleOutput: A score or a box is no number, or far beyond the image.
        """
        if not images:
            return []
        threshold = self.score_threshold if min_score is None else min_score
        canvases = [letterbox(image, self.engine.card.input) for image in images]
        found: list[list[Detection]] = [[] for _ in images]
        # Each on its own canvas: what is found in an image does not depend on the others of its batch.
        for shape in sorted({canvas.shape for canvas, _ in canvases}):
            rows = [row for row, (canvas, _) in enumerate(canvases) if canvas.shape == shape]
            batch = np.stack([canvases[row][0] for row in rows])
            outputs = run_in_one_shape(self.engine, prepare_input(self.engine.card, batch), self.batch)
            for row, boxes, scores in zip(rows, outputs["boxes"], outputs["scores"], strict=True):
                found[row] = self._faces(boxes, scores, images[row], canvases[row][1], threshold)
        return found

    def _faces(
        self, boxes: np.ndarray, scores: np.ndarray, image: np.ndarray, scale: float, threshold: float
    ) -> list[Detection]:
        require_finite(self.engine.card.name, "scores", scores)
        kept = np.flatnonzero(scores >= threshold)
        if len(kept) == 0:
            return []
        # Stable: equal scores keep the order of the priors on every machine.
        kept = kept[np.argsort(-scores[kept], kind="stable")][: self._candidates]
        faces = boxes[kept].astype(np.float32) / np.float32(scale)
        height, width = image.shape[:2]
        name = self.engine.card.name
        require_finite(name, "boxes", faces)
        require_within(name, "boxes", faces, MAX_BOX_SIDES * max(height, width), "pixels")
        # A box may lie partly outside; one whose centre does is a response to the padding.
        center = (faces[:, :2] + faces[:, 2:]) / 2
        inside = (center >= 0).all(axis=1) & (center[:, 0] <= width) & (center[:, 1] <= height)
        inside &= (faces[:, 2:] > faces[:, :2]).all(axis=1)
        faces, sure = faces[inside], scores[kept][inside]
        best = non_maximum_suppression(faces, self.nms_iou)[: self.top_k]
        return [Detection(faces[k], float(sure[k])) for k in best]


def letterbox(image: np.ndarray, spec: InputSpec) -> tuple[np.ndarray, float]:
    """`image` uint8 [H, W, 3] scaled to fit `spec`'s size, top-left on a canvas of the engine's shape, padded
    with grey; and the scale applied."""
    height, width = image.shape[:2]
    scale = spec.size / max(height, width)
    if scale != 1.0:
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, target, interpolation=method)
    canvas = np.full((*spec.canvas(*image.shape[:2]), 3), PAD_VALUE, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas, scale


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """float [N]: intersection over union of `box` [4] with each of `boxes` [N, 4] (x0 y0 x1 y1)."""
    corner0 = np.maximum(box[:2], boxes[:, :2])
    corner1 = np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.maximum(corner1 - corner0, 0), axis=1)
    area = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    overlap: np.ndarray = common / np.maximum(area - common, 1e-9)
    return overlap


def non_maximum_suppression(boxes: np.ndarray, threshold: float) -> list[int]:
    """Indices of the boxes [N, 4], given best first, that no better kept one overlaps above `threshold`."""
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left):
        kept.append(int(left[0]))
        left = left[1:][iou(boxes[left[0]], boxes[left[1:]]) <= threshold]
    return kept
