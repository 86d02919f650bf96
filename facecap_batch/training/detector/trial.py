"""Evaluation of a detector: recall and false faces on scenes of heads that it was not trained on.

In: a network, a maker of held-out scenes. Out: a `Trial`: figures for the card, and the `doubt` that makes a
score of 0.5 mean the same for every network.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import torch

from facecap_batch.importing.networks.faceboxes import FaceBoxes, decode
from facecap_batch.training.detector.losses import overlaps
from facecap_batch.training.detector.scenes import SceneMaker

# A score of 0.5 is where this share of held-out scenes has a false face. Most of what fills those scenes was
# drawn to be taken for one; videos are kinder by an order of magnitude.
FALSE_SHARE = 0.06
SAME_FACE_IOU, NO_FACE_IOU = 0.4, 0.2
CANDIDATES = 300  # boxes looked at per scene
LENGTHS = (12, 20, 40, 120, 640)  # pixels, edges of the slices by size


@dataclasses.dataclass(frozen=True)
class Trial:
    """The outcome."""

    doubt: float  # to be taken off every face's logit
    recall: float  # share of faces found, at that doubt
    recall_by_length: dict[str, float]  # the same by the face's longer side, "20-40px"
    scenes: int

    def figures(self) -> dict[str, object]:
        """For a card or a log."""
        slices = {name: round(value, 4) for name, value in self.recall_by_length.items()}
        return {
            "held_out_scenes": self.scenes,
            "false_face_scenes": FALSE_SHARE,
            "recall": round(self.recall, 4),
            "recall_by_length": slices,
            "doubt": round(self.doubt, 3),
        }


@torch.inference_mode()
def evaluate(network: FaceBoxes, maker: SceneMaker, scenes: int, mean: float, std: float) -> Trial:
    """Evaluate `network`, trained on (pixels - `mean`) / `std`, on the first `scenes` scenes of `maker`."""
    network = network.eval()
    anchors = torch.from_numpy(network.anchors(maker.size, maker.size))
    lengths: list[float] = []
    logits_of_faces: list[float] = []
    logits_of_nothing: list[float] = []  # the surest false face of each scene
    for number in range(scenes):
        scene = maker.make(number)
        pixels = ((torch.from_numpy(scene.image)[None].float() - mean) / std).permute(0, 3, 1, 2)
        offsets, logits = network(pixels)
        sure = (logits[0, :, 1] - logits[0, :, 0]).numpy()
        likely = np.argsort(-sure)[:CANDIDATES]
        sure, boxes = sure[likely], decode(offsets, anchors)[0].numpy()[likely]
        known = np.concatenate([scene.boxes, scene.ignored])
        nothing = overlaps(boxes, known).max(1) < NO_FACE_IOU if len(known) else np.ones(len(boxes), bool)
        logits_of_nothing.append(float(sure[nothing].max(initial=-math.inf)))
        for box in scene.boxes:
            hit = overlaps(boxes, box[None])[:, 0] >= SAME_FACE_IOU
            lengths.append(float(max(box[2:] - box[:2])))
            logits_of_faces.append(float(sure[hit].max(initial=-math.inf)))
    doubt = float(np.quantile(logits_of_nothing, 1 - FALSE_SHARE, method="higher"))
    found, length = np.array(logits_of_faces) > doubt, np.array(lengths)
    slices = {}
    for low, high in itertools.pairwise(LENGTHS):
        inside = (length >= low) & (length < high)
        if inside.any():
            slices[f"{low}-{high}px"] = float(found[inside].mean())
    return Trial(doubt, float(found.mean()) if len(found) else math.nan, slices, scenes)
