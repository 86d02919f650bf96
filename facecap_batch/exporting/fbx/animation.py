"""The animated part of the FBX: values and curves of a clip.

In: a `CoefficientTable`. Out: `Motion` (times, percents, joint rotation and translation as arrays) and from
it the nodes of one stack, one layer and their curves. Keys are linear, one per frame that has a value. Frames
without values get no key: blendshapes and translation run straight from the last known value to the next, a
gap at the clip's start or end holds the nearest value, and a clip without any value shows the resting head.
The joint's rotation keeps its keys through a gap (see `_bridged`).
"""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import LOOK_COLUMNS, CoefficientTable
from facecap_batch.exporting.fbx.binary import Node, Packed, array, node, packed
from facecap_batch.exporting.fbx.key_times import key_ticks
from facecap_batch.exporting.fbx.scene import Scene, connect, properties, tagged
from facecap_batch.exporting.frame_times import frame_rate
from facecap_batch.exporting.rigs.rig import Channels
from facecap_batch.geometry import eye_turns

LINEAR_KEYS = 0x6104  # KeyAttrFlags: linear interpolation
AXES = ("X", "Y", "Z")


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """A clip's animation in FBX's units; NaN where nothing is known."""

    rate: Fraction  # frames per second that the file states
    ticks: np.ndarray  # int64 [N], strictly increasing from 0, KTime
    names: tuple[str, ...]  # of the shapes
    percents: np.ndarray  # float32 [shapes, N], 100 is a shape in full
    rotation: np.ndarray  # float32 [3, N], degrees, x y z of Rz Ry Rx, unwrapped
    translation: np.ndarray  # float32 [3, N], centimetres
    eyes: np.ndarray  # float32 [2, 2, N], degrees, left and right eye: about x (> 0 down) and about y
    extra: dict[str, np.ndarray]  # an output of the regressor's own, by name -> float32 [N], unscaled


def joint_rotation(head: np.ndarray) -> np.ndarray:
    """The head's rotation in the order of FBX's joints.

    Of the two triples of angles that give a rotation, and of their whole turns, the one nearest to the row
    before is taken.

    Args:
        head: float [N, 6] (`CoefficientTable.head`), radians and centimetres, R = Ry(yaw) Rx(pitch) Rz(roll).

    Returns:
        float64 [3, N], degrees about x, y, z with R = Rz Ry Rx, unwrapped over time; NaN where `head` is.
    """
    yaw, pitch, roll = (np.asarray(head[:, column], np.float64) for column in range(3))
    result: np.ndarray = np.full((3, len(head)), np.nan)
    known = np.flatnonzero(~np.isnan(head[:, :3]).any(axis=1))
    if len(known) == 0:
        return result
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    # The entries of Ry Rx Rz that the angles of Rz Ry Rx are read from.
    r00, r10, r20 = cy * cr + sy * sp * sr, cp * sr, -sy * cr + cy * sp * sr
    r21, r22 = sy * sr + cy * sp * cr, cy * cp
    first = np.stack([np.arctan2(r21, r22), np.arcsin(np.clip(-r20, -1.0, 1.0)), np.arctan2(r10, r00)])[
        :, known
    ]
    unwrapped = np.unwrap(first, axis=1)
    if np.abs(np.diff(unwrapped, axis=1)).max(initial=0.0) > np.pi / 4:
        unwrapped = _nearest_branches(first)
    result[:, known] = np.degrees(unwrapped)
    return result


def _nearest_branches(first: np.ndarray) -> np.ndarray:
    """Choose between (x, y, z) and (x + 180°, 180° - y, z + 180°) row by row, near a pitch of 90°."""
    second = np.stack([first[0] + np.pi, np.pi - first[1], first[2] + np.pi])
    chosen: np.ndarray = first.copy()
    whole_turn = 2.0 * np.pi
    for column in range(1, first.shape[1]):
        before = chosen[:, column - 1]
        candidates = np.stack([first[:, column], second[:, column]])
        candidates += whole_turn * np.round((before - candidates) / whole_turn)
        chosen[:, column] = candidates[np.argmin(np.abs(candidates - before).sum(axis=1))]
    return chosen


def clip_motion(table: CoefficientTable, channels: Channels | None = None) -> Motion:
    """The animation of `table` in FBX's units; an empty table gives one frame without values.

    Args:
        table: the clip.
        channels: the clip in the channels of a rig; None: in ours.
    """
    names = table.shape_names if channels is None else channels.names
    values = table.coefficients if channels is None else channels.values
    rate = frame_rate(table)
    count = max(1, len(table))
    ticks = key_ticks(table, rate)
    percents = np.full((len(names), count), np.nan, np.float32)
    rotation = np.full((3, count), np.nan, np.float32)
    translation = np.full((3, count), np.nan, np.float32)
    eyes = np.full((2, 2, count), np.nan, np.float32)
    if len(table):
        percents = np.asarray(values, np.float32).T * np.float32(100.0)
        rotation = _bridged(joint_rotation(table.head), ticks).astype(np.float32)
        translation = np.asarray(table.head[:, 3:6], np.float32).T
        eyes = _eye_rotations(table)
    extra = dict(zip(table.extra_names, np.asarray(table.extra, np.float32).T, strict=True))
    return Motion(rate, ticks, names, percents, rotation, translation, eyes, extra if len(table) else {})


def _eye_rotations(table: CoefficientTable) -> np.ndarray:
    """`Motion.eyes` of a table with rows: the gaze that its eyeLook coefficients are."""
    turns = np.degrees(eye_turns(table.coefficients[:, LOOK_COLUMNS]))  # [N, eye, (yaw, pitch up)]
    about = np.stack([-turns[..., 1], turns[..., 0]], axis=-1) + 0.0
    result: np.ndarray = np.moveaxis(about, 0, 2).astype(np.float32)
    return result


