"""The moving part of the FBX: key times, values and curves of a clip.

In: a `CoefficientTable`. Out: `Motion` (times, percents, joint rotation and translation as arrays) and from
it the nodes of one stack, one layer and their curves. Keys are linear, one per frame that has a value. Frames
where nothing is known get no key: blendshapes and translation run straight from the last known value to the
next, a gap at the clip's start or end holds the nearest one, and a clip in which nothing is known rests. The
joint's rotation keeps its keys through a gap (see `_bridged`).
"""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.exporting.fbx.binary import Encoded, Node, array, node
from facecap_batch.exporting.fbx.scene import Scene, connect, properties, tagged

TICKS_PER_SECOND = 46_186_158_000  # FBX's KTime
LINEAR_KEYS = 0x6104  # KeyAttrFlags: linear interpolation
GRID_TOLERANCE = Fraction(1, 1_000_000)  # seconds; PTS this close to the frame grid are the frame grid
FALLBACK_RATE = Fraction(30)  # for a source that states no frame rate, such as a single image
AXES = ("X", "Y", "Z")


@dataclasses.dataclass(frozen=True)
class Motion:
    """A clip's animation in FBX's units; NaN where nothing is known."""

    rate: Fraction  # frames per second that the file states
    ticks: np.ndarray  # int64 [N], strictly increasing from 0, KTime
    percents: np.ndarray  # float32 [51, N], 0..100, ARKIT_NAMES order
    rotation: np.ndarray  # float32 [3, N], degrees, x y z of Rz Ry Rx, unwrapped
    translation: np.ndarray  # float32 [3, N], centimetres
    extra: dict[str, np.ndarray]  # name of an output of the regressor's own -> float32 [N], as it is


def key_ticks(table: CoefficientTable, rate: Fraction) -> np.ndarray:
    """int64 [N]: KTime of each row, from 0 at the first row.

    A row's time is its PTS times the time base, exactly. Where the PTS are the frame grid, to within a
    microsecond, the grid's own k / rate is used, so that keys of a constant-rate clip lie on frames. PTS that
    a container rounded more coarsely (Matroska's milliseconds) are kept: the value was seen then. Every time
    is rounded once, from the exact rational. Rows that share a time are pushed apart by one tick, because FBX
    wants increasing times.
    """
    if len(table) == 0:
        return np.zeros(1, np.int64)
    base = table.info.time_base
    frames = (np.asarray(table.frame_index, np.int64) - int(table.frame_index[0])).tolist()
    steps = (np.asarray(table.pts, np.int64) - int(table.pts[0])).tolist()
    # Whole numbers throughout: as fractions, ten thousand rows would cost more than all the curves.
    by_pts, by_grid = base.numerator * rate.numerator, base.denominator * rate.denominator
    limit = int(GRID_TOLERANCE * base.denominator * rate.numerator)
    on_grid = all(abs(s * by_pts - f * by_grid) <= limit for s, f in zip(steps, frames, strict=True))
    counts, unit = (frames, 1 / rate) if on_grid else (steps, base)
    above, below = TICKS_PER_SECOND * unit.numerator, unit.denominator
    ticks = np.array([_rounded(count * above, below) for count in counts], np.int64)
    order = np.arange(len(ticks))
    return np.maximum.accumulate(ticks - order) + order


def _rounded(above: int, below: int) -> int:
    """The whole number nearest above / below; halves go to the even one, as `round` does."""
    whole, rest = divmod(above, below)
    return whole + (2 * rest > below or (2 * rest == below and whole % 2 == 1))


def joint_rotation(head: np.ndarray) -> np.ndarray:
    """float64 [3, N]: degrees about x, y, z with R = Rz Ry Rx, unwrapped over time; NaN where `head` is.

    `head` is float [N, 6] (`CoefficientTable.head`), whose R = Ry(yaw) Rx(pitch) Rz(roll). Of the two triples
    that give a rotation, and of their whole turns, the one nearest the row before is taken.
    """
    yaw, pitch, roll = (np.asarray(head[:, column], np.float64) for column in range(3))
    result = np.full((3, len(head)), np.nan)
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
    """Choose between (x, y, z) and (x + 180°, 180° - y, z + 180°) row by row, near a turn of 90°."""
    second = np.stack([first[0] + np.pi, np.pi - first[1], first[2] + np.pi])
    chosen = first.copy()
    turn = 2.0 * np.pi
    for column in range(1, first.shape[1]):
        before = chosen[:, column - 1]
        candidates = np.stack([first[:, column], second[:, column]])
        candidates += turn * np.round((before - candidates) / turn)
        chosen[:, column] = candidates[np.argmin(np.abs(candidates - before).sum(axis=1))]
    return chosen


