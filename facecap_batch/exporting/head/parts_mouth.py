"""What is in the mouth: two rows of teeth in their gums, and a tongue.

In: nothing but numbers. Out: `Part` records in the middle of the head.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.exporting.head.parts import Part, grid_faces

UPPER_TEETH_Y = (-5.75, -6.62)  # gum line and edge, cm
LOWER_TEETH_Y = (-7.42, -6.60)
UPPER_WIDTHS = (0.84, 0.66, 0.74, 0.68, 0.66, 0.95)  # cm, from the middle outward
LOWER_WIDTHS = (0.54, 0.58, 0.66, 0.68, 0.68, 1.0)
# Across a tooth: fraction of its width, how far it bulges and how far its edge is drawn back, cm.
_ACROSS = ((0.0, -0.11, 0.10), (0.09, 0.0, 0.03), (0.5, 0.06, 0.0), (0.91, 0.0, 0.03))
# Down the gum and the front of the tooth and up its back: fraction from gum line to edge, depth, cm, and how
# much of the bulge there is.
_DOWN = (
    (-0.9, -0.16, 0.0),
    (-0.12, 0.04, 0.3),
    (0.0, -0.03, 0.6),
    (0.6, 0.0, 1.0),
    (0.97, -0.06, 0.9),
    (0.9, -0.4, 0.0),
    (0.0, -0.6, 0.0),
)
_GUM_ROWS = 2  # of `_DOWN`, that end at the gum line
_PAPILLA = 0.16  # cm that the gum reaches down between teeth


def _arch(name: str, front: float, y_root: float, y_edge: float, widths: tuple[float, ...]) -> Part:
    """A row of teeth on half an ellipse, each a bulge of its own with a gap on either side."""
    starts = np.concatenate([[0.0], np.cumsum(widths)])
    along = [
        start + width * step[0] for start, width in zip(starts, widths, strict=False) for step in _ACROSS
    ]
    bulge = [step[1] for _ in widths for step in _ACROSS]
    notch = [step[2] for _ in widths for step in _ACROSS]
    side = np.array([*along, starts[-1]])
    distance = np.concatenate([-side[:0:-1], side])
    swell = np.array([*bulge, _ACROSS[0][1]])
    drawn = np.array([*notch, _ACROSS[0][2]])
    swell, drawn = (np.concatenate([half[:0:-1], half]) for half in (swell, drawn))

    turn = np.linspace(-2.0, 2.0, 601)
    path = np.column_stack([2.6 * np.sin(turn), front - 3.4 * (1.0 - np.cos(turn))])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    length -= length[300]
    x, z = (np.interp(distance, length, path[:, axis]) for axis in (0, 1))
    outward = np.column_stack([np.gradient(-z, distance), np.zeros_like(x), np.gradient(x, distance)])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    down = np.sign(y_edge - y_root)
    between = drawn / _ACROSS[0][2]
    rows = []
    for height, depth, share in _DOWN:
        y = y_root + (y_edge - y_root) * height - down * drawn * (height > 0.9)
        y = y + down * _PAPILLA * between * (abs(height) < 0.2) * (depth > -0.1)
        rows.append(np.column_stack([x, y, z]) + outward * (depth + share * swell)[:, None])
    vertices = np.concatenate(rows)
    vertices[np.abs(vertices[:, 0]) < 1e-9, 0] = 0.0
    faces = grid_faces(len(rows), len(distance))
    per_row = len(distance) - 1
    materials = ("gums",) * (per_row * _GUM_ROWS) + ("teeth",) * (per_row * (len(rows) - 1 - _GUM_ROWS))
    if down > 0:
        faces = faces[:, ::-1].copy()
    return Part(name, vertices, faces, materials)


def upper_teeth() -> Part:
    """The teeth of the skull."""
    return _arch("teethUpper", 1.95, *UPPER_TEETH_Y, UPPER_WIDTHS)


def lower_teeth() -> Part:
    """The teeth of the jaw, a little behind the upper ones."""
    return _arch("teethLower", 1.72, *LOWER_TEETH_Y, LOWER_WIDTHS)


def tongue() -> Part:
    """A flattened, slightly grooved body that lies behind the lower teeth."""
    rings, segments = 7, 16
    turn = 2.0 * np.pi * np.arange(segments) / segments
    rows = []
    for ring in range(1, rings):
        angle = np.pi * ring / rings
        x = 1.35 * np.sin(angle) * np.cos(turn)
        y = 0.42 * np.sin(angle) * np.sin(turn)
        y -= 0.12 * np.exp(-((x / 0.3) ** 2)) * (y > 0.1)
        rows.append(np.stack([x, y, 1.9 * np.cos(angle) + 0.0 * x], axis=1))
    points = np.concatenate([*rows, [[0.0, 0.0, 1.9], [0.0, 0.0, -1.9]]])
    faces = list(grid_faces(rings - 1, segments, closed=True))
    front, back = len(points) - 2, len(points) - 1
    for k in range(segments):
        after = (k + 1) % segments
        faces.append(np.array([front, k, after, -1], np.int32))
        start = (rings - 2) * segments
        faces.append(np.array([back, start + after, start + k, -1], np.int32))
    vertices = points + np.array([0.0, -7.25, -0.85])
    return Part("tongue", vertices, np.array(faces, np.int32), ("tongue",) * len(faces))