def _bridged(rotation: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """`rotation` with its gaps filled linearly, angle by angle, and its ends held.

    Between two far keys some readers interpolate angles and others quaternions; keys on every frame of a gap
    make all of them turn the head the same way.
    """
    known = ~np.isnan(rotation[0])
    if not known.any():
        return rotation
    return np.stack([np.interp(ticks, ticks[known], angles[known]) for angles in rotation])


class _Curves:
    """Makes curve nodes; what surrounds the values is encoded once for each pattern of known frames."""

    def __init__(self, ticks: np.ndarray) -> None:
        self._ticks = ticks
        self._patterns: dict[bytes, tuple[np.ndarray, Packed, Packed]] = {}

    def _around(self, keyed: np.ndarray) -> tuple[np.ndarray, Packed, Packed]:
        """Indices of the frames that `keyed` (bool [N]) marks; what comes before and after their values."""
        pattern = keyed.tobytes()
        if pattern not in self._patterns:
            where = np.flatnonzero(keyed)
            before = [node("KeyVer", 4008), node("KeyTime", array(self._ticks[where], "i8"))]
            after = [
                node("KeyAttrFlags", array([LINEAR_KEYS], "i4")),
                node("KeyAttrDataFloat", array([0.0, 0.0, 0.0, 0.0], "f4")),
                node("KeyAttrRefCount", array([len(where)], "i4")),
            ]
            self._patterns[pattern] = (where, packed(before), packed(after))
        return self._patterns[pattern]

    def curve(self, identity: int, values: np.ndarray) -> tuple[Node, float]:
        """A curve through the finite `values` (float32 [N]), and its first value.

        Frames without a value get no key, so readers interpolate over them; where they touch the clip's start
        or end, one key on the first or last frame holds the nearest value, so that every curve spans the
        clip. A curve with no value at all rests at 0.
        """
        known = np.isfinite(values)
        if not known.any():
            values = np.zeros_like(values)
        elif not (known[0] and known[-1]):
            values = values.copy()
            inside = np.flatnonzero(known)
            values[: inside[0]] = values[inside[0]]
            values[inside[-1] :] = values[inside[-1]]
        keyed = known.copy()
        keyed[[0, -1]] = True
        where, before, after = self._around(keyed)
        first = float(values[where[0]])
        made = node(
            "AnimationCurve",
            np.int64(identity),
            tagged("", "AnimCurve"),
            "",
            children=[
                node("Default", first),
                before,
                node("KeyValueFloat", array(values[where], "f4")),
                after,
            ],
        )
        return made, first


def animation(motion: Motion, scene: Scene, take: str) -> tuple[list[Node], list[Node]]:
    """Make one stack that animates `scene`.

    Args:
        motion: the clip's animation.
        scene: the objects that the curves attach to.
        take: name of the stack.

    Returns:
        Nodes for Objects, and nodes for Connections.
    """
    ids = itertools.count(scene.next_id)
    stack, layer = next(ids), next(ids)
    stop = np.int64(motion.ticks[-1])
    curves = _Curves(motion.ticks)
    objects = [
        node(
            "AnimationStack",
            np.int64(stack),
            tagged(take, "AnimStack"),
            "",
            children=[
                properties(
                    ("LocalStart", "KTime", "Time", "", np.int64(0)),
                    ("LocalStop", "KTime", "Time", "", stop),
                    ("ReferenceStart", "KTime", "Time", "", np.int64(0)),
                    ("ReferenceStop", "KTime", "Time", "", stop),
                )
            ],
            closed=True,
        ),
        node("AnimationLayer", np.int64(layer), tagged("base", "AnimLayer"), "", closed=True),
    ]
    connections = [connect(layer, stack)]

    def curve_node(name: str, owner: int, target: str, fields: dict[str, np.ndarray]) -> None:
        group = next(ids)
        identities = {field: next(ids) for field in fields}
        made = {field: curves.curve(identities[field], values) for field, values in fields.items()}
        rows = [(field, "Number", "", "A", first) for field, (_, first) in made.items()]
        objects.append(
            node(
                "AnimationCurveNode",
                np.int64(group),
                tagged(name, "AnimCurveNode"),
                "",
                children=[properties(*rows)],
            )
        )
        connections.extend([connect(group, layer), connect(group, owner, target)])
        for field, (curve, _) in made.items():
            objects.append(curve)
            connections.append(connect(identities[field], group, field))

    for name, values in zip(motion.names, motion.percents, strict=True):
        if name not in scene.channel_ids:  # a rig's channel that no shape of the head is for
            curve_node(name, scene.joint_id, name, {f"d|{name}": values / np.float32(100.0)})
            continue
        curve_node("DeformPercent", scene.channel_ids[name], "DeformPercent", {"d|DeformPercent": values})
    for name, target, block in (
        ("T", "Lcl Translation", motion.translation),
        ("R", "Lcl Rotation", motion.rotation),
    ):
        fields = {f"d|{axis}": values for axis, values in zip(AXES, block, strict=True)}
        curve_node(name, scene.joint_id, target, fields)
    for eye, angles in zip(scene.eye_ids, motion.eyes, strict=True):
        fields = {f"d|{axis}": values for axis, values in zip(AXES, angles, strict=False)}
        curve_node("R", eye, "Lcl Rotation", fields)
    for name, values in motion.extra.items():
        curve_node(name, scene.joint_id, name, {f"d|{name}": values})
    return objects, connections
