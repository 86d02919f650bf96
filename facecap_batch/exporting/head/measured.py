"""How far each morph target moves the points of a face: a table, and the field over the skin that meets it.

In: ``measured_motion.csv``, displacements measured on rigs that are named in it, and `Rig`. Out: offsets of
all vertices. Between the points the skin follows a smooth interpolation, in a space in which the two lips lie
apart although they touch; the lids, which slide over the eyeball, are left out and made in `morphs_eyes`.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
from pathlib import Path

import numpy as np

from facecap_batch.exporting.head.anatomy import LIDS, MIDDLE, POINTS, vertex_of
from facecap_batch.exporting.head.grid import COLUMNS, EYE_COLUMNS, EYE_ROW
from facecap_batch.exporting.head.rig import Rig, smoothstep
from facecap_batch.exporting.head.surface import EYE_CENTRE

TABLE = Path(__file__).with_name("measured_motion.csv")
EYE_DISTANCE = 2.0 * float(EYE_CENTRE[0])  # cm, the unit of the table is a thousandth of it
LIPS_APART = 3.0  # cm that upper and lower lip count as apart where they touch
_SOFTNESS = 0.9  # cm, width of the interpolation's bumps
_FLIP = np.array([-1.0, 1.0, 1.0])

Motion = dict[str, np.ndarray]  # point -> float64 [3], centimetres at weight 1; points that rest are absent


@functools.cache
def measured_motion() -> dict[str, Motion]:
    """What the table holds, by ARKit name, for the left side and the middle."""
    found: dict[str, Motion] = {}
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            vector = np.array([float(row[axis]) for axis in "xyz"]) * EYE_DISTANCE / 1000.0
            found.setdefault(row["shape"], {})[row["point"]] = vector
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class SkinField:
    """Carries displacements of the named points to all vertices of the skin."""

    weights: np.ndarray  # float64 [skin, P], rows sum to at most 1
    names: tuple[str, ...]  # [P]

    def offsets(self, motion: Motion) -> np.ndarray:
        """float64 [skin, 3], centimetres: the outer skin moved by `motion`."""
        moved = np.array([motion.get(name, np.zeros(3)) for name in self.names])
        result: np.ndarray = self.weights @ moved
        return result


def skin_field(rig: Rig) -> SkinField:
    """The interpolation over the skin of `rig`: exact at the points, smooth between, 0 off the face."""
    count = len(rig.skin.vertices)
    place = np.column_stack([rig.vertices[:count], LIPS_APART * rig.lip_split[:count]])
    vertices, names = [], []
    for name in POINTS:
        if name in LIDS:
            continue
        vertex = vertex_of(rig, name)
        vertices.append(vertex)
        names.append(name)
        if name not in MIDDLE:
            vertices.append(int(rig.skin.mirror[vertex]))
            names.append(f"right {name}")
    centres = place[vertices]
    # Multiquadrics and a constant: the weights of a vertex sum to 1.
    size = len(centres)
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = _bump(centres, centres)
    system[size, size] = 0.0
    right_side = np.column_stack([_bump(place, centres), np.ones(count)])
    weights = np.linalg.solve(system, right_side.T)[:size].T
    return SkinField(weights * _reach(rig)[:, None], tuple(names))


def _bump(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    squared = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
    result: np.ndarray = np.sqrt(squared + _SOFTNESS**2)
    return result


def _reach(rig: Rig) -> np.ndarray:
    """1 on the face, 0 on the back of the head, crown and neck, and on the lids."""
    skin = rig.skin
    side = np.abs(skin.angle)
    face = (1.0 - smoothstep(66.0, 105.0, side)) * (1.0 - smoothstep(11.0, 13.6, skin.row))
    face *= smoothstep(-9.0, -4.6, skin.row)
    first, last = (float(COLUMNS[column]) for column in EYE_COLUMNS)
    across = smoothstep(first - 5.0, first, side) * (1.0 - smoothstep(last, last + 6.0, side))
    lid = across * np.exp(-((np.abs(skin.row - EYE_ROW) / 0.85) ** 2.5))
    result: np.ndarray = face * (1.0 - lid)
    result[skin.inside < 0] = 0.0
    return result
