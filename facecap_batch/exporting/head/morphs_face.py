"""Morph targets over the whole face: the measured field, folds, and what rides on the skin.

In: `Rig`. Out: every target's offsets at weight 1 for the left side, the middle or both, float64 [V, 3].
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.exporting.head.measured import measured_motion, skin_field
from facecap_batch.exporting.head.morphs_eyes import eye_offsets, lid_offsets
from facecap_batch.exporting.head.morphs_mouth import (
    close_lips,
    jaw_motion,
    meet_lips,
    put_out_tongue,
    roll_lip,
    with_inside,
)
from facecap_batch.exporting.head.rig import Rig, smoothstep

_RIDERS = ("browLeft", "browRight", "nostrilLeft", "nostrilRight")
_ONE_HALF = ("eye", "brow", "cheek", "noseSneer")  # what moves one half of the face alone
_NEIGHBOURS = 4  # vertices of the skin that a rider's vertex follows
# The fold from the wing of the nose past the corner of the mouth, cm; left side.
_NASOLABIAL = np.array([[1.75, -4.1, 2.5], [2.35, -4.9, 2.2], [2.95, -5.8, 1.9], [3.35, -6.7, 1.6]])
_FOLD_DEPTH = {"mouthSmileLeft": 0.13, "mouthUpperUpLeft": 0.08, "noseSneerLeft": 0.08,
               "cheekSquintLeft": 0.03, "mouthDimpleLeft": 0.06}  # fmt: skip
_CHEEK, _CHEEK_SIZE = np.array([3.9, -5.6, 0.6]), np.array([1.8, 1.8, 2.6])  # cm
_CHEEK_SWELLING = 0.5  # cm
_FOLD_WIDTH = 0.5  # cm


def face_offsets(rig: Rig) -> dict[str, np.ndarray]:
    """Offsets by a coefficient's name: one-sided targets for the left, the others for both sides."""
    field = skin_field(rig)
    table = measured_motion()
    opened = field.offsets(table["jawOpen"])
    fold = _nasolabial_fold(rig)
    across = rig.vertices[: len(rig.skin.vertices), 0]
    left, beside_middle = smoothstep(0.0, 1.0, across), smoothstep(-0.9, 0.4, across)
    riders = [_rider(rig, part) for part in _RIDERS]
    result = {"tongueOut": put_out_tongue(rig)}
    for name, motion in table.items():
        skin = field.offsets(motion)
        skin += _FOLD_DEPTH.get(name, 0.0) * fold
        if name == "cheekPuff":
            skin += _swollen_cheeks(rig)
        if name.startswith(_ONE_HALF) and name.endswith("Left"):
            skin *= left[:, None] if name.startswith("eye") else beside_middle[:, None]
        if name == "mouthClose":
            close_lips(rig, skin, opened)
        else:
            meet_lips(rig, name, skin)
            roll_lip(rig, name, skin)
        offsets = with_inside(rig, skin, jaw_motion(rig, name, motion))
        offsets += lid_offsets(rig, name, motion) + eye_offsets(rig, name)
        for rider in riders:
            rider.follow(offsets)
        result[name] = offsets
    return result


def _nasolabial_fold(rig: Rig) -> np.ndarray:
    """float64 [skin, 3]: a furrow along the fold's line and a swelling of the cheek outside it, 1 cm deep."""
    count = len(rig.skin.vertices)
    points = rig.vertices[:count]
    starts, ends = _NASOLABIAL[:-1], _NASOLABIAL[1:]
    along = ends - starts
    share = np.einsum("nsk,sk->ns", points[:, None] - starts[None], along) / (along**2).sum(axis=1)
    nearest = starts[None] + np.clip(share, 0.0, 1.0)[..., None] * along
    away = points[:, None] - nearest
    distance = np.linalg.norm(away, axis=2)
    which = distance.argmin(axis=1)
    rows = np.arange(count)
    outside = away[rows, which]
    direction = along[which]
    side = np.sign(outside[:, 0] * -direction[:, 1] + outside[:, 1] * direction[:, 0])  # + toward the cheek
    across = side * distance[rows, which] / _FOLD_WIDTH
    total = np.clip(which + share[rows, which], 0.0, len(starts)) / len(starts)
    fade = np.sin(np.pi * np.clip(0.12 + 0.83 * total, 0.0, 1.0)) ** 0.6
    furrow = -np.exp(-(across**2)) + 0.7 * np.exp(-((across - 1.7) ** 2) / 1.6)
    outward = np.array([0.45, 0.0, 0.9])
    result: np.ndarray = (furrow * fade * (rig.skin.inside == 0))[:, None] * outward
    result[points[:, 0] <= 0.5] = 0.0
    return result


def _swollen_cheeks(rig: Rig) -> np.ndarray:
    """float64 [skin, 3]: cheeks pushed sideways by air; the rigs of the table push them forward alone."""
    points = rig.vertices[: len(rig.skin.vertices)]
    away = (np.column_stack([np.abs(points[:, 0]), points[:, 1:]]) - _CHEEK) / _CHEEK_SIZE
    weight = _CHEEK_SWELLING * np.exp(-(away**2).sum(axis=1)) * (rig.skin.inside == 0)
    result: np.ndarray = np.zeros_like(points)
    result[:, 0] = np.sign(points[:, 0]) * weight
    return result


@dataclasses.dataclass(frozen=True, eq=False)
class _Rider:
    """A part that lies on the skin, and what it follows there."""

    members: np.ndarray  # int [n], its vertices
    nearest: np.ndarray  # int [n, _NEIGHBOURS], vertices of the skin
    weight: np.ndarray  # float64 [n, _NEIGHBOURS], sum 1

    def follow(self, offsets: np.ndarray) -> None:
        """Give its vertices the offsets of the skin beneath them, in place; `offsets`: float64 [V, 3]."""
        offsets[self.members] = np.einsum("nk,nkd->nd", self.weight, offsets[self.nearest])


def _rider(rig: Rig, part: str) -> _Rider:
    skin = np.flatnonzero(rig.skin.inside == 0)
    members = rig.members[part]
    distance = np.linalg.norm(rig.vertices[members][:, None] - rig.vertices[skin][None], axis=2)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :_NEIGHBOURS]
    weight = 1.0 / (np.take_along_axis(distance, nearest, axis=1) + 0.05)
    return _Rider(members, skin[nearest], weight / weight.sum(axis=1, keepdims=True))
