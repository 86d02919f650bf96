"""Morph targets of brows, cheeks and nose: soft pushes of the skin around a point.

In: `Rig`. Out: offsets at weight 1, float64 [V, 3], for the left side (`mesh` mirrors them) or both.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.exporting.head.grid import LidOpening
from facecap_batch.exporting.head.morphs_eyes import lids
from facecap_batch.exporting.head.rig import Rig, smoothstep


def around(rig: Rig, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    """float64 [V]: 1 at `centre`, falling to 0.37 at `radii` (cm along x, y, z)."""
    distance = (rig.vertices - np.array(centre)) / np.array(radii)
    result: np.ndarray = np.exp(-(distance**2).sum(axis=1))
    return result


def _push(weight: np.ndarray, vector: tuple[float, float, float]) -> np.ndarray:
    result: np.ndarray = weight[:, None] * np.array(vector)
    return result


def _movable(rig: Rig, *names: str) -> np.ndarray:
    """float64 [V]: 1 on the outer skin and on the parts called `names`, 0 elsewhere."""
    weight = np.zeros(len(rig.vertices))
    weight[rig.members["skin"]] = rig.skin.inside == 0
    for name in names:
        weight[rig.members[name]] = 1.0
    return weight


def _brow_weight(rig: Rig) -> np.ndarray:
    """1 on brow and forehead, 0 on the lids, so that a brow moves without opening the eye."""
    above_lids = 1.0 - smoothstep(-1.55, -0.75, rig.row)
    weight = _movable(rig, "browLeft", "browRight")
    skin = np.isfinite(rig.row)
    weight[skin] *= above_lids[skin]
    return weight


def face_offsets(rig: Rig) -> dict[str, np.ndarray]:
    """Offsets by ARKit name: left brows, cheek and nose; browInnerUp and cheekPuff for both sides."""
    x = rig.vertices[:, 0]
    left = smoothstep(-0.5, 0.5, x)
    brow = _brow_weight(rig)
    skin = _movable(rig)
    inner = around(rig, (1.3, 2.0, 2.0), (1.5, 1.6, 3.0))
    middle = around(rig, (2.9, 2.3, 1.8), (1.5, 1.6, 3.0))
    outer = around(rig, (4.5, 2.2, 0.8), (1.7, 1.8, 3.0))

    lowered = _push(left * brow * inner, (-0.32, -0.62, 0.18)) + _push(
        left * brow * middle, (-0.12, -0.42, 0.12)
    )
    lowered += _push(left * brow * outer, (0.0, -0.15, 0.0))
    heavy = 0.35 * lids(rig, LidOpening(upper=0.34, lower=0.40))

    both_inner = inner + around(rig, (-1.3, 2.0, 2.0), (1.5, 1.6, 3.0))
    both_inner *= 1.0 / max(1.0, float(both_inner[np.isfinite(rig.row)].max()))
    raised = _push(brow * both_inner, (0.0, 1.05, 0.05))

    cheek = around(rig, (4.0, -5.4, 0.4), (2.1, 1.9, 2.6)) * skin * rig.follow
    fuller = _push(cheek, (0.95, 0.0, 0.65))
    right_cheek = around(rig, (-4.0, -5.4, 0.4), (2.1, 1.9, 2.6)) * skin * rig.follow
    fuller += _push(right_cheek, (-0.95, 0.0, 0.65))

    lift = around(rig, (3.9, -2.6, 1.2), (1.7, 1.3, 2.5)) * skin * smoothstep(0.35, 1.3, rig.row)
    lifted = _push(np.nan_to_num(lift), (0.0, 0.7, 0.42))

    wing = around(rig, (1.15, -3.9, 2.6), (0.8, 0.9, 1.4)) * left * skin
    beside = around(rig, (1.9, -4.9, 2.2), (0.9, 1.0, 1.6)) * left * skin * (1.0 - rig.lip_split)
    wrinkle = around(rig, (1.0, -1.0, 1.5), (0.6, 1.0, 1.2)) * left * skin
    wrinkle *= np.nan_to_num(1.0 - np.exp(-(((x - 3.15) / 1.3) ** 2)) * (np.abs(rig.row) < 0.7))
    sneer = (
        _push(wing, (0.15, 0.62, 0.05))
        + _push(beside, (0.06, 0.48, 0.2))
        + _push(wrinkle, (-0.06, 0.12, 0.24))
    )
    sneer += _push(left * brow * inner, (-0.05, -0.18, 0.05))
    return {
        "browDownLeft": lowered + heavy,
        "browInnerUp": raised,
        "browOuterUpLeft": _push(left * brow * outer, (0.05, 0.95, 0.0))
        + _push(left * brow * middle, (0.0, 0.4, 0.0)),
        "cheekPuff": fuller,
        "cheekSquintLeft": lifted,
        "noseSneerLeft": sneer,
    }