def _frame_rate(table: CoefficientTable) -> Fraction:
    """The rate that tools show the take at: the clip's own, a whole number where the clip has no frame grid.

    Keys of a variable-rate clip stand at their own times under any rate; Blender's Python importer, however,
    drops the fraction of a custom rate and would play the take slower or faster by it.
    """
    if table.info.fps <= 0:
        return FALLBACK_RATE
    if table.info.variable_rate:
        return Fraction(max(1, round(table.info.fps)))
    return table.info.fps


def motion(table: CoefficientTable) -> Motion:
    """The animation of `table`; an empty table gives one frame without values."""
    rate = _frame_rate(table)
    count = max(1, len(table))
    ticks = key_ticks(table, rate)
    percents = np.full((len(ARKIT_NAMES), count), np.nan, np.float32)
    rotation = np.full((3, count), np.nan, np.float32)
    translation = np.full((3, count), np.nan, np.float32)
    if len(table):
        percents = np.asarray(table.coefficients, np.float32).T * np.float32(100.0)
        rotation = _bridged(joint_rotation(table.head), ticks).astype(np.float32)
        translation = np.asarray(table.head[:, 3:6], np.float32).T
    extra = dict(zip(table.extra_names, np.asarray(table.extra, np.float32).T, strict=True))
    return Motion(rate, ticks, percents, rotation, translation, extra if len(table) else {})


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
    """Makes curve nodes; key times are compressed once for each pattern of known frames."""

    def __init__(self, ticks: np.ndarray) -> None:
        self._ticks = ticks
        self._times: dict[bytes, tuple[np.ndarray, Encoded, Encoded]] = {}
        self._flags = array([LINEAR_KEYS], "i4")
        self._data = array([0.0, 0.0, 0.0, 0.0], "f4")

    def curve(self, identity: int, values: np.ndarray) -> Node:
        """A curve through the finite `values` (float32 [N]).

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
        pattern = keyed.tobytes()
        if pattern not in self._times:
            where = np.flatnonzero(keyed)
            self._times[pattern] = (where, array(self._ticks[where], "i8"), array([len(where)], "i4"))
        where, times, count = self._times[pattern]
        return node(
            "AnimationCurve",
            np.int64(identity),
            tagged("", "AnimCurve"),
            "",
            children=[
                node("Default", float(values[where[0]])),
                node("KeyVer", 4008),
                node("KeyTime", times),
                node("KeyValueFloat", array(values[where], "f4")),
                node("KeyAttrFlags", self._flags),
                node("KeyAttrDataFloat", self._data),
                node("KeyAttrRefCount", count),
            ],
        )


def animation(moving: Motion, scene: Scene, take: str) -> tuple[list[Node], list[Node]]:
    """Objects and connections of one stack called `take` that animates `scene` with `moving`."""
    ids = itertools.count(scene.next_id)
    stack, layer = next(ids), next(ids)
    stop = np.int64(moving.ticks[-1])
    curves = _Curves(moving.ticks)
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

    def curve_node(name: str, owner: int, place: str, fields: dict[str, np.ndarray]) -> None:
        group = next(ids)
        made = {field: curves.curve(next(ids), values) for field, values in fields.items()}
        rows = [(field, "Number", "", "A", curve.children[0].properties[0]) for field, curve in made.items()]
        objects.append(
            node(
                "AnimationCurveNode",
                np.int64(group),
                tagged(name, "AnimCurveNode"),
                "",
                children=[properties(*rows)],
            )
        )
        connections.extend([connect(group, layer), connect(group, owner, place)])
        for field, curve in made.items():
            objects.append(curve)
            connections.append(connect(int(curve.properties[0]), group, field))  # type: ignore[arg-type]

    for name, values in zip(ARKIT_NAMES, moving.percents, strict=True):
        curve_node("DeformPercent", scene.channel_ids[name], "DeformPercent", {"d|DeformPercent": values})
    for name, place, block in (
        ("T", "Lcl Translation", moving.translation),
        ("R", "Lcl Rotation", moving.rotation),
    ):
        fields = {f"d|{axis}": values for axis, values in zip(AXES, block, strict=True)}
        curve_node(name, scene.joint_id, place, fields)
    for name, values in moving.extra.items():
        curve_node(name, scene.joint_id, name, {f"d|{name}": values})
    return objects, connections
