"""What the jaw carries, lips that touch, and the inside of the mouth behind them.

In: `Rig` and the outer skin moved by the table (`measured`). Out: the same with lips that meet and do not
pass each other, the mouth's inside hung on them, and the parts of the lower jaw moved as one bone.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.exporting.head.grid import COLUMNS, MOUTH_COLUMN, MOUTH_ROW
from facecap_batch.exporting.head.measured import EYE_DISTANCE, Motion
from facecap_batch.exporting.head.rig import Rig, smoothstep

JAW_HINGE = np.array([0.0, -1.6, -7.8])  # the axis through both jaw joints, cm
JAW_OPEN = 18.0  # degrees at weight 1: what takes the chin as far as the table says
_BONE = {"teethLower": 1.0, "tongue": 0.85}  # parts that the jaw carries, and how much of its way they go
# The tongue put out, from its root (share 0 of its length at rest) to its tip. How far forward, and how much
# narrower, are thousandths of the distance between the eyeballs: means of MakeHuman's face unit tongueOut
# (CC0), which goes a little less far out. How it rises over the lower teeth, hangs over the lower lip of a
# mouth that is open, and how thick and how round it is at its tip, is ours.
_TONGUE_SHARE = (0.0, 0.05, 0.19, 0.39, 0.61, 0.81, 0.95, 1.0)
_TONGUE_FORWARD = (120.0, 130.0, 180.0, 255.0, 345.0, 400.0, 430.0, 435.0)
_TONGUE_REACH = 1.15
_TONGUE_NARROWER = (0.0, 50.0, 50.0, 45.0, 38.0, 26.0, -25.0, 0.0)
_TONGUE_UP_CM = (0.0, 0.0, 0.08, 0.35, 0.75, 0.42, 0.08, -0.15)
_TONGUE_THICKNESS = (1.0, 1.0, 1.0, 0.95, 0.8, 0.8, 1.1, 1.0)
_THROAT = 0.3  # how much of the jaw's way the back of the mouth goes
# Targets that part the lips, and how much of the gap that the table gives them is left.
_PARTING = {"jawOpen": 1.0, "mouthFunnel": 1.0, "mouthLowerDown": 1.0, "mouthUpperUp": 1.0, "noseSneer": 0.7,
            "mouthShrugUpper": 0.25}  # fmt: skip
# Targets that roll one lip in: the other rests, and what of the lip is still seen ends where the lips met.
_ROLLED = {"mouthRollUpper": False, "mouthRollLower": True}  # whether it is the lower one
_ROLL_ROUNDS = 3
_LEFT_APART_CM = 0.01  # of that line
_LOWER_LIP_TAKES = 0.5  # share of the lower lip where two lips that touch would pass each other
_PRESSED_CM = 0.5  # how far from the lips' edges such a correction reaches
_CLOSED_CM = 1.4  # and one that closes the gap of an open jaw
# The gap is closed whole across and upward; the lower lip stays a little behind, as the turned jaw does.
_CLOSED_SHARE = np.array([1.0, 1.0, 0.7])
_RED_CM = 1.1  # the red of either lip is no wider
_BEYOND_CORNER = 4.0  # degrees over which it ends at the mouth's corners


def jaw_motion(rig: Rig, name: str, motion: Motion) -> np.ndarray | None:
    """float64 [V, 3]: what the bone of the lower jaw does to all vertices; None where it rests."""
    if name == "jawOpen":
        angle = np.radians(JAW_OPEN)
        cos, sin = np.cos(angle), np.sin(angle)
        arm = rig.vertices - JAW_HINGE
        result: np.ndarray = arm @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]).T - arm
        return result
    if name in ("jawForward", "jawLeft"):
        return np.broadcast_to(motion["chin"], rig.vertices.shape)
    return None


def _edge_pairs(rig: Rig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns (degrees, ascending) of the mouth's cut, and the upper and the lower lip's edge in each."""
    skin = rig.skin
    edge = np.flatnonzero((skin.row == MOUTH_ROW) & (skin.inside == 0))
    columns, upper, lower = [], [], []
    for angle in np.unique(skin.angle[edge]):
        column = edge[skin.angle[edge] == angle]
        low, high = column[skin.lower[column]], column[~skin.lower[column]]
        if len(low) and len(high):
            columns.append(float(angle))
            upper.append(int(high[0]))
            lower.append(int(low[0]))
    return np.array(columns), np.array(upper), np.array(lower)


def _shift_lips(rig: Rig, skin: np.ndarray, by: np.ndarray, lower_share: float, reach_cm: float) -> None:
    """Move the lips toward each other by `by` [columns, 3], which ends at the corners; in place."""
    columns, _, _ = _edge_pairs(rig)
    columns = np.concatenate([[columns[0] - _BEYOND_CORNER], columns, [columns[-1] + _BEYOND_CORNER]])
    padded = np.pad(by, ((1, 1), (0, 0)))
    at = np.stack([np.interp(rig.skin.angle, columns, padded[:, axis]) for axis in range(3)], axis=1)
    reach = np.exp(-(((rig.skin.row - MOUTH_ROW) / reach_cm) ** 2))
    share = np.where(rig.skin.lower, lower_share, lower_share - 1.0)
    skin += at * (share * reach)[:, None]


