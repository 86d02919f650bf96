"""Points of a face that any head has, by name, and where they lie on this one.

In: nothing. Out: `POINTS`, with which the motion of two heads can be compared: a point is one of the 68
Multi-PIE landmarks, which rigs name, or lies between some of them. Names are of the subject's left and of the
middle; a left point's mirror image is called "right " and its name.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.exporting.head.grid import COLUMNS, MOUTH_COLUMN, MOUTH_ROW
from facecap_batch.exporting.head.rig import Rig


@dataclasses.dataclass(frozen=True)
class Landmark:
    """A point that is a landmark: its number, and the vertex of the left half that it is."""

    number: int  # Multi-PIE, 0..67, of the subject's left or the middle
    angle: float  # degrees around the head
    row: float  # row coordinate; the vertex nearest is taken
    side: str = ""  # "upper" or "lower": of a cut


_CORNER = float(COLUMNS[MOUTH_COLUMN])
LANDMARKS: dict[str, Landmark] = {
    "chin": Landmark(8, 0, 10.75),
    "jaw line 1": Landmark(9, 10.3, 10.4),
    "jaw line 2": Landmark(10, 20.5, 10.4),
    "jaw line 3": Landmark(11, 37, 10.05),
    "jaw line 4": Landmark(12, 52, 8.35),
    "jaw line 5": Landmark(13, 59, 6.18),
    "jaw line 6": Landmark(14, 67, 4.55),
    "jaw line 7": Landmark(15, 67, 2.2),
    "jaw line 8": Landmark(16, 67, 0.0, "lower"),
    "brow 1": Landmark(22, 6.1, -2.05),
    "brow 2": Landmark(23, 14.3, -2.5),
    "brow 3": Landmark(24, 22.8, -2.5),
    "brow 4": Landmark(25, 31.7, -2.05),
    "brow 5": Landmark(26, 41, -1.65),
    "nose bridge 1": Landmark(27, 0, -0.07),
    "nose bridge 2": Landmark(28, 0, 1.0),
    "nose bridge 3": Landmark(29, 0, 2.2),
    "nose tip": Landmark(30, 0, 3.35),
    "nose base": Landmark(33, 0, 4.55),
    "nostril": Landmark(34, 4, 4.55),
    "nose wing": Landmark(35, 8.2, 4.8),
    "inner eye corner": Landmark(42, 12.3, 0.0),
    "upper lid inner": Landmark(43, 18.3, 0.0, "upper"),
    "upper lid outer": Landmark(44, 25.1, 0.0, "upper"),
    "outer eye corner": Landmark(45, 31.7, 0.0),
    "lower lid outer": Landmark(46, 25.1, 0.0, "lower"),
    "lower lid inner": Landmark(47, 18.3, 0.0, "lower"),
    "upper lip border middle": Landmark(51, 0, 5.76),
    "upper lip border peak": Landmark(52, 4, 5.71),
    "upper lip border halfway": Landmark(53, 10.3, 5.92),
    "lip corner": Landmark(54, _CORNER, MOUTH_ROW),
    "lower lip border halfway": Landmark(55, 12.3, 7.0),
    "lower lip border inner": Landmark(56, 6.1, 7.33),
    "lower lip border middle": Landmark(57, 0, 7.42),
    "upper lip edge middle": Landmark(62, 0, MOUTH_ROW, "upper"),
    "upper lip edge halfway": Landmark(63, 6.1, MOUTH_ROW, "upper"),
    "lip edge corner": Landmark(64, 14.3, MOUTH_ROW, "upper"),
    "lower lip edge halfway": Landmark(65, 6.1, MOUTH_ROW, "lower"),
    "lower lip edge middle": Landmark(66, 0, MOUTH_ROW, "lower"),
}
# Points of the skin between landmarks, or beyond: landmarks and their weights.
REGIONS: dict[str, dict[int, float]] = {
    "cheek": {54: 0.35, 12: 0.35, 35: 0.3},
    "outer cheek": {54: 0.25, 12: 0.55, 35: 0.2},
    "cheekbone": {45: 0.5, 13: 0.25, 35: 0.25},
    "under eye": {46: 0.5, 47: 0.2, 35: 0.3},
    "nose side": {42: 0.25, 35: 0.75},
    "nose root": {42: 0.4, 27: 0.6},
    "smile line": {35: 0.6, 54: 0.4},
    "above lip": {35: 0.5, 53: 0.5},
    "philtrum": {33: 0.5, 51: 0.5},
    "chin front": {57: 0.5, 8: 0.5},
    "chin side": {55: 0.5, 10: 0.5},
    "under corner": {54: 0.6, 11: 0.4},
    "between brows": {22: 0.5, 21: 0.5},
    "forehead inner": {22: 1.7, 42: -0.7},
    "forehead middle": {24: 1.7, 44: -0.7},
    "forehead outer": {26: 1.6, 45: -0.6},
}
MIDDLE = frozenset(
    name for name, mark in LANDMARKS.items() if mark.angle == 0
) | {"philtrum", "chin front", "between brows"}  # fmt: skip
LIDS = ("upper lid inner", "upper lid outer", "lower lid outer", "lower lid inner")
POINTS: tuple[str, ...] = (*LANDMARKS, *REGIONS)
_MIRRORED_LANDMARK = {22 + k: 21 - k for k in range(5)} | {21: 22}


def vertex_of(rig: Rig, name: str) -> int:
    """The skin's vertex of the left half or the middle that is the point `name`."""
    if name in LANDMARKS:
        return _landmark_vertex(rig, LANDMARKS[name])
    vertices = rig.vertices
    by_number = {mark.number: vertices[_landmark_vertex(rig, mark)] for mark in LANDMARKS.values()}
    for number, twin in _MIRRORED_LANDMARK.items():
        if number not in by_number:
            by_number[number] = by_number[twin] * [-1.0, 1.0, 1.0]
        if twin not in by_number:
            by_number[twin] = by_number[number] * [-1.0, 1.0, 1.0]
    centre = np.sum([weight * by_number[number] for number, weight in REGIONS[name].items()], axis=0)
    skin = rig.skin.left[(rig.skin.inside[rig.skin.left] == 0) & (rig.skin.half_angle < 90)]
    away = np.linalg.norm(vertices[skin, :2] - centre[:2], axis=1)
    return int(skin[np.argmin(away)])


def _landmark_vertex(rig: Rig, mark: Landmark) -> int:
    skin = rig.skin
    count = len(skin.left)
    side = np.ones(count, bool)
    if mark.side and mark.row == MOUTH_ROW:
        side = skin.lower[:count] == (mark.side == "lower")
    elif mark.side:
        side = skin.half_lid == (1 if mark.side == "upper" else -1)
    usable = np.flatnonzero((skin.inside[:count] == 0) & side)
    away = np.abs(skin.half_angle[usable] - mark.angle) + np.abs(skin.half_row[usable] - mark.row)
    return int(usable[np.argmin(away)])
