"""Morph targets of the jaw and the mouth.

In: `Rig`. Out: offsets at weight 1, float64 [V, 3], for the left side (`mesh` mirrors them) or both. Fields
are evaluated on the outer skin; the inside of the mouth follows the lip that it hangs on.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.exporting.head.grid import MOUTH_ROW
from facecap_batch.exporting.head.morphs_face import around
from facecap_batch.exporting.head.rig import Rig, smoothstep

JAW_HINGE = np.array([0.0, -1.6, -7.8])  # the axis through both jaw joints, cm
JAW_OPEN = 17.0  # degrees at weight 1
_ROUNDNESS = 5.7  # the mouth's arch is z = c - x^2 / this, cm


def _hinged(rig: Rig, degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    arm = rig.vertices - JAW_HINGE
    result: np.ndarray = arm @ turn.T - arm
    return result


def jaw_weight(rig: Rig) -> np.ndarray:
    """float64 [V], 0..1: how much of the lower jaw's movement each vertex takes."""
    side = np.abs(rig.angle)
    weight = rig.lip_split * (1.0 - smoothstep(62.0, 105.0, side)) * (1.0 - smoothstep(11.0, 13.6, rig.row))
    weight = np.nan_to_num(weight)
    deep = np.zeros(len(weight), np.int32)
    deep[rig.members["skin"]] = rig.skin.inside
    weight = np.where(deep == 4, 0.3, weight)
    weight[rig.members["teethLower"]] = 1.0
    weight[rig.members["tongue"]] = 0.85
    return weight


def _spread(rig: Rig, field: np.ndarray) -> np.ndarray:
    """A field made for the outer skin, carried to the inside of the mouth; other parts do not move."""
    offsets: np.ndarray = field[rig.anchor] * rig.follow[:, None]
    offsets[len(rig.skin.vertices) :] = 0.0
    offsets[: len(rig.skin.vertices)][rig.skin.inside < 0] = 0.0
    return offsets


def _moved(rig: Rig, dx: np.ndarray, dy: np.ndarray, dz: np.ndarray | float) -> np.ndarray:
    """Offsets with the depth that a sideways step costs on the arch of the mouth added."""
    x = rig.vertices[:, 0]
    arch = -((x + dx) ** 2 - x**2) / _ROUNDNESS
    return _spread(rig, np.stack([dx, dy, arch + dz], axis=1))


def _close(rig: Rig, opened: np.ndarray) -> np.ndarray:
    """Lips that meet while the jaw is open: each takes its share of the gap that `opened` made."""
    skin = rig.skin
    edge = np.flatnonzero((skin.row == MOUTH_ROW) & (skin.inside == 0))
    gap: dict[float, np.ndarray] = {}
    for angle in np.unique(skin.angle[edge]):
        column = edge[skin.angle[edge] == angle]
        low = column[skin.lower[column]]
        high = column[~skin.lower[column]]
        if len(low) and len(high):
            gap[float(angle)] = opened[low[0]] - opened[high[0]]
    angles = np.array(sorted(gap))
    gaps = np.array([gap[a] for a in angles])
    beyond = 4.0  # degrees over which the gap closes at the corners
    angles = np.concatenate([[angles[0] - beyond], angles, [angles[-1] + beyond]])
    gaps = np.concatenate([np.zeros((1, 3)), gaps, np.zeros((1, 3))])
    at = np.stack([np.interp(skin.angle, angles, gaps[:, k]) for k in range(3)], axis=1)
    away = skin.row - MOUTH_ROW
    reach = np.where(skin.lower, np.exp(-((away / 2.1) ** 2)), np.exp(-((away / 1.5) ** 2)))
    share = np.where(skin.lower, -0.72, 0.28)
    field = np.zeros_like(rig.vertices)
    field[: len(at)] = at * (share * reach)[:, None]
    return _spread(rig, field)


