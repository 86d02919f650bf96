"""What all rig families share: mirror images, one scale of movement, one pose of the head."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training import mirror
from facecap_batch.training.heads import common_meaning
from facecap_batch.training.heads.common_meaning import MAX_SCALE, MAX_SCALE_OF, MIN_SCALE
from facecap_batch.training.heads.head_model import HeadModel, eye_centres
from facecap_batch.training.heads.mesh import EYE_LEFT, EYE_RIGHT, FACE
from facecap_batch.training.heads.similarity import fit
from facecap_batch.training.people import identities
from tests.support.head import head_for_tests

UPPER_LIP, LOWER_LIP = (61, 62, 63), (67, 66, 65)
STEP = 0.2  # centimetres that a shape moves the face


def test_the_mirror_image_of_a_mirror_image_is_the_face():
    for table, size in ((mirror.MIRRORED_POINTS, 71), (mirror.MIRRORED_LANDMARKS, 68)):
        assert [table[table[k]] for k in range(size)] == list(range(size))
    channels = mirror.MIRRORED_CHANNELS
    assert [channels[channels[k]] for k in range(len(ARKIT_NAMES))] == list(range(len(ARKIT_NAMES)))


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [("mouthSmileLeft", "mouthSmileRight"), ("jawRight", "jawLeft"), ("jawOpen", "jawOpen"),
     ("eyeLookInLeft", "eyeLookInRight"), ("mouthLeft", "mouthRight")],
)  # fmt: skip
def test_a_mirror_swaps_the_sides_of_a_name(name, mirrored):
    assert mirror.mirrored_name(name) == mirrored
    assert ARKIT_NAMES[mirror.MIRRORED_CHANNELS[ARKIT_NAMES.index(name)]] == mirrored


def test_directions_are_no_pairs_of_sides():
    paired = {ARKIT_NAMES[k] for k in mirror.LEFT_CHANNELS + mirror.RIGHT_CHANNELS}
    assert not paired & set(mirror.SIDEWAYS)
    assert len(mirror.LEFT_CHANNELS) == len(mirror.RIGHT_CHANNELS) == 18


def head_with_shapes(steps: dict[str, float]) -> HeadModel:
    """A head whose shapes move the whole face forward by `steps` (centimetres, else STEP), except jawOpen,
    which lowers the lower lip, and mouthClose, which raises it."""
    head = head_for_tests()
    marks = head.landmarks.copy()
    face = np.flatnonzero(head.vertex_material == FACE)
    marks[list(UPPER_LIP + LOWER_LIP)] = face[300:306]  # vertices of their own
    lower = marks[list(LOWER_LIP)]
    starts, vertices, deltas = [0], [], []
    for name in ARKIT_NAMES:
        way = {"jawOpen": [0.0, -1.0, 0.0], "mouthClose": [0.0, 1.0, 0.0]}.get(name, [0.0, 0.0, 1.0])
        moved = lower if name in ("jawOpen", "mouthClose") else face
        vertices.append(moved)
        deltas.append(np.tile(np.array(way) * steps.get(name, STEP), (len(moved), 1)))
        starts.append(starts[-1] + len(moved))
    return dataclasses.replace(
        head,
        landmarks=marks,
        shape_start=np.array(starts, np.int32),
        shape_vertex=np.concatenate(vertices).astype(np.int32),
        shape_delta=np.concatenate(deltas).astype(np.float32),
    )


def strengths(model: HeadModel) -> dict[str, float]:
    return {name: common_meaning.strength(common_meaning.movement(model, name)) for name in ARKIT_NAMES}


def test_scaled_shapes_move_the_face_as_far_as_the_reference_does():
    reference = head_with_shapes({})
    weak = {name: STEP / 2 for name in ("browInnerUp", "mouthSmileLeft", "mouthSmileRight", "jawOpen")}
    strong = {"mouthPucker": 1.5 * STEP, "eyeBlinkLeft": 2 * STEP, "eyeBlinkRight": 2 * STEP}
    other = head_with_shapes(weak | strong)
    found, wanted = strengths(common_meaning.scaled_like(other, reference)), strengths(reference)
    for name in set(ARKIT_NAMES) - {"mouthClose"}:
        assert found[name] == pytest.approx(wanted[name], rel=1e-4), name
    assert wanted["browInnerUp"] == pytest.approx(STEP / common_meaning.eye_distance(reference), rel=1e-5)


def test_scales_are_clamped():
    """A rig whose shape is far weaker or stronger keeps some of that, more where the rigs differ in kind."""
    other = head_with_shapes({"jawForward": STEP / 10, "jawLeft": 10 * STEP, "cheekPuff": STEP / 10})
    scales = common_meaning.scales(other, head_with_shapes({}))
    assert scales["jawForward"] == MAX_SCALE and scales["jawLeft"] == MIN_SCALE
    assert scales["cheekPuff"] == MAX_SCALE_OF["cheekPuff"] < MAX_SCALE
    assert scales["mouthPucker"] == pytest.approx(1.0)
    assert "mouthClose" not in scales


def test_a_shape_that_a_rig_does_not_have_is_not_blown_up():
    scales = common_meaning.scales(head_with_shapes({"mouthPucker": 0.0}), head_with_shapes({}))
    assert scales["mouthPucker"] == MAX_SCALE


def test_both_sides_get_the_same_scale():
    """The geometric mean of what each would need: uneven sculpting is part of a rig."""
    other = head_with_shapes({"mouthDimpleLeft": STEP / 2, "mouthDimpleRight": STEP / 1.28})
    scales = common_meaning.scales(other, head_with_shapes({}))
    assert scales["mouthDimpleLeft"] == scales["mouthDimpleRight"] == pytest.approx(1.6, rel=1e-4)


@pytest.mark.parametrize(("opened", "closed"), [(1.0, 0.7), (1.0, 1.4), (0.5, 0.5)])
def test_an_equal_mouth_close_closes_what_jaw_open_opens(opened, closed):
    model = common_meaning.lips_closed(head_with_shapes({"jawOpen": opened, "mouthClose": closed}))
    both = sum(common_meaning.shape_displacement(model, name) for name in ("jawOpen", "mouthClose"))
    np.testing.assert_allclose(both[model.landmarks[list(LOWER_LIP)]], 0, atol=1e-5)
    jaw = common_meaning.shape_displacement(model, "jawOpen")
    np.testing.assert_allclose(jaw[model.landmarks[list(LOWER_LIP)], 1], -opened, rtol=1e-5)


def test_likeness_is_the_cosine_of_movements():
    rng = np.random.default_rng(0)
    moved = rng.normal(size=(5, 3))
    assert common_meaning.likeness(moved, 3 * moved) == pytest.approx(1)
    assert common_meaning.likeness(moved, -moved) == pytest.approx(-1)
    assert common_meaning.likeness(np.eye(3)[:1], np.eye(3)[1:2]) == pytest.approx(0)


def test_a_region_of_the_right_side_is_the_mirror_image_of_the_left_one():
    """A shape that moves skin at the subject's left is measured at the left and not at the right."""
    head = head_with_shapes({})
    face = np.flatnonzero((head.vertex_material == FACE) & (head.neutral[:, 0] > 1))
    starts = np.cumsum([0, *(len(face) * name.startswith("cheekSquint") for name in ARKIT_NAMES)])
    marks = head.landmarks.copy()
    for left, right in ((46, 41), (47, 40), (35, 31)):
        x, y = 3.0 + (left == 47), -1.0 + (left == 35)
        front = np.where(head.neutral[:, 2] > 3, 0, 100)
        for mark, sign in ((left, 1), (right, -1)):
            away = np.hypot(head.neutral[:, 0] - sign * x, head.neutral[:, 1] - y) + front
            marks[mark] = np.argmin(away)
    left_only = dataclasses.replace(
        head,
        landmarks=marks,
        shape_start=starts.astype(np.int32),
        shape_vertex=np.tile(face, 2).astype(np.int32),
        shape_delta=np.full((2 * len(face), 3), STEP, np.float32),
    )
    found = strengths(left_only)
    assert found["cheekSquintLeft"] > 5 * found["cheekSquintRight"]


