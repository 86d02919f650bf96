"""Random expressions: coefficient vectors with the co-occurrence of real ones.

In: a random generator, how the head is turned and, where there are any, rows of real takes. Out: 51 values in
0..1 in ARKit order.
The mixture holds near-neutral faces, every movement alone and on one side alone, speech, emotions, real
takes, lids and gaze of their own, and independent mixtures, so that no channel always moves with others.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, UPPER_FACE
from facecap_batch.training.mirror import MIRRORED_CHANNELS
from facecap_batch.training.rendering.gaze import INDEX, add_gaze, lower_lids

# Emotions and everyday faces as peak values; left and right vary around them.
PATTERNS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmile": 0.9, "cheekSquint": 0.6, "eyeSquint": 0.5, "mouthDimple": 0.3,
              "mouthUpperUp": 0.25},
    "laugh": {"mouthSmile": 1.0, "jawOpen": 0.5, "cheekSquint": 0.8, "eyeSquint": 0.6, "mouthUpperUp": 0.5,
              "mouthLowerDown": 0.4, "mouthStretch": 0.3},
    "sad": {"mouthFrown": 0.8, "browInnerUp": 0.8, "mouthShrugLower": 0.4, "mouthPress": 0.2},
    "angry": {"browDown": 1.0, "eyeSquint": 0.5, "noseSneer": 0.5, "mouthPress": 0.6, "mouthRollLower": 0.2},
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.9, "jawOpen": 0.5},
    "disgust": {"noseSneer": 1.0, "mouthUpperUp": 0.8, "browDown": 0.6, "eyeSquint": 0.5, "cheekSquint": 0.4},
    "pout": {"mouthPucker": 0.9, "mouthShrugLower": 0.4, "browDown": 0.2},
    "kiss": {"mouthPucker": 1.0, "mouthFunnel": 0.2},
    "puff": {"cheekPuff": 1.0, "mouthPucker": 0.3, "mouthPress": 0.3},
    "fear": {"browInnerUp": 0.9, "browOuterUp": 0.4, "eyeWide": 0.8, "mouthStretch": 0.8, "jawOpen": 0.2},
    "bite": {"mouthRollLower": 0.8, "mouthRollUpper": 0.3, "mouthPress": 0.3},
    "worry": {"browInnerUp": 1.0, "browDown": 0.4, "mouthFrown": 0.3, "mouthPress": 0.3},
    "cry": {"browInnerUp": 0.8, "browDown": 0.5, "mouthFrown": 0.9, "mouthStretch": 0.6,
            "mouthLowerDown": 0.5, "eyeSquint": 0.5, "cheekSquint": 0.3, "mouthShrugLower": 0.5,
            "jawOpen": 0.2},
    "sob": {"browInnerUp": 0.7, "browDown": 0.6, "mouthFrown": 0.6, "mouthStretch": 0.5, "mouthPress": 0.4,
            "mouthShrugLower": 0.7, "mouthUpperUp": 0.2, "cheekSquint": 0.5, "eyeSquint": 0.7},
    "open laugh": {"mouthSmile": 0.9, "jawOpen": 0.6, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5,
                   "browOuterUp": 0.3, "eyeWide": 0.3},
    "sneer": {"noseSneer": 0.8, "mouthUpperUp": 0.7, "cheekSquint": 0.3},
    "smirk": {"mouthSmile": 0.7, "mouthDimple": 0.5, "cheekSquint": 0.2},
    "skeptic": {"mouthShrugLower": 0.7, "mouthShrugUpper": 0.6, "browOuterUp": 0.4, "mouthFrown": 0.4},
}  # fmt: skip
VISEMES: dict[str, dict[str, float]] = {
    "aa": {"jawOpen": 0.6, "mouthLowerDown": 0.3, "mouthUpperUp": 0.2},
    "ee": {"jawOpen": 0.2, "mouthStretch": 0.4, "mouthSmile": 0.4, "mouthLowerDown": 0.4,
           "mouthUpperUp": 0.2},
    "oo": {"jawOpen": 0.2, "mouthPucker": 0.6, "mouthFunnel": 0.5},
    "oh": {"jawOpen": 0.4, "mouthFunnel": 0.7},
    "mm": {"mouthPress": 0.5, "mouthRollLower": 0.4, "mouthRollUpper": 0.3},
    "ff": {"mouthRollLower": 0.5, "mouthUpperUp": 0.3, "jawOpen": 0.1, "mouthLowerDown": 0.1},
    "ss": {"jawOpen": 0.1, "mouthStretch": 0.3, "mouthLowerDown": 0.4, "mouthUpperUp": 0.1},
    "ch": {"mouthFunnel": 0.6, "jawOpen": 0.15, "mouthShrugUpper": 0.3},
}  # fmt: skip
# What brows and lids do while the rest does something else.
UPPER_PATTERNS: tuple[dict[str, float], ...] = (
    {"browInnerUp": 1.0, "browOuterUp": 1.0}, {"browInnerUp": 1.0}, {"browInnerUp": 1.0, "browDown": 0.4},
    {"browOuterUp": 1.0}, {"browDown": 1.0}, {"browDown": 0.8, "eyeSquint": 0.6}, {"eyeSquint": 1.0},
    {"eyeSquint": 0.8, "cheekSquint": 0.6}, {"eyeWide": 1.0}, {"eyeWide": 0.8, "browOuterUp": 0.5},
)  # fmt: skip
# Channels that move together, for independent mixtures.
GROUPS: tuple[tuple[str, ...], ...] = (
    ("jawForward",), ("jawLeft", "jawRight"), ("jawOpen",), ("mouthFunnel",), ("mouthPucker",),
    ("mouthLeft", "mouthRight"), ("mouthSmileLeft", "mouthSmileRight"), ("mouthFrownLeft", "mouthFrownRight"),
    ("mouthDimpleLeft", "mouthDimpleRight"), ("mouthStretchLeft", "mouthStretchRight"), ("mouthRollLower",),
    ("mouthRollUpper",), ("mouthShrugLower",), ("mouthShrugUpper",), ("mouthPressLeft", "mouthPressRight"),
    ("mouthLowerDownLeft", "mouthLowerDownRight"), ("mouthUpperUpLeft", "mouthUpperUpRight"),
    ("browDownLeft", "browDownRight"), ("browInnerUp",), ("browOuterUpLeft", "browOuterUpRight"),
    ("cheekPuff",), ("cheekSquintLeft", "cheekSquintRight"),
    ("noseSneerLeft", "noseSneerRight"), ("eyeSquintLeft", "eyeSquintRight"), ("eyeWideLeft", "eyeWideRight"),
)  # fmt: skip
EXCLUSIVE = ("jawLeft", "mouthLeft")  # first of a group of which one channel moves at a time
# Rare in real faces; twice as frequent here, for chance alone would show too few of them to learn from.
RARE = {"jawLeft", "jawForward", "mouthLeft", "mouthDimpleLeft", "mouthPressLeft", "mouthShrugUpper"}
LIDS = (("eyeBlinkLeft", "eyeBlinkRight"),)
ONE_SIDED = 0.42  # share of movements of paired channels that only one side makes, or one side far more
# Shares of the kinds of expressions; the rest are independent mixtures.
KINDS = {"rest": 0.10, "alone": 0.20, "few": 0.10, "speech": 0.14, "emotion": 0.20, "take": 0.12}
UPPER = 0.5  # share of speech, emotions and mixtures in which brows or lids do something of their own
MILD = 0.35  # share of speech, emotions and mixtures that are weak, as most of what faces do
MIN_MILD, MAX_MILD = 0.15, 0.6  # factor of these
TAKE_GAZE = 0.5  # share of real takes, whose heads are not known, that get a gaze of their own
MIN_TAKE_STRENGTH, MAX_TAKE_STRENGTH = 0.5, 1.15  # factor of a real take, whose movements stay short of 1


def _sides(rng: np.random.Generator) -> tuple[float, float]:
    """Shares of a paired movement that the left and the right side make; about 1."""
    if rng.random() < ONE_SIDED:
        other = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 0.6)
        left, right = (1.0, other) if rng.random() < 0.5 else (other, 1.0)
        return left, right
    tilt = rng.normal(0.0, 0.12)
    return 1.0 + tilt, 1.0 - tilt


def _add_pattern(
    values: np.ndarray, pattern: dict[str, float], strength: float, rng: np.random.Generator
) -> None:
    """Add `pattern` times `strength` to the coefficients `values` [51], in place."""
    left, right = _sides(rng)
    for name, peak in pattern.items():
        amount = peak * strength * rng.uniform(0.5, 1.3)
        if name in INDEX:
            values[INDEX[name]] += amount
        else:
            values[INDEX[name + "Left"]] += amount * left
            values[INDEX[name + "Right"]] += amount * right


def _add_group(values: np.ndarray, group: tuple[str, ...], amount: float, rng: np.random.Generator) -> None:
    """Add `amount` to a group of GROUPS or LIDS, in place."""
    if group[0] in EXCLUSIVE:
        values[INDEX[group[rng.integers(2)]]] += amount
    elif len(group) == 2:
        for name, side in zip(group, _sides(rng), strict=True):
            values[INDEX[name]] += amount * side
    else:
        values[INDEX[group[0]]] += amount


def _add_independent(values: np.ndarray, chance: float, rng: np.random.Generator) -> None:
    """Add each of GROUPS with this `chance`, in place; RARE ones with twice the chance."""
    for group in GROUPS:
        if rng.random() < (2.0 if group[0] in RARE else 1.0) * chance:
            _add_group(values, group, rng.beta(1.0, 1.3), rng)


def _add_lids(values: np.ndarray, rng: np.random.Generator) -> None:
    """Write random lids, in place: closed, half closed, a wink, open; whatever else the face does."""
    draw = rng.random()
    if draw < 0.14:  # closed
        blink = np.full(2, rng.uniform(0.85, 1.0))
    elif draw < 0.30:  # half closed
        blink = np.full(2, rng.uniform(0.0, 1.0))
    elif draw < 0.42:  # a wink
        blink = np.array([rng.uniform(0.4, 1.0), rng.uniform(0.0, 0.25)])[:: rng.choice([1, -1])]
    else:  # open
        blink = np.full(2, rng.uniform(0.0, 0.15))
    blink = blink + rng.normal(0, 0.03, 2)
    values[INDEX["eyeBlinkLeft"]], values[INDEX["eyeBlinkRight"]] = blink


def _take_row(takes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The upper half of one row of `takes` [N, 51] with the lower half of another or the same one, stronger
    or weaker, mirrored or not: [51]."""
    upper, lower = takes[rng.integers(len(takes), size=2)]
    if rng.random() < 0.5:
        upper = lower
    row: np.ndarray = np.where(UPPER_FACE, upper, lower) * rng.uniform(MIN_TAKE_STRENGTH, MAX_TAKE_STRENGTH)
    return row[list(MIRRORED_CHANNELS)] if rng.random() < 0.5 else row


