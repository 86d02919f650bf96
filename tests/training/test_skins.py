"""MakeHuman's skins and brows land on the place of the head model they belong to; only CC0 files are used."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from facecap_batch.training.mirror import MIRRORED_LANDMARKS
from facecap_batch.training.people import registration, skins
from tests.support.head import EGG, head_for_tests

SHIFT = 7.0  # decimetres from the middle of the test head to MakeHuman's floor
CC0 = "# This asset was explicitly released as CC0 in september 2020.\n"
ROWS, COLUMNS, SIZE = 60, 80, 128
SPAN = 13.0  # centimetres from the middle of the head to the borders of its texture
FRONTAL = -0.2  # decimetres; behind this the test head has another piece of texture


def _egg() -> tuple[np.ndarray, np.ndarray]:
    """Vertices in centimetres and quads of the egg of `head_for_tests`, finer."""
    polar, turn = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, ROWS), np.linspace(0, 2 * np.pi, COLUMNS, False), indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1)
    row, column = np.divmod(np.arange((ROWS - 1) * COLUMNS), COLUMNS)
    after = (column + 1) % COLUMNS
    first, second = row * COLUMNS, (row + 1) * COLUMNS
    quads = np.stack([first + column, second + column, second + after, first + after], axis=1)
    return unit.reshape(-1, 3) * EGG, quads


@pytest.fixture(scope="module")
def makehuman(tmp_path_factory):
    """A folder like MakeHuman's with the egg of `head_for_tests` as its head; its skin's colour says where
    on the front of the head (x red, y green) a texel belongs."""
    folder = tmp_path_factory.mktemp("makehuman")
    egg, quads = _egg()
    vertices = egg / 10 + [0, SHIFT, 0]
    middle = vertices[quads].mean(axis=1)
    hole = (np.hypot((np.abs(middle[:, 0]) - 0.31) / 0.13, (middle[:, 1] - 7.286) / 0.06) < 1) | (
        np.hypot(middle[:, 0] / 0.28, (middle[:, 1] - 6.615) / 0.03) < 1
    )
    hidden = hole | (middle[:, 2] < FRONTAL)
    front = (vertices[:, :2] - [0, SHIFT]) * 10 / SPAN / 2 + 0.5
    lines = [CC0, *(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices)]
    lines += [f"vt {u:.6f} {v:.6f}\n" for u, v in np.concatenate([front, front * 0 + 0.01])]
    lines.append("g body\n")
    for quad, away in zip(quads, hidden, strict=True):
        lines.append("f " + " ".join(f"{k + 1}/{k + 1 + away * len(vertices)}" for k in quad) + "\n")
    (folder / "base.obj").write_text("".join(lines))

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
    return folder


@pytest.fixture(scope="module")
def model():
    """The same egg in the head model's terms, its landmarks where the module expects them on MakeHuman's."""
    egg, quads = _egg()
    front = np.flatnonzero(egg[:, 2] > 0)

    def nearest(x: float, y: float) -> int:
        return int(front[np.argmin(np.hypot(egg[front, 0] - x, egg[front, 1] - y))])

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
        x, y, _ = egg[marks[right]]
        marks[left] = nearest(-x, y)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    return dataclasses.replace(
        head_for_tests(),
        neutral=egg.astype(np.float32),
        triangles=triangles,
        material=(egg[triangles, 2].min(axis=1) < 10 * FRONTAL).astype(np.int8),
        vertex_material=np.zeros(len(egg), np.int8),
        landmarks=marks,
        uv=(egg[:, :2] / SPAN / 2 + 0.5).astype(np.float32),
    )


def test_texels_take_the_colour_of_their_place_on_the_head(makehuman, model):
    built = skins.build(makehuman, model, registration.register, SIZE)
    assert built.names == ("free",) and built.brow_names == ("thick",)
    assert built.albedo.shape == (1, SIZE, SIZE, 3) and built.brows.shape == (1, SIZE, SIZE)
    place = built.albedo[0].astype(np.float64) ** (1 / 2.2)  # 0..1 over the span, within 0.01
    for x, y in ((4.5, -1), (-4.5, -1), (0, 6.5), (3, -5.5), (-3, 7), (0, -1), (-1, -5.2), (2, -4.5)):
        column, row = (x / SPAN / 2 + 0.5) * (SIZE - 1), (0.5 - y / SPAN / 2) * (SIZE - 1)
        red, green, _ = place[round(row), round(column)]
        assert (red - 0.5) * 2 * SPAN == pytest.approx(x, abs=0.8)
        assert (green - 0.5) * 2 * SPAN == pytest.approx(y, abs=0.8)


def test_brows_lie_below_the_brow_landmarks_on_both_sides(makehuman, model):
    brows = skins.build(makehuman, model, registration.register, SIZE).brows[0]
    rows, columns = np.nonzero(brows > 128)
    x, y = (columns / (SIZE - 1) - 0.5) * 2 * SPAN, (0.5 - rows / (SIZE - 1)) * 2 * SPAN
    marks = model.neutral[model.landmarks[17:27]]
    assert y.mean() == pytest.approx(marks[:, 1].mean() - registration.BROW_DROP, abs=0.6)
    assert (x > 0).sum() == pytest.approx((x < 0).sum(), rel=0.15)
    assert 1 < np.abs(x).min() < 2.5 and 4 < np.abs(x).max() < 6.5


def test_the_cache_gives_back_what_was_built(makehuman, model, tmp_path, monkeypatch):
    built = skins.build(makehuman, model, registration.register, SIZE)
    monkeypatch.setattr(skins, "build", lambda *_: built)
    cache = tmp_path / "cache" / "skins.npz"
    first = skins.load(makehuman, model, registration.register, cache)
    monkeypatch.delattr(skins, "build")
    again = skins.load(makehuman, model, registration.register, cache)
    assert again.names == first.names == ("free",) and isinstance(again.names[0], str)
    np.testing.assert_array_equal(again.albedo, built.albedo)
    np.testing.assert_array_equal(again.brows, built.brows)


def test_a_base_head_under_another_licence_is_refused(makehuman, model, tmp_path):
    (tmp_path / "base.obj").write_text((makehuman / "base.obj").read_text().replace("CC0", "AGPL"))
    with pytest.raises(ValueError, match=r"CC0.*base\.obj"):
        skins.build(tmp_path, model, registration.register, SIZE)
