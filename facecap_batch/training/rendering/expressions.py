"""What faces do: random coefficient vectors with the co-occurrence of real ones, and continuous performances.

Out: 51 values in 0..1 in ARKit order. The mixture holds many near-neutral faces, speech, smiles, other
emotions, blinks, gaze with lids that follow it, and independent random mixtures so that no channel is known
by its company only.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES

INDEX = {name: position for position, name in enumerate(ARKIT_NAMES)}
GAZE_YAW_FULL = np.radians(32.0)  # eyeball rotation at eyeLookIn/Out = 1
GAZE_PITCH_FULL = np.radians(25.0)  # eyeball rotation at eyeLookUp/Down = 1

# Everyday faces as peak values; left and right vary on their own around them.
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
# Groups that a muscle moves together, for independent mixtures.
GROUPS: tuple[tuple[str, ...], ...] = (
    ("jawForward",), ("jawLeft", "jawRight"), ("jawOpen",), ("mouthFunnel",), ("mouthPucker",),
    ("mouthLeft", "mouthRight"), ("mouthSmileLeft", "mouthSmileRight"), ("mouthFrownLeft", "mouthFrownRight"),
    ("mouthDimpleLeft", "mouthDimpleRight"), ("mouthStretchLeft", "mouthStretchRight"), ("mouthRollLower",),
    ("mouthRollUpper",), ("mouthShrugLower",), ("mouthShrugUpper",), ("mouthPressLeft", "mouthPressRight"),
    ("mouthLowerDownLeft", "mouthLowerDownRight"), ("mouthUpperUpLeft", "mouthUpperUpRight"),
    ("browDownLeft", "browDownRight"), ("browInnerUp",), ("browOuterUpLeft", "browOuterUpRight"),
    ("cheekPuff",),
    ("cheekSquintLeft", "cheekSquintRight"), ("noseSneerLeft", "noseSneerRight"),
    ("eyeSquintLeft", "eyeSquintRight"), ("eyeWideLeft", "eyeWideRight"),
)  # fmt: skip
EXCLUSIVE = {"jawLeft", "mouthLeft"}  # to one side or the other, never both
# Hardly anybody does these, so chance alone would show too few of them to learn from.
SELDOM = {"jawLeft", "jawForward", "mouthLeft", "mouthDimpleLeft", "mouthPressLeft", "mouthShrugUpper"}


def _add_pattern(
    values: np.ndarray, pattern: dict[str, float], strength: float, rng: np.random.Generator
) -> None:
    tilt = rng.normal(0.0, 0.22) if rng.random() < 0.6 else 0.0
    for name, peak in pattern.items():
        amount = peak * strength * rng.uniform(0.5, 1.3)
        if name in INDEX:
            values[INDEX[name]] += amount
        else:
            values[INDEX[name + "Left"]] += amount * (1 + tilt)
            values[INDEX[name + "Right"]] += amount * (1 - tilt)


def _add_independent(values: np.ndarray, chance: float, rng: np.random.Generator) -> None:
    for group in GROUPS:
        if rng.random() >= (2.0 if group[0] in SELDOM else 1.0) * chance:
            continue
        amount = rng.beta(1.0, 1.3)
        if group[0] in EXCLUSIVE or (len(group) == 2 and rng.random() < 0.35):
            values[INDEX[group[rng.integers(2)]]] += amount
        else:
            for name in group:
                values[INDEX[name]] += amount * rng.uniform(0.75, 1.25)


def gaze_from_coefficients(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation of the two eyeballs, (yaw, pitch) in radians for left and right; +yaw to subject's left,
    +pitch up."""
    left_yaw = (values[INDEX["eyeLookOutLeft"]] - values[INDEX["eyeLookInLeft"]]) * GAZE_YAW_FULL
    right_yaw = (values[INDEX["eyeLookInRight"]] - values[INDEX["eyeLookOutRight"]]) * GAZE_YAW_FULL
    left_pitch = (values[INDEX["eyeLookUpLeft"]] - values[INDEX["eyeLookDownLeft"]]) * GAZE_PITCH_FULL
    right_pitch = (values[INDEX["eyeLookUpRight"]] - values[INDEX["eyeLookDownRight"]]) * GAZE_PITCH_FULL
    return np.array([left_yaw, left_pitch]), np.array([right_yaw, right_pitch])


def set_gaze(values: np.ndarray, yaw: float, pitch: float, vergence: float = 0.0) -> None:
    """Write the eight eyeLook coefficients of a gaze; yaw to the subject's left and pitch up, in full
    scales."""
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        outward = sign * yaw - vergence
        values[INDEX["eyeLookOut" + side]] = np.clip(outward, 0, 1)
        values[INDEX["eyeLookIn" + side]] = np.clip(-outward, 0, 1)
        values[INDEX["eyeLookUp" + side]] = np.clip(pitch, 0, 1)
        values[INDEX["eyeLookDown" + side]] = np.clip(-pitch, 0, 1)


def _add_lids(values: np.ndarray, rng: np.random.Generator) -> None:
    draw = rng.random()
    if draw < 0.16:  # closed
        blink = np.full(2, rng.uniform(0.85, 1.0))
    elif draw < 0.36:  # on the way
        blink = np.full(2, rng.uniform(0.0, 1.0))
    elif draw < 0.42:  # a wink
        blink = np.array([rng.uniform(0.5, 1.0), rng.uniform(0.0, 0.3)])[:: rng.choice([1, -1])]
    else:  # open, with the lids of everyday
        blink = np.full(2, rng.uniform(0.0, 0.15))
    blink = blink + rng.normal(0, 0.03, 2)
    values[INDEX["eyeBlinkLeft"]], values[INDEX["eyeBlinkRight"]] = blink
    for side in ("Left", "Right"):  # a wide eye is not a closed one
        values[INDEX["eyeWide" + side]] *= 1 - np.clip(values[INDEX["eyeBlink" + side]] * 1.5, 0, 1)


def sample(rng: np.random.Generator) -> np.ndarray:
    """One random face: float32 [51], 0..1."""
    values = np.zeros(len(ARKIT_NAMES))
    kind = rng.random()
    if kind < 0.12:
        values += rng.exponential(0.015, len(values))
    elif kind < 0.34:
        names = list(VISEMES)
        for name in rng.choice(names, rng.integers(1, 3), replace=False):
            _add_pattern(values, VISEMES[name], rng.uniform(0.4, 1.2), rng)
        _add_independent(values, 0.07, rng)
    elif kind < 0.60:
        names = list(PATTERNS)
        for name in rng.choice(names, rng.integers(1, 3), replace=False):
            _add_pattern(values, PATTERNS[name], rng.uniform(0.3, 1.2), rng)
        _add_independent(values, 0.07, rng)
    else:
        _add_independent(values, rng.uniform(0.08, 0.30), rng)
    if rng.random() < 0.7:
        spread = rng.uniform(0.15, 0.6)
        set_gaze(
            values, rng.normal(0, spread), rng.normal(-0.05, spread * 0.8), max(rng.normal(0.03, 0.05), -0.02)
        )
    _add_lids(values, rng)
    jaw = values[INDEX["jawOpen"]]
    if jaw > 0.05 and rng.random() < 0.25:  # lips closed over an open jaw
        values[INDEX["mouthClose"]] = jaw * rng.uniform(0.3, 1.0)
    if values[INDEX["mouthPucker"]] > 0.5:  # lips cannot stretch and purse at once
        for name in ("mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight"):
            values[INDEX[name]] *= 0.4
    return np.clip(values, 0, 1).astype(np.float32)
