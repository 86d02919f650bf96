"""A folder like MakeHuman's whose head is the egg of `head_for_tests`, and the same egg as a head model.

The egg's texture has holes for the eyes and the mouth, so that registration finds them; its skin's colour
says where on the front of the head (x red, y green) a texel belongs. `write_head` adds what hm08 needs beside
that: a neck, helpers, face units and targets.
"""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.heads import registration
from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.heads.hm08.base_mesh import EYEBALLS, HELPERS
from facecap_batch.training.heads.hm08.files import ADDED_UNITS
from facecap_batch.training.heads.hm08.identities import MACRO_NAMES
from facecap_batch.training.mirror import MIRRORED_LANDMARKS
from tests.support.head import EGG, head_for_tests

SHIFT = 7.0  # decimetres from the middle of the test head to MakeHuman's floor
CC0 = "# This asset was explicitly released as CC0 in september 2020.\n"
ROWS, COLUMNS = 60, 80
SPAN = 13.0  # centimetres from the middle of the head to the borders of its texture
FRONTAL = -0.2  # decimetres; behind this the test head has another piece of texture
LIPS = 6.615  # decimetres, height of the line between the lips
GROOVE = 0.12  # decimetres, how deep that line lies on a head with lips
EYE = np.array([0.31, 7.286, 0.66])  # decimetres, centre of the left eye
EYE_RADIUS = 0.14  # decimetres


def egg() -> tuple[np.ndarray, np.ndarray]:
    """Vertices in centimetres and quads of the egg of `head_for_tests`, finer."""
    polar, azimuth = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, ROWS), np.linspace(0, 2 * np.pi, COLUMNS, False), indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], -1)
    row, column = np.divmod(np.arange((ROWS - 1) * COLUMNS), COLUMNS)
    after = (column + 1) % COLUMNS
    first, second = row * COLUMNS, (row + 1) * COLUMNS
    quads = np.stack([first + column, second + column, second + after, first + after], axis=1)
    return unit.reshape(-1, 3) * EGG, quads


