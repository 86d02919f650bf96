"""Morph targets of the eyes: lids that slide over the eyeball, and the eyeball that turns.

In: `Rig`. Out: offsets at weight 1, float64 [V, 3], for the left eye; `mesh` mirrors them.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.exporting.head.grid import LidOpening
from facecap_batch.exporting.head.rig import Rig
from facecap_batch.exporting.head.surface import EYE_CENTRE

# Degrees that the eye turns at weight 1.
LOOK_UP, LOOK_DOWN, LOOK_SIDE = 24.0, 28.0, 32.0
CLOSED = LidOpening(upper=-0.27, lower=0.27, meet=1.0)
_LIDS = {
    "eyeBlinkLeft": CLOSED,
    "eyeSquintLeft": LidOpening(upper=0.36, lower=0.06),
    "eyeWideLeft": LidOpening(upper=0.82, lower=0.50),
    "eyeLookDownLeft": LidOpening(upper=0.16, lower=0.52),
    "eyeLookUpLeft": LidOpening(upper=0.74, lower=0.34),
    "cheekSquintLeft": LidOpening(upper=0.48, lower=0.19),
}
_TURNS = {  # pitch down, yaw toward the subject's left; degrees
    "eyeLookDownLeft": (LOOK_DOWN, 0.0),
    "eyeLookUpLeft": (-LOOK_UP, 0.0),
    "eyeLookInLeft": (0.0, -LOOK_SIDE),
    "eyeLookOutLeft": (0.0, LOOK_SIDE),
}
_LID_DRIFT = 0.11  # cm that the lids follow a glance to the side


def lids(rig: Rig, opening: LidOpening) -> np.ndarray:
    """float64 [V, 3]: what opening the left eye by `opening` changes."""
    offsets = np.zeros_like(rig.vertices)
    moved = rig.skin.left_half(opening)
    offsets[: len(moved)] = moved - rig.vertices[: len(moved)]
    return offsets


def _turn(rig: Rig, pitch: float, yaw: float) -> np.ndarray:
    offsets = np.zeros_like(rig.vertices)
    members = rig.members["eyeLeft"]
    a, b = np.radians(pitch), np.radians(yaw)
    down = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    side = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    arm = rig.vertices[members] - EYE_CENTRE
    offsets[members] = arm @ (side @ down).T - arm
    return offsets


def eye_offsets(rig: Rig) -> dict[str, np.ndarray]:
    """Offsets of the eyes' morph targets, left side, by ARKit name; cheekSquintLeft holds its lid alone."""
    result = {name: lids(rig, opening) for name, opening in _LIDS.items()}
    for name, (pitch, yaw) in _TURNS.items():
        result[name] = result.get(name, np.zeros_like(rig.vertices)) + _turn(rig, pitch, yaw)
    near = np.exp(-((np.linalg.norm(rig.vertices - EYE_CENTRE - [0, 0, 1.2], axis=1) / 1.0) ** 2))
    skin = np.isfinite(rig.row)
    for name, sign in (("eyeLookInLeft", -1.0), ("eyeLookOutLeft", 1.0)):
        result[name][skin, 0] += sign * _LID_DRIFT * near[skin]
    return result