def meet_lips(rig: Rig, name: str, skin: np.ndarray) -> None:
    """Make the moved outer skin [skin, 3], in place, keep the lips together where the target `name` does.

    At rest the lips touch, so no target alone may push one through the other: sums then cannot, either. Those
    that open the mouth may part them; the others move both alike.
    """
    _, upper, lower = _edge_pairs(rig)
    gap = skin[upper] - skin[lower]
    gap[:, 2] = 0.0
    parted = _PARTING.get(name.removesuffix("Left"), 0.0)
    gap[:, 0] *= 1.0 - parted
    gap[:, 1] *= np.where(gap[:, 1] > 0.0, 1.0 - parted, 1.0)
    _shift_lips(rig, skin, gap, _LOWER_LIP_TAKES, _PRESSED_CM)


def roll_lip(rig: Rig, name: str, skin: np.ndarray) -> None:
    """Make a lip of the moved outer skin [skin, 3] that the target `name` rolls in, in place, reach the line
    where the lips met, and nothing of it go beyond: both lips rolled in then meet there.

    Args:
        rig: the head.
        name: a target; of those that roll no lip nothing is changed.
        skin: float64 [skin, 3], how far the outer skin is moved.
    """
    lower = _ROLLED.get(name)
    if lower is None:
        return
    own = rig.skin.lower == lower
    away = np.abs(rig.skin.row - MOUTH_ROW)
    beside = smoothstep(0.0, 3.0 * _BEYOND_CORNER, np.abs(rig.skin.angle) - COLUMNS[MOUTH_COLUMN])
    skin[~own, 1] *= np.maximum(beside, smoothstep(_RED_CM, 2.0 * _RED_CM, away))[~own]
    columns, above, below = _edge_pairs(rig)
    height = rig.vertices[: len(skin), 1]
    sign = 1.0 if lower else -1.0
    met = (height[above] + height[below]) / 2.0 - sign * _LEFT_APART_CM
    red = own & (rig.skin.inside == 0) & (away < _RED_CM)
    lips = [np.flatnonzero(red & (rig.skin.angle == angle)) for angle in columns]
    for _ in range(_ROLL_ROUNDS):
        moved = height + skin[:, 1]
        by = np.zeros((len(columns), 3))
        by[:, 1] = [sign * line - (sign * moved[lip]).max() for line, lip in zip(met, lips, strict=True)]
        _shift_lips(rig, skin, by, float(lower), _CLOSED_CM)
    for line, lip in zip(met, lips, strict=True):
        beyond = sign * (height[lip] + skin[lip, 1] - line)
        skin[lip, 1] -= sign * np.maximum(beyond, 0.0)


def close_lips(rig: Rig, skin: np.ndarray, opened: np.ndarray) -> None:
    """Make the moved outer skin `skin`, in place, undo the gap between the lips of `opened`."""
    _, upper, lower = _edge_pairs(rig)
    gap = (opened[upper] - opened[lower]) + (skin[upper] - skin[lower])
    _shift_lips(rig, skin, gap * _CLOSED_SHARE, 1.0, _CLOSED_CM)


def put_out_tongue(rig: Rig) -> np.ndarray:
    """float64 [V, 3]: the tongue put out; nothing else moves. The mouth is opened by other targets."""
    members = rig.members["tongue"]
    rest = rig.vertices[members]
    middle = (rest.max(axis=0) + rest.min(axis=0)) / 2.0
    share = (rest[:, 2] - rest[:, 2].min()) / np.ptp(rest[:, 2])

    def along(values: tuple[float, ...]) -> np.ndarray:
        found: np.ndarray = np.interp(share, _TONGUE_SHARE, values)
        return found

    thousandth = EYE_DISTANCE / 1000.0
    offsets = np.zeros_like(rig.vertices)
    narrower = np.minimum(thousandth * along(_TONGUE_NARROWER), 0.5 * np.abs(rest[:, 0]))
    offsets[members, 0] = -np.sign(rest[:, 0]) * narrower
    offsets[members, 1] = along(_TONGUE_UP_CM) - (1.0 - along(_TONGUE_THICKNESS)) * (rest[:, 1] - middle[1])
    offsets[members, 2] = _TONGUE_REACH * thousandth * along(_TONGUE_FORWARD)
    return offsets


def with_inside(rig: Rig, skin: np.ndarray, jaw: np.ndarray | None) -> np.ndarray:
    """float64 [V, 3]: the moved outer skin, and what follows it: the mouth's inside, lower teeth, tongue."""
    count = len(skin)
    depth = rig.skin.inside
    hung = depth > 0
    follow = rig.follow[:count, None]
    bone = np.zeros_like(skin)
    if jaw is not None:
        bone = np.where(rig.skin.lower[:, None], jaw[:count], 0.0)
        throat = depth == depth.max()
        bone[throat] = _THROAT * jaw[:count][throat]
    offsets = np.zeros_like(rig.vertices)
    offsets[:count] = np.where(hung[:, None], follow * skin[rig.anchor[:count]] + (1.0 - follow) * bone, skin)
    if jaw is not None:
        for part, share in _BONE.items():
            offsets[rig.members[part]] = share * jaw[rig.members[part]]
    return offsets