def _body(groove: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices in decimetres, quads and whether each quad is off the face's texture.

    groove: decimetres, how deep the line between the lips lies.
    """
    points, quads = egg()
    vertices = points / 10 + [0, SHIFT, 0]
    across, down = vertices[:, 0] / 0.35, (vertices[:, 1] - LIPS) / 0.06
    near = groove * np.where(vertices[:, 2] > 0, np.exp(-(across**4) - down**2 / 2), 0)
    vertices[:, 2] -= near
    vertices[:, 1] += 0.1 * near * np.sign(down) * (1 - across**2)  # the mouth is open in the middle
    middle = vertices[quads].mean(axis=1)
    hole = (np.hypot((np.abs(middle[:, 0]) - 0.31) / 0.13, (middle[:, 1] - 7.286) / 0.06) < 1) | (
        np.hypot(middle[:, 0] / 0.28, (middle[:, 1] - LIPS) / 0.03) < 1
    )
    return vertices, quads, hole | (middle[:, 2] < FRONTAL)


def _base_lines(groove: float = 0.0) -> list[str]:
    vertices, quads, hidden = _body(groove)
    front = (vertices[:, :2] - [0, SHIFT]) * 10 / SPAN / 2 + 0.5
    lines = [CC0, *(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices)]
    lines += [f"vt {u:.6f} {v:.6f}\n" for u, v in np.concatenate([front, front * 0 + 0.01])]
    lines.append("g body\n")
    for quad, away in zip(quads, hidden, strict=True):
        lines.append("f " + " ".join(f"{k + 1}/{k + 1 + away * len(vertices)}" for k in quad) + "\n")
    return lines


def write_skins(folder: Path) -> None:
    """Write the base mesh, a free and an unfree skin, and an eyebrow."""
    vertices, quads, _ = _body()
    middle = vertices[quads].mean(axis=1)
    (folder / "base.obj").write_text("".join(_base_lines()))

    (folder / "textures").mkdir()
    (folder / "skins").mkdir()
    ramp = np.linspace(0, 255, 256)
    red, green = np.meshgrid(ramp, ramp[::-1])
    cv2.imwrite(
        str(folder / "textures" / "map.png"), np.stack([red * 0, green, red], axis=-1).astype(np.uint8)
    )
    for name, header in (("free", CC0), ("unfree", "# all rights reserved\n")):
        (folder / "skins" / f"{name}.mhmat").write_text(header + "diffuseTexture ../textures/map.png\n")

    (folder / "eyebrows").mkdir()
    brow = np.flatnonzero(
        (np.abs(middle[:, 1] - 7.42) < 0.04)
        & (np.abs(np.abs(middle[:, 0]) - 0.33) < 0.2)
        & (middle[:, 2] > 0)
    )
    used = np.unique(quads[brow])
    clothes = [CC0, "x_scale 0 1 1.0\n", "verts 0\n", *(f"{k} 0 0 1 0 0 0 0 0\n" for k in used)]
    (folder / "eyebrows" / "thick.mhclo").write_text("".join(clothes))
    texture = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    sheets = "".join(
        "f " + " ".join(f"{np.searchsorted(used, k) + 1}/{n}" for n, k in enumerate(quads[q], 1)) + "\n"
        for q in brow
    )
    (folder / "eyebrows" / "thick.obj").write_text(CC0 + texture + sheets)
    cv2.imwrite(str(folder / "eyebrows" / "thick.png"), np.full((8, 8, 4), 255, np.uint8))


def write_head(folder: Path) -> None:
    """Write the base mesh with a neck and helpers, face units and targets.

    jawOpen lowers the chin, every other face unit moves the face forward by a hundredth; one macro target
    (``universal-female-young-averagemuscle-averageweight``) raises the left eye.
    """
    lines = _base_lines(GROOVE)
    count = ROWS * COLUMNS
    back = 2 * count  # the last row of uv: a texel of the piece behind the face

    def add(group: str, points: np.ndarray, quads: np.ndarray) -> np.ndarray:
        """Append a group of quads; returns its vertices."""
        nonlocal count
        lines.extend(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in points)
        lines.append(f"g {group}\n")
        lines.extend("f " + " ".join(f"{count + k + 1}/{back}" for k in quad) + "\n" for quad in quads)
        count += len(points)
        return np.arange(count - len(points), count)

    around = np.linspace(0, 2 * np.pi, 12, False)
    rings = [np.stack([0.5 * np.sin(around), 0 * around + y, 0.5 * np.cos(around) - 0.3], 1)
             for y in (6.2, 5.7, 5.5, 5.2)]  # fmt: skip
    ring, step = np.divmod(np.arange(36), 12)
    after = (step + 1) % 12
    neck = np.stack([12 * ring + step, 12 * (ring + 1) + step, 12 * (ring + 1) + after, 12 * ring + after], 1)
    add("body", np.concatenate(rings), neck)
    square = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.05, 0], [0, 0.05, 0]])
    places = {"teeth": [0, LIPS, 0.7], "tongue": [0, LIPS - 0.05, 0.6]}
    for group in HELPERS:
        if "eyelashes" in group:
            side = 1 if "-l-" in group else -1
            add(group, square + EYE * [side, 1, 1] + [0, 0.06, 0.3], np.array([[0, 1, 2, 3]]))
        else:
            position = next(place for word, place in places.items() if word in group)
            add(group, square + np.array(position), np.array([[0, 1, 2, 3]]))
    polar, azimuth = (
        axis.ravel() for axis in np.meshgrid(np.linspace(0.1, 3, 6), np.arange(8) * np.pi / 4, indexing="ij")
    )
    unit = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], 1)
    first = np.array([[8 * r + c, 8 * (r + 1) + c, 8 * (r + 1) + (c + 1) % 8, 8 * r + (c + 1) % 8]
                      for r in range(5) for c in range(8)])  # fmt: skip
    eyes = [
        add(group, EYE * [side, 1, 1] + EYE_RADIUS * unit, first)
        for group, side in zip(EYEBALLS, (1, -1), strict=True)
    ]
    (folder / "base.obj").write_text("".join(lines))

    vertices, _, _ = _body()
    chin = np.flatnonzero((vertices[:, 1] < LIPS) & (vertices[:, 2] > FRONTAL))
    face = np.flatnonzero(vertices[:, 2] > FRONTAL)
    (folder / "faceunits").mkdir()
    for name in ARKIT_NAMES:
        moved, delta = (chin, "0 -0.2 0") if name == "jawOpen" else (face, "0 0 0.01")
        text = "# a face unit\n" + "".join(f"{vertex} {delta}\n" for vertex in moved)
        (folder / "faceunits" / f"{name}.target").write_text(text)
    for name in (*(unit for unit, _ in ADDED_UNITS.values()), *(f"macrodetails/{m}" for m in MACRO_NAMES)):
        path = folder / "targets" / f"{name}.target.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        raised = "".join(f"{vertex} 0 0.02 0\n" for vertex in eyes[0])
        average = name.endswith("universal-female-young-averagemuscle-averageweight")
        path.write_bytes(gzip.compress((raised if average else "# nothing\n").encode()))
    (folder / "targets" / "nose").mkdir()
    for end in ("decr", "incr"):
        (folder / "targets" / "nose" / f"nose-volume-{end}.target").write_text("0 0 0.01 0\n")


def model_on_egg() -> HeadModel:
    """The same egg in the head model's terms, its landmarks where `registration` expects them."""
    points, quads = egg()
    front = np.flatnonzero(points[:, 2] > 0)

    def nearest(x: float, y: float) -> int:
        return int(front[np.argmin(np.hypot(points[front, 0] - x, points[front, 1] - y))])

    marks = np.zeros(68, np.int32)
    for index, x in zip(range(31, 36), (-1.25, -0.6, 0, 0.6, 1.25), strict=True):
        marks[index] = nearest(x, -1.95)
    for left in registration.PICKED:
        right = MIRRORED_LANDMARKS[left]
        x, y = np.array(registration.FRONT[left]) * 10 - [0, SHIFT * 10]
        y += registration.BROW_DROP if 22 <= left <= 26 else 0.0
        marks[left], marks[right] = nearest(x, y), nearest(-x, y)
    right_half = {
        36: (-4.4, 2.86), 37: (-3.6, 3.3), 38: (-2.7, 3.3), 39: (-1.8, 2.86), 40: (-2.7, 2.4),
        41: (-3.6, 2.4),
        60: (-2.4, -3.85), 61: (-1.1, -3.6), 62: (0, -3.6), 66: (0, -4.1), 67: (-1.1, -4.1), 27: (0, 2.86),
        28: (0, 1.9), 29: (0, 1), 30: (0, 0),
    }  # fmt: skip
    for index, (x, y) in right_half.items():
        marks[index] = nearest(x, y)
    for left, right in {42: 39, 43: 38, 44: 37, 45: 36, 46: 41, 47: 40, 64: 60, 63: 61, 65: 67}.items():
        x, y, _ = points[marks[right]]
        marks[left] = nearest(-x, y)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    return dataclasses.replace(
        head_for_tests(),
        neutral=points.astype(np.float32),
        triangles=triangles,
        material=(points[triangles, 2].min(axis=1) < 10 * FRONTAL).astype(np.int8),
        vertex_material=np.zeros(len(points), np.int8),
        landmarks=marks,
        uv=(points[:, :2] / SPAN / 2 + 0.5).astype(np.float32),
    )
