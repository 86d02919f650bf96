"""Where eyes look: from coefficients to eyeballs and back, and random gaze.

In: coefficients, how the head is turned. Out: eyeball rotations, the eight eyeLook coefficients. Most eyes
in front of a camera look at it or near it however the head turns: a raised chin comes with eyes that look
down.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.geometry import PITCH_FULL, YAW_FULL

INDEX = {name: position for position, name in enumerate(ARKIT_NAMES)}
AT_CAMERA = 0.55  # share of gazes that meet the camera or what is near it
NEAR_CAMERA = 0.12  # deviation of these, in units of the coefficients
SCREEN = -0.05  # their mean pitch: more screens are below cameras than above
# eyeBlink grows as eyes look down: in two takes of 65 s its median is 0.15 and 0.02 at eyeLookDown 0.1-0.2,
# 0.33 and 0.32 at 0.2-0.3.
LIDS_FOLLOW = 0.6  # share of faces whose eyeBlink does
MAX_FOLLOW = 1.2  # eyeBlink over eyeLookDown


def gaze_from_coefficients(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations of the left and the right eyeball for the coefficients `values` [51].

    Returns:
        (yaw, pitch) in radians of each; yaw toward the subject's left, pitch up.
    """
    left_yaw = (values[INDEX["eyeLookOutLeft"]] - values[INDEX["eyeLookInLeft"]]) * YAW_FULL
    right_yaw = (values[INDEX["eyeLookInRight"]] - values[INDEX["eyeLookOutRight"]]) * YAW_FULL
    left_pitch = (values[INDEX["eyeLookUpLeft"]] - values[INDEX["eyeLookDownLeft"]]) * PITCH_FULL
    right_pitch = (values[INDEX["eyeLookUpRight"]] - values[INDEX["eyeLookDownRight"]]) * PITCH_FULL
    return np.array([left_yaw, left_pitch]), np.array([right_yaw, right_pitch])


def set_gaze(values: np.ndarray, yaw: float, pitch: float, vergence: float = 0.0) -> None:
    """Write the eight eyeLook coefficients of a gaze into `values` [51], in place.

    Args:
        yaw: toward the subject's left, in units of the coefficients (-1..1).
        pitch: up, likewise.
        vergence: how far each eye looks inward of that, likewise.
    """
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        outward = sign * yaw - vergence
        values[INDEX["eyeLookOut" + side]] = np.clip(outward, 0, 1)
        values[INDEX["eyeLookIn" + side]] = np.clip(-outward, 0, 1)
        values[INDEX["eyeLookUp" + side]] = np.clip(pitch, 0, 1)
        values[INDEX["eyeLookDown" + side]] = np.clip(-pitch, 0, 1)


def toward_camera(rotation: np.ndarray) -> tuple[float, float]:
    """The (yaw, pitch) for `set_gaze` of eyes that look into the camera; beyond -1..1 where they cannot.

    Args:
        rotation: float64 [3, 3], of the head relative to the viewing ray, x_camera = rotation x_head.
    """
    x, y, z = rotation[2]  # the camera's direction in the head's frame
    return float(np.arctan2(x, z) / YAW_FULL), float(np.arcsin(np.clip(y, -1, 1)) / PITCH_FULL)


def add_gaze(values: np.ndarray, rng: np.random.Generator, rotation: np.ndarray | None = None) -> None:
    """Write a random gaze into `values` [51], in place: at the camera, where `rotation` says how the head is
    turned to it (as for `toward_camera`), or anywhere; both eyes together, crossed or diverging."""
    spread = rng.uniform(0.15, 0.6)
    yaw, pitch = rng.normal(0, spread), rng.normal(-0.05, spread * 0.8)
    draw = rng.random()
    if draw < 0.75:
        vergence = max(rng.normal(0.03, 0.05), -0.02)
    elif draw < 0.9:  # crossed
        vergence = rng.uniform(0.1, 0.9)
    else:  # diverging
        vergence = rng.uniform(-0.4, -0.05)
    if rotation is not None and rng.random() < AT_CAMERA:
        aim = toward_camera(rotation)
        if max(map(abs, aim)) < 1:
            yaw, pitch = aim + rng.normal((0.0, SCREEN), NEAR_CAMERA)
            vergence = max(rng.normal(0.03, 0.03), 0.0)
    set_gaze(values, yaw, pitch, vergence)


def lower_lids(values: np.ndarray, rng: np.random.Generator) -> None:
    """Let eyeBlink of `values` [51] follow eyes that look down, in place."""
    if rng.random() < LIDS_FOLLOW:
        share = rng.uniform(0.0, MAX_FOLLOW)
        for side in ("Left", "Right"):
            blink, down = INDEX["eyeBlink" + side], INDEX["eyeLookDown" + side]
            values[blink] = max(values[blink], share * values[down])
