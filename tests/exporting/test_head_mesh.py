"""The head: each morph target moves the region and in the direction of its ARKit name."""

from __future__ import annotations

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, SHAPE_NAMES
from facecap_batch.exporting.head import HeadModel, head_model
from facecap_batch.exporting.head.grid import COLUMNS, EYE_INDEX, MOUTH_COLUMN, MOUTH_ROW, build_skin
from facecap_batch.exporting.head.mesh import build_head
from facecap_batch.exporting.head.surface import EYE_CENTRE, EYE_RADIUS

FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return head_model()


@pytest.fixture(scope="module")
def skin():
    return build_skin()


def full(head: HeadModel, name: str) -> np.ndarray:
    offsets = np.zeros_like(head.vertices)
    morph = head.morph(name)
    offsets[morph.indices] = morph.offsets
    return offsets


def lips(skin) -> tuple[int, int, int]:
    """Middle of the upper lip's edge, of the lower lip's edge, left corner."""
    edge = np.flatnonzero((skin.row == MOUTH_ROW) & (skin.inside == 0))
    middle = edge[skin.angle[edge] == 0]
    upper = middle[~skin.lower[middle]][0]
    lower = middle[skin.lower[middle]][0]
    return upper, lower, edge[skin.angle[edge] == COLUMNS[MOUTH_COLUMN]][0]


def lid_edges(skin) -> tuple[int, int]:
    """Middle of the left eye's upper and lower lid edge."""
    pair = np.flatnonzero(
        (skin.half_row == 0.0) & (skin.half_angle == COLUMNS[10]) & (skin.inside[skin.left] == 0)
    )
    upper = pair[skin.half_lid[pair] == 1][0]
    return upper, pair[skin.half_lid[pair] == -1][0]


def test_the_mesh_is_sound(head: HeadModel) -> None:
    assert 1000 <= len(head.vertices) <= 6000
    assert [morph.name for morph in head.morphs] == list(SHAPE_NAMES)
    assert head.faces.max() < len(head.vertices)
    assert (np.unique(head.faces[head.faces >= 0]) == np.arange(len(head.vertices))).all()
    np.testing.assert_allclose(np.linalg.norm(head.normals, axis=1), 1.0, atol=1e-3)
    assert np.isfinite(head.face_uvs).all() and head.face_uvs.min() >= 0 and head.face_uvs.max() <= 1
    size = np.ptp(head.vertices[head.parts["skin"]], axis=0)
    assert 13 < size[0] < 17 and 25 < size[1] < 33 and 17 < size[2] < 24  # centimetres, neck included


def test_normals_point_outward(head: HeadModel) -> None:
    skin = head.parts["skin"]
    outer = skin[np.linalg.norm(head.vertices[skin] - [0, 3, -7.5], axis=1) > 7.5]
    outward = head.vertices[outer] - [0, 0, -7]
    assert ((outward * head.normals[outer]).sum(axis=1) > 0).mean() > 0.97
    for eye in ("eyeLeft", "eyeRight"):
        arm = head.vertices[head.parts[eye]] - EYE_CENTRE * (1 if eye == "eyeLeft" else FLIP)
        assert ((arm * head.normals[head.parts[eye]]).sum(axis=1) > 0).all()


def test_building_twice_gives_the_same_head(head: HeadModel) -> None:
    again = build_head()
    assert (again.vertices == head.vertices).all() and (again.faces == head.faces).all()
    assert all((a.offsets == b.offsets).all() for a, b in zip(again.morphs, head.morphs, strict=True))


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_every_target_moves_something_worth_seeing(head: HeadModel, name: str) -> None:
    morph = head.morph(name)
    assert 0.08 < np.linalg.norm(morph.offsets, axis=1).max() < 5.0
    assert (np.diff(morph.indices) > 0).all()


@pytest.mark.parametrize("name", [name for name in ARKIT_NAMES if "Left" in name])
def test_right_mirrors_left(head: HeadModel, skin, name: str) -> None:
    left, right = full(head, name), full(head, name.replace("Left", "Right"))
    count = len(skin.vertices)
    np.testing.assert_allclose(right[:count], left[:count][skin.mirror] * FLIP, atol=1e-12)
    if name.startswith(("eye", "brow", "cheek", "noseSneer")):
        far = head.vertices[:, 0] < -0.9
        assert np.abs(left[far]).max() < 0.02


