"""Morph targets of the eyes: lids that slide over the eyeball, and the eyeball that turns.

In: `Rig` and the table of measured motion. Out: offsets at weight 1, float64 [V, 3], for the left eye; `mesh`
mirrors them.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.exporting.head.grid import LidOpening
from facecap_batch.exporting.head.measured import Motion
from facecap_batch.exporting.head.rig import Rig
from facecap_batch.exporting.head.surface import EYE_CENTRE
from facecap_batch.geometry import PITCH_FULL, YAW_FULL, matrix_from_euler

CLOSED = LidOpening(upper=-0.27, lower=0.27, meet=1.0)
TURNS = {  # pitch down, yaw toward the subject's left; radians
    "eyeLookDownLeft": (PITCH_FULL, 0.0),
    "eyeLookUpLeft": (-PITCH_FULL, 0.0),
    "eyeLookInLeft": (0.0, -YAW_FULL),
    "eyeLookOutLeft": (0.0, YAW_FULL),
}
_LID_DRIFT = 0.2  # cm that the lids follow a glance to the side
_OVERLAP_CM, _EDGE_CM, _LID_REACH = 0.04, 0.3, 1.75  # of the upper lid over the lower one when it closes
_LEAST_CM = 0.01  # a lid that moves less rests


def _lids(rig: Rig, opening: LidOpening) -> np.ndarray:
    """float64 [V, 3]: what opening the left eye by `opening` changes."""
    offsets = np.zeros_like(rig.vertices)
    moved = rig.skin.left_half(opening)
    offsets[: len(moved)] = moved - rig.vertices[: len(moved)]
    return offsets


def _turn(rig: Rig, pitch: float, yaw: float) -> np.ndarray:
    offsets = np.zeros_like(rig.vertices)
    members = rig.members["eyeLeft"]
    turned = matrix_from_euler(np.array([yaw, pitch, 0.0]))
    arm = rig.vertices[members] - EYE_CENTRE
    offsets[members] = arm @ turned.T - arm
    return offsets


def lid_offsets(rig: Rig, name: str, motion: Motion) -> np.ndarray:
    """float64 [V, 3]: what the target `name` does to the left eye's lids, as far as `motion` moves them."""
    if name == "eyeBlinkLeft":
        closed: np.ndarray = _lids(rig, CLOSED) + _over_lower_lid(rig)
        return closed
    rest = LidOpening()
    upper, lower = (
        float(np.mean([motion.get(f"{lid} lid {end}", np.zeros(3))[1] for end in ("inner", "outer")]))
        for lid in ("upper", "lower")
    )
    offsets = np.zeros_like(rig.vertices)
    if max(abs(upper), abs(lower)) > _LEAST_CM:
        offsets += _lids(rig, LidOpening(rest.upper + upper, rest.lower - lower))
    return offsets


def _over_lower_lid(rig: Rig) -> np.ndarray:
    """float64 [V, 3]: the left upper lid's edge outward, so that it passes before a lower lid that rises."""
    offsets = np.zeros_like(rig.vertices)
    skin = rig.skin
    count = len(skin.left)
    lid = np.flatnonzero(
        (skin.half_lid == 1) & (np.abs(skin.half_row) < 3 * _EDGE_CM) & (skin.half_angle < 45)
    )
    lid = lid[lid < count]
    arm = rig.vertices[lid] - EYE_CENTRE
    length = np.linalg.norm(arm, axis=1)
    weight = _OVERLAP_CM * np.exp(-((skin.half_row[lid] / _EDGE_CM) ** 2)) * (length < _LID_REACH)
    offsets[lid] = arm / length[:, None] * weight[:, None]
    return offsets


def eye_offsets(rig: Rig, name: str) -> np.ndarray:
    """float64 [V, 3]: the left eyeball turned by the target `name`, and lids that follow it sideways."""
    offsets = np.zeros_like(rig.vertices)
    if name not in TURNS:
        return offsets
    pitch, yaw = TURNS[name]
    offsets += _turn(rig, pitch, yaw)
    near = np.exp(-((np.linalg.norm(rig.vertices - EYE_CENTRE - [0, 0, 1.2], axis=1) / 1.0) ** 2))
    skin = np.isfinite(rig.row)
    offsets[skin, 0] += np.sign(yaw) * _LID_DRIFT * near[skin]
    return offsets
