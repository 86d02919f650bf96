"""The morphs of MikuMikuDance models, as sums of ARKit coefficients.

In: a take. Out: morphs by name with their weights, 0..1. The names are those of the models that come with
MikuMikuDance and of most made since; the two of mouth corners are of later models. MMD ignores those that a
model lacks. The sums are ours: MMD's morphs are drawn, not measured, and no table of them is published.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.take import Take


@dataclasses.dataclass(frozen=True)
class MmdMorph:
    """A morph: the sum of weight x coefficient, held within 0..1."""

    name: str  # as in the model
    meaning: str
    terms: dict[str, float]  # a name of a channel -> its weight


MMD_MORPHS: tuple[MmdMorph, ...] = (
    MmdMorph("ウィンク２", "left eye closed", {"eyeBlinkLeft": 1.0}),
    MmdMorph("ｳｨﾝｸ２右", "right eye closed", {"eyeBlinkRight": 1.0}),
    MmdMorph("びっくり", "eyes wide", {"eyeWideLeft": 0.5, "eyeWideRight": 0.5}),
    MmdMorph("じと目", "eyes narrowed", {"eyeSquintLeft": 0.5, "eyeSquintRight": 0.5}),
    MmdMorph("上", "brows up", {"browOuterUpLeft": 0.5, "browOuterUpRight": 0.5}),
    MmdMorph("下", "brows down", {"browDownLeft": 0.5, "browDownRight": 0.5}),
    MmdMorph(
        "困る",
        "brows troubled",
        {"browInnerUp": 1.0, "browOuterUpLeft": -0.5, "browOuterUpRight": -0.5},
    ),
    MmdMorph(
        "あ", "mouth: a", {"jawOpen": 1.0, "mouthClose": -1.0, "mouthFunnel": -0.5, "mouthPucker": -0.5}
    ),
    MmdMorph("い", "mouth: i", {"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5}),
    MmdMorph("う", "mouth: u", {"mouthPucker": 1.0}),
    MmdMorph("お", "mouth: o", {"mouthFunnel": 1.0}),
    MmdMorph("口角上げ", "mouth corners up", {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}),
    MmdMorph("口角下げ", "mouth corners down", {"mouthFrownLeft": 0.5, "mouthFrownRight": 0.5}),
    MmdMorph("ぺろっ", "tongue out", {"tongueOut": 1.0}),
)
BLINK = "まばたき"  # both eyes closed, for which every model has a morph
_LEFT, _RIGHT = "ウィンク２", "ｳｨﾝｸ２右"


def mmd_weights(take: Take) -> dict[str, np.ndarray]:
    """float64 [N] for each morph, 0..1.

    What both eyes close is まばたき; the two winks hold what one closes beyond the other. A take whose
    channels are not ARKit's, because a rig named them, keeps its own names and values.

    Args:
        take: with values everywhere.
    """
    column = dict(zip(take.channels, take.weights.T, strict=True))
    if not set(ARKIT_NAMES) <= set(column):
        return column
    weights = {
        morph.name: np.clip(sum(weight * column[name] for name, weight in morph.terms.items()), 0.0, 1.0)
        for morph in MMD_MORPHS
        if set(morph.terms) <= set(column)
    }
    both = np.minimum(weights[_LEFT], weights[_RIGHT])
    weights[_LEFT], weights[_RIGHT] = weights[_LEFT] - both, weights[_RIGHT] - both
    return {BLINK: both, **weights}