@pytest.mark.parametrize(
    "name", ["jawOpen", "mouthFunnel", "mouthPucker", "browInnerUp", "cheekPuff", "mouthClose"]
)
def test_middle_targets_are_symmetric(head: HeadModel, skin, name: str) -> None:
    offsets = full(head, name)[: len(skin.vertices)]
    np.testing.assert_allclose(offsets, offsets[skin.mirror] * FLIP, atol=1e-9)


def test_blink_covers_the_left_eye_only(head: HeadModel, skin) -> None:
    upper, lower = lid_edges(skin)
    blink = full(head, "eyeBlinkLeft")
    open_gap = head.vertices[upper] - head.vertices[lower]
    assert open_gap[1] > 0.6
    closed = head.vertices + blink
    assert np.linalg.norm(closed[upper] - closed[lower]) < 0.05
    assert blink[upper, 1] < -0.5 and blink[upper, 1] < -2 * abs(blink[lower, 1])
    assert np.abs(blink[head.vertices[:, 0] < 0]).max() == 0
    # Closed and half closed, the lid stays in front of the eyeball.
    lid = np.flatnonzero(
        (skin.inside[skin.left] == 0)
        & (np.abs(skin.half_row) < 0.5)
        & (np.abs(blink[skin.left]).max(axis=1) > 0.01)
    )
    for weight, least in ((1.0, EYE_RADIUS + 0.05), (0.5, EYE_RADIUS)):
        reach = np.linalg.norm(head.vertices[lid] + weight * blink[lid] - EYE_CENTRE, axis=1)
        assert reach.min() > least
    assert EYE_INDEX > 0


def test_wide_and_squint_move_lids_apart_and_together(head: HeadModel, skin) -> None:
    upper, lower = lid_edges(skin)
    for name, sign in (("eyeWideLeft", 1), ("eyeSquintLeft", -1)):
        offsets = full(head, name)
        assert sign * (offsets[upper, 1] - offsets[lower, 1]) > 0.15


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("eyeLookUpLeft", 1, 1), ("eyeLookDownLeft", 1, -1), ("eyeLookInLeft", 0, -1), ("eyeLookOutLeft", 0, 1)],
)
def test_looks_turn_the_eyeball_and_the_lids_follow(
    head: HeadModel, skin, name: str, axis: int, sign: int
) -> None:
    offsets = full(head, name)
    pupil = head.parts["eyeLeft"][0]
    assert sign * offsets[pupil, axis] > 0.4
    assert np.abs(offsets[head.parts["eyeRight"]]).max() == 0
    upper, _ = lid_edges(skin)
    assert sign * offsets[upper, axis] > 0.05


def test_jaw_opens_chin_teeth_and_lip_but_not_the_upper_face(head: HeadModel, skin) -> None:
    upper, lower, _ = lips(skin)
    offsets = full(head, "jawOpen")
    assert offsets[lower, 1] < -2.0
    assert abs(offsets[upper, 1]) < 0.3
    assert (offsets[head.parts["teethLower"], 1] < -1.0).all()
    assert np.abs(offsets[head.parts["teethUpper"]]).max() == 0
    chin = np.argmin(np.linalg.norm(head.vertices - [0, -9.4, 2.0], axis=1))
    assert offsets[chin, 1] < -1.5
    assert np.abs(offsets[head.vertices[:, 1] > -1.0]).max() < 0.1


def test_close_shuts_the_lips_of_an_open_jaw(head: HeadModel, skin) -> None:
    edge = np.flatnonzero((skin.row == MOUTH_ROW) & (skin.inside == 0))
    posed = head.posed({"jawOpen": 1.0, "mouthClose": 1.0})
    opened = head.posed({"jawOpen": 1.0})
    for angle in np.unique(skin.angle[edge]):
        column = edge[skin.angle[edge] == angle]
        low, high = column[skin.lower[column]], column[~skin.lower[column]]
        if len(low) and len(high):
            assert 0 <= posed[high[0], 1] - posed[low[0], 1] < 0.06
            assert np.linalg.norm(posed[low[0]] - posed[high[0]]) < 0.7
    upper, lower, _ = lips(skin)
    assert np.linalg.norm(opened[upper] - opened[lower]) > 2.0