def test_a_fitted_similarity_undoes_a_known_one():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(20, 3))
    rotation = matrix_from_euler(np.array([0.4, -0.3, 0.2]))
    found = fit(points, 1.7 * points @ rotation.T + [1.0, 2.0, 3.0])
    assert found.scale == pytest.approx(1.7)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-9)
    np.testing.assert_allclose(found.points(points), 1.7 * points @ rotation.T + [1, 2, 3], atol=1e-9)
    np.testing.assert_allclose(found.displacements(points), 1.7 * points @ rotation.T, atol=1e-9)


def test_modes_do_not_turn_or_move_heads():
    """A mode that rotates the whole head changes nobody's pose: that would be a wrong label."""
    head = head_for_tests()
    rotated = head.neutral @ matrix_from_euler(np.array([0.07, 0.05, 0.03])).T + [0.3, -0.2, 0.1]
    turning = dataclasses.replace(head, identity=(rotated - head.neutral)[None].astype(np.float32))
    for seed in range(5):
        who = identities.ict(turning, np.random.default_rng(seed))
        found = fit(head.neutral.astype(np.float64), who.rest.astype(np.float64))
        np.testing.assert_allclose(found.rotation, np.eye(3), atol=0.03)
        assert np.linalg.norm(found.shift) < 0.3


def test_halves_of_faces_differ_and_eyeballs_stay_round():
    head = head_for_tests()
    symmetric = dataclasses.replace(head, identity=np.zeros_like(head.identity))
    apart = []
    for seed in range(30):
        moved = identities.asymmetry(symmetric, np.random.default_rng(seed))
        for kind in (EYE_LEFT, EYE_RIGHT):
            eye = moved[head.vertex_material == kind]
            np.testing.assert_allclose(eye, np.broadcast_to(eye[0], eye.shape), atol=0.02)
        left, right = eye_centres(head.neutral + moved, head.vertex_material)
        apart.append(abs(left[1] - right[1]))
    assert np.median(apart) < 0.15 < max(apart)  # most faces a little, some clearly