def mouth_offsets(rig: Rig) -> dict[str, np.ndarray]:
    """Offsets by ARKit name: jaw and mouth, one-sided targets for the left."""
    p = rig.vertices
    x, y = p[:, 0], p[:, 1]
    zero = np.zeros(len(p))
    corner = tuple(rig.corner)
    low, high = rig.lip_split, 1.0 - rig.lip_split
    left = smoothstep(-1.0, 1.5, x)
    jaw = jaw_weight(rig)
    line = -6.45
    lips = np.exp(-(((y - line) / 1.15) ** 2)) * np.exp(-((x / 3.1) ** 4)) * smoothstep(-1.0, 0.8, p[:, 2])
    mouth = np.exp(-(((y - line) / 2.0) ** 2)) * np.exp(-((x / 3.8) ** 4)) * smoothstep(-2.0, 0.5, p[:, 2])
    upper = (
        np.exp(-(((y - line) / 1.25) ** 2))
        * np.exp(-((x / 2.6) ** 4))
        * high
        * smoothstep(-1.0, 0.8, p[:, 2])
    )
    lower = (
        np.exp(-(((y - line) / 1.5) ** 2)) * np.exp(-((x / 2.6) ** 4)) * low * smoothstep(-1.0, 0.8, p[:, 2])
    )
    pull = around(rig, corner, (2.1, 1.9, 2.8)) * left
    tight = around(rig, corner, (1.1, 1.2, 2.0)) * left
    opened = _hinged(rig, JAW_OPEN) * jaw[:, None]
    result: dict[str, np.ndarray] = {
        "jawOpen": opened,
        "jawForward": jaw[:, None] * np.array([0.0, -0.08, 0.85]),
        "jawLeft": jaw[:, None] * np.array([0.95, 0.0, 0.0]),
        "mouthClose": _close(rig, opened),
    }
    arch_part = 1.0 - 0.35 * np.abs(np.clip(x / 2.6, -1, 1))
    result["mouthFunnel"] = _moved(
        rig,
        -0.34 * x * lips,
        0.42 * upper - 0.62 * lower,
        0.62 * mouth * arch_part - 0.35 * np.abs(x) * 0.34 * lips,
    )
    swell = 0.16 * (1.0 - np.exp(-(((y - line) / 0.35) ** 2))) * (upper - lower)  # the edges keep touching
    result["mouthPucker"] = _moved(
        rig, -0.50 * x * lips, swell, 0.75 * mouth * arch_part - 0.30 * np.abs(x) * 0.5 * lips
    )
    result["mouthLeft"] = _moved(rig, 0.95 * mouth, 0.10 * mouth * np.clip(x / 2.5, -1, 1), zero)

    apple = around(rig, (3.9, -3.6, 0.9), (1.6, 1.4, 2.4)) * left
    skin = np.isfinite(rig.row)
    apple = np.where(skin, np.nan_to_num(smoothstep(0.5, 1.6, rig.row)) * apple, 0.0)
    smile = _moved(rig, 0.92 * pull, 0.82 * pull, -0.1 * pull)
    smile += _spread(rig, apple[:, None] * np.array([0.1, 0.38, 0.34]))
    result["mouthSmileLeft"] = smile
    result["mouthFrownLeft"] = _moved(rig, 0.10 * pull, -0.95 * pull, 0.05 * pull)
    result["mouthDimpleLeft"] = _moved(rig, 0.38 * tight, 0.12 * tight, -0.55 * tight)
    result["mouthStretchLeft"] = _moved(rig, 0.95 * pull, -0.28 * pull, zero)

    inward = np.exp(-(((y - line) / 0.75) ** 2)) * np.exp(-((x / 2.5) ** 4)) * smoothstep(-1.0, 0.8, p[:, 2])
    result["mouthRollLower"] = _moved(rig, zero, 0.55 * (line - y) * inward * low, -0.72 * inward * low)
    result["mouthRollUpper"] = _moved(rig, zero, 0.55 * (line - y) * inward * high, -0.70 * inward * high)
    chin = around(rig, (0.0, -8.6, 2.2), (1.9, 1.3, 2.0)) * low
    result["mouthShrugLower"] = _moved(rig, zero, 0.42 * lower + 0.38 * chin, 0.42 * lower + 0.22 * chin)
    result["mouthShrugUpper"] = _moved(rig, zero, 0.16 * upper + 0.2 * swell, 0.55 * upper)
    press_up, press_low = upper * left, lower * left
    result["mouthPressLeft"] = _moved(
        rig, 0.18 * tight, 0.34 * press_low - 0.06 * press_up, -0.34 * (press_low + press_up)
    )
    half = smoothstep(-0.4, 1.1, x) * np.exp(-(((x - 1.1) / 1.5) ** 2))
    result["mouthLowerDownLeft"] = _moved(
        rig, 0.10 * lower * half, -0.85 * lower * half, -0.08 * lower * half
    )
    fold = around(rig, (2.0, -4.8, 2.1), (1.0, 1.0, 2.0)) * left * high
    result["mouthUpperUpLeft"] = _moved(
        rig, zero, 0.75 * upper * half + 0.3 * fold, 0.06 * upper * half + 0.12 * fold
    )
    return result