@pytest.mark.parametrize(
    ("name", "part", "direction"),
    [
        ("jawLeft", "lower", (1, 0, 0)),
        ("jawRight", "lower", (-1, 0, 0)),
        ("jawForward", "lower", (0, 0, 1)),
        ("mouthLeft", "upper", (1, 0, 0)),
        ("mouthRight", "lower", (-1, 0, 0)),
        ("mouthSmileLeft", "corner", (0.7, 0.7, 0)),
        ("mouthFrownLeft", "corner", (0, -1, 0)),
        ("mouthDimpleLeft", "corner", (0, 0, -1)),
        ("mouthStretchLeft", "corner", (1, 0, 0)),
        ("mouthPucker", "corner", (-0.45, 0.2, 0.87)),
        ("mouthFunnel", "lower", (0, -0.5, 0.8)),
        ("mouthFunnel", "upper", (0, 0.4, 0.9)),
        ("mouthRollLower", "lower", (0, 0, -1)),
        ("mouthRollUpper", "upper", (0, 0, -1)),
        ("mouthShrugLower", "lower", (0, 0.7, 0.7)),
        ("mouthShrugUpper", "upper", (0, 0.95, 0.3)),
    ],
)
def test_the_mouth_moves_as_its_names_promise(head: HeadModel, skin, name: str, part: str, direction) -> None:
    vertex = dict(zip(("upper", "lower", "corner"), lips(skin), strict=True))[part]
    moved = full(head, name)[vertex]
    assert np.linalg.norm(moved) > 0.2
    assert moved @ np.array(direction) / np.linalg.norm(moved) > 0.6


@pytest.mark.parametrize(
    ("name", "point", "direction"),
    [
        ("mouthLowerDownLeft", (1.0, -7.0, 2.6), (0, -1, 0)),
        ("mouthUpperUpLeft", (1.0, -6.0, 2.6), (0, 1, 0)),
        ("mouthPressLeft", (1.0, -6.9, 2.6), (0, 1, 0)),
        ("browDownLeft", (1.3, 2.0, 2.0), (0, -1, 0)),
        ("browInnerUp", (1.3, 2.0, 2.0), (0, 1, 0)),
        ("browInnerUp", (-1.3, 2.0, 2.0), (0, 1, 0)),
        ("browOuterUpLeft", (4.5, 2.2, 0.8), (0, 1, 0)),
        ("cheekPuff", (4.0, -5.4, 0.4), (0.8, 0, 0.6)),
        ("cheekPuff", (-4.0, -5.4, 0.4), (-0.8, 0, 0.6)),
        ("cheekSquintLeft", (3.9, -2.6, 1.2), (0, 1, 0.3)),
        ("noseSneerLeft", (1.15, -3.9, 2.6), (0, 1, 0)),
    ],
)
def test_face_regions_move_where_their_names_say(head: HeadModel, name: str, point, direction) -> None:
    nearest = head.parts["skin"][np.argmin(np.linalg.norm(head.vertices[head.parts["skin"]] - point, axis=1))]
    moved = full(head, name)[nearest]
    assert np.linalg.norm(moved) > 0.15
    assert moved @ np.array(direction) / np.linalg.norm(moved) > 0.6


def test_brows_ride_on_the_forehead(head: HeadModel) -> None:
    assert full(head, "browInnerUp")[head.parts["browLeft"], 1].max() > 0.5
    assert full(head, "browDownLeft")[head.parts["browLeft"], 1].min() < -0.3
    assert full(head, "browDownLeft")[head.parts["browRight"], 1].min() > -0.02


def test_the_tongue_comes_out_between_the_lips_of_an_open_mouth(head: HeadModel, skin) -> None:
    tongue = head.parts["tongue"]
    assert np.isin(head.morph("tongueOut").indices, tongue).all()  # and nothing else moves
    upper, lower, _ = lips(skin)
    for opened in (0.35, 0.6, 1.0):
        out = head.posed({"jawOpen": opened, "tongueOut": 1.0})
        tip = out[tongue][out[tongue][:, 2].argmax()]
        assert tip[2] > out[lower, 2] + 1.0 and out[upper, 1] > tip[1]
        inside = head.posed({"jawOpen": opened})[tongue]
        assert inside[:, 2].max() < out[lower, 2]
        over_lip = out[tongue][np.abs(out[tongue][:, 2] - out[lower, 2]) < 0.5]
        assert not len(over_lip) or over_lip[:, 1].min() > out[lower, 1] - 0.2  # on the lip, not in it
