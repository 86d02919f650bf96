"""What coefficients do to the points, the lips and the lids of the head in the FBX files.

In: the head, rows. Out: displacements of its named points, how many rows push a lip through the other, and
how far open the lids stay. ``benchmarks/accuracy/head_motion.py`` prints them.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.head import HeadModel
from facecap_batch.exporting.head.anatomy import POINTS, vertex_of
from facecap_batch.exporting.head.grid import COLUMNS, LIP_ROWS, MOUTH_COLUMN, MOUTH_ROW
from facecap_batch.exporting.head.measured import EYE_DISTANCE
from facecap_batch.exporting.head.rig import Rig, build_rig
from facecap_batch.training.heads.face_points import Moved

TOUCHING = 1e-3  # cm; less than that beyond each other counts as touching


def own_points(head: HeadModel) -> Moved:
    """What our head's targets do to the points of the left side and the middle."""
    rig = build_rig()
    vertex = {name: vertex_of(rig, name) for name in POINTS}
    found: Moved = {}
    for morph in head.morphs:
        offsets = np.zeros_like(head.vertices)
        offsets[morph.indices] = morph.offsets
        for name in POINTS:
            found[morph.name, name] = offsets[vertex[name]] / EYE_DISTANCE
    return found


def live_link_rows(file: Path) -> np.ndarray:
    """float64 [N, 51], ARKIT_NAMES order: the rows of a Live Link Face CSV file."""
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    return np.array([[float(row[name[0].upper() + name[1:]]) for name in ARKIT_NAMES] for row in rows])


def lip_columns(rig: Rig) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Vertices of the upper and of the lower lip's red, column by column from right to left."""
    skin = rig.skin
    angles = COLUMNS[:MOUTH_COLUMN]
    upper: list[np.ndarray] = []
    lower: list[np.ndarray] = []
    for angle in [*(-angles[:0:-1]), *angles]:
        column = np.flatnonzero((skin.angle == angle) & (skin.inside == 0))
        for chosen, into in ((column[~skin.lower[column]], upper), (column[skin.lower[column]], lower)):
            order = np.argsort(np.abs(skin.row[chosen] - MOUTH_ROW), kind="stable")
            into.append(chosen[order][: LIP_ROWS + 1])
    return upper, lower


def crossing_rows(head: HeadModel, rows: np.ndarray) -> tuple[int, float]:
    """In how many of `rows` [N, 51] some vertex of a lip is beyond the other lip, and the least gap, cm.

    A vertex of the upper lip is beyond the lower one where it lies lower than that lip's top at its x.
    """
    rig = build_rig()
    upper, lower = lip_columns(rig)
    members = np.unique(np.concatenate([*upper, *lower]))
    shapes = np.zeros((len(ARKIT_NAMES), len(head.vertices), 3))
    for number, morph in enumerate(head.with_morphs(ARKIT_NAMES).morphs):
        shapes[number, morph.indices] = morph.offsets
    where = np.full(len(head.vertices), -1)
    where[members] = np.arange(len(members))
    rest, shapes = head.vertices[members], shapes[:, members]
    high, low = (np.array([where[column] for column in lip]) for lip in (upper, lower))  # [columns, rows]
    crossing, least = 0, np.inf
    for row in rows:
        points = rest + np.tensordot(row, shapes, axes=1)
        bottom, top = points[high], points[low]
        under = bottom[..., 1].min(axis=1)  # of the upper lip, by column
        over = top[..., 1].max(axis=1)  # of the lower lip
        columns = np.arange(len(top))
        at_low = top[columns, top[..., 1].argmax(axis=1), 0]
        at_high = bottom[columns, bottom[..., 1].argmin(axis=1), 0]
        inside = (at_high >= at_low.min()) & (at_high <= at_low.max())
        gap = float((under - np.interp(at_high, at_low, over))[inside].min())
        least = min(least, gap)
        crossing += gap < -TOUCHING
    return crossing, least


def lid_opening(head: HeadModel, weights: dict[str, float]) -> float:
    """How far the left eye is open with both sides' shapes at `weights`, of its opening at rest."""
    rig = build_rig()
    posed = head.posed({f"{name}Left": weight for name, weight in weights.items()})

    def gap(points: np.ndarray) -> float:
        pairs = (("upper lid inner", "lower lid inner"), ("upper lid outer", "lower lid outer"))
        return float(
            np.mean([points[vertex_of(rig, high), 1] - points[vertex_of(rig, low), 1] for high, low in pairs])
        )

    return gap(posed) / gap(head.vertices)