def _plausible(values: np.ndarray, rng: np.random.Generator) -> None:
    """Weaken movements that exclude each other and close lips over an open jaw, in place."""
    for side in ("Left", "Right"):  # a wide eye is not a closed one
        values[INDEX["eyeWide" + side]] *= 1 - np.clip(values[INDEX["eyeBlink" + side]] * 1.5, 0, 1)
    jaw = values[INDEX["jawOpen"]]
    # Lips closed over an open jaw.
    if values[INDEX["mouthClose"]] == 0 and jaw > 0.05 and rng.random() < 0.35:
        values[INDEX["mouthClose"]] = min(jaw, 1.0) * rng.uniform(0.3, 1.0)
    if values[INDEX["mouthPucker"]] > 0.5:  # lips cannot stretch and purse at once
        for name in ("mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight"):
            values[INDEX[name]] *= 0.4


def sample(
    rng: np.random.Generator, takes: np.ndarray | None = None, rotation: np.ndarray | None = None
) -> np.ndarray:
    """One random expression.

    Args:
        rng: the only source of randomness.
        takes: float32 [N, 51], rows of real takes (`read_take`); without any, emotions get their share.
        rotation: float64 [3, 3], of the head as in `scene.View`; where it is given, most eyes look at the
            camera.

    Returns:
        float32 [51], ARKit order, 0..1.
    """
    values = np.zeros(len(ARKIT_NAMES))
    kind = rng.choice([*KINDS, "mixture"], p=[*KINDS.values(), 1 - sum(KINDS.values())])
    if kind == "take" and takes is not None:
        values += _take_row(takes, rng)
        if rotation is not None and rng.random() < TAKE_GAZE:
            add_gaze(values, rng, rotation)
            lower_lids(values, rng)
        _plausible(values, rng)
        return np.clip(values, 0, 1).astype(np.float32)
    gaze_chance = 0.7
    if kind == "rest":
        values += rng.exponential(0.01, len(values))
    elif kind in ("alone", "few"):
        for _ in range(1 if kind == "alone" else rng.integers(2, 4)):
            groups = GROUPS + LIDS
            _add_group(values, groups[rng.integers(len(groups))], rng.uniform(0.1, 1.0), rng)
        gaze_chance = 0.4
    elif kind == "mixture":
        _add_independent(values, rng.uniform(0.08, 0.30), rng)
    else:
        patterns, weakest = (VISEMES, 0.4) if kind == "speech" else (PATTERNS, 0.3)
        for name in rng.choice(list(patterns), rng.integers(1, 3), replace=False):
            _add_pattern(values, patterns[name], rng.uniform(weakest, 1.2), rng)
        _add_independent(values, 0.06, rng)
    if kind not in ("rest", "alone", "few") and rng.random() < MILD:
        values *= rng.uniform(MIN_MILD, MAX_MILD)
    if kind not in ("rest", "alone", "few") and rng.random() < UPPER:
        pattern = UPPER_PATTERNS[rng.integers(len(UPPER_PATTERNS))]
        _add_pattern(values, pattern, rng.uniform(0.2, 1.0), rng)
    if rng.random() < gaze_chance:
        add_gaze(values, rng, rotation)
    if kind not in ("alone", "few"):
        _add_lids(values, rng)
        lower_lids(values, rng)
    if kind != "alone":
        _plausible(values, rng)
    elif values[INDEX["jawOpen"]] and rng.random() < 0.5:
        values[INDEX["mouthClose"]] = values[INDEX["jawOpen"]] * rng.uniform(0.3, 1.0)
    return np.clip(values, 0, 1).astype(np.float32)
