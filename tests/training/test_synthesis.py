"""Rendered people: labels agree with the picture and with the product's own geometry; shards are
reproducible."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.geometry import focal_length, head_pose, matrix_from_euler
from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.people import appearance
from facecap_batch.training.people.appearance import LID_OVERLAP, MAX_LEFT_OPEN, person
from facecap_batch.training.people.creases import random_creases
from facecap_batch.training.people.identities import Identity
from facecap_batch.training.people.rig import Rig
from facecap_batch.training.people.skin_texture import TEXTURE, texel
from facecap_batch.training.rendering import dataset, degrade
from facecap_batch.training.rendering.codec import coded
from facecap_batch.training.rendering.expressions import sample
from facecap_batch.training.rendering.gaze import INDEX, gaze_from_coefficients, set_gaze
from facecap_batch.training.rendering.hands import draw_hand
from facecap_batch.training.rendering.performance import performance
from facecap_batch.training.rendering.scene import Camera, View, draw, random_light, render
from tests.support.head import head_for_tests, rig_for_tests


@pytest.fixture(scope="module")
def model():
    return head_for_tests()


def test_every_sampled_face_is_in_range_and_every_channel_moves():
    rng = np.random.default_rng(1)
    faces = np.stack([sample(rng) for _ in range(3000)])
    assert faces.shape[1] == len(ARKIT_NAMES)
    assert faces.min() >= 0 and faces.max() <= 1
    assert (faces.std(axis=0) > 0.02).all()
    assert (faces.max(axis=0) > 0.6).all()


def test_gaze_and_its_coefficients_are_inverse():
    values = np.zeros(len(ARKIT_NAMES))
    set_gaze(values, 0.5, -0.25)
    left, right = gaze_from_coefficients(values)
    np.testing.assert_allclose(left, right, atol=1e-12)
    assert left[0] > 0 > left[1]  # to the subject's left and down
    assert values[INDEX["eyeLookOutLeft"]] == values[INDEX["eyeLookInRight"]] == 0.5


def test_labels_of_a_crop_give_back_the_pose_of_the_head(model):
    """A head anywhere in a wide frame: what its crop is labelled with leads back to where the head was
    put."""
    rng = np.random.default_rng(2)
    who = person(rig_for_tests(model), rng)
    width, height = 1600, 900
    view = View(matrix_from_euler(np.array([0.4, -0.2, 0.15])), 70.0, 96, np.array([0.06, -0.04]), 1.1)
    rendered = render(model, who, np.zeros(51, np.float32), view, random_light(rng))
    u, v, s = rendered.head[3:]
    # The window of that crop in a frame whose camera looks along the window's own ray.
    depth = view.distance  # along the ray to the head; the window is small, so nearly its depth
    side = focal_length(width, height) * np.exp(s) / depth
    square = np.array([[(width - 1) / 2 - side / 2, (height - 1) / 2 - side / 2, side]])
    rotation, position = head_pose(square, rendered.head[None, :3], rendered.head[None, 3:], width, height)
    np.testing.assert_allclose(rotation[0], matrix_from_euler(rendered.head[:3]), atol=2e-3)
    assert np.linalg.norm(position[0]) == pytest.approx(view.distance, rel=0.01)
    np.testing.assert_allclose(position[0, :2], [u * np.exp(s) / 2, -v * np.exp(s) / 2], atol=0.15)


def test_points_and_box_lie_on_the_drawn_head(model):
    rng = np.random.default_rng(3)
    who = person(rig_for_tests(model), rng)
    camera = Camera(160, 120, 150.0)
    position = np.array([3.0, -2.0, -60.0])
    drawing = draw(model, who, np.zeros(51, np.float32), np.eye(3), position, camera, random_light(rng))
    assert drawing.rgba.shape == (120, 160, 4)
    inside = drawing.points[(drawing.points > 1).all(1) & (drawing.points < [158, 118]).all(1)]
    assert len(inside) > 40
    covered = drawing.rgba[inside[:, 1].round().astype(int), inside[:, 0].round().astype(int), 3]
    assert (covered == 255).mean() > 0.9
    x0, y0, x1, y1 = drawing.box
    assert 0 < x1 - x0 < 160 and 0 < y1 - y0 < 120
    left_eye, right_eye = camera.project(np.array([[3.1, 0, -60.0], [-3.1, 0, -60.0]]))
    assert left_eye[0] > right_eye[0]  # the subject's left is at the picture's right


def test_a_shape_changes_the_picture_and_its_label(model):
    rng = np.random.default_rng(4)
    who, light = person(rig_for_tests(model), rng), random_light(rng)
    view = View(np.eye(3), 60.0, 96, np.zeros(2), 1.0)
    open_jaw = np.zeros(51, np.float32)
    open_jaw[INDEX["jawOpen"]] = 1.0
    rest = render(model, who, np.zeros(51, np.float32), view, light)
    posed = render(model, who, open_jaw, view, light)
    assert posed.coefficients[INDEX["jawOpen"]] == 1.0
    assert (rest.rgba != posed.rgba).any()
    np.testing.assert_array_equal(rest.head, posed.head)


def test_a_shape_at_1_is_the_same_whatever_the_face_does_at_rest(model):
    who = person(rig_for_tests(model), np.random.default_rng(6))
    assert np.abs(who.habit).max() > 0.05
    np.testing.assert_allclose(who.weights(np.ones(51)), who.gain, rtol=1e-6)
    np.testing.assert_allclose(who.weights(np.zeros(51)), who.gain * who.habit, rtol=1e-6)


@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize("fall", [0.6, 0.8, 1.0])
def test_lids_close_on_every_face(model, monkeypatch, fall: float, leaky: bool):
    """The blink lowers the upper lid by `fall` centimetres; the gap between the lids is the person's. Where
    lids do not quite meet they leave the same share of the gap on both sides."""
    monkeypatch.setattr(appearance, "LEAKY", float(leaky))
    marks = model.landmarks.copy()
    marks[[43, 44, 37, 38, 47, 46, 41, 40]] = np.arange(400, 408)  # vertices of their own
    upper, lower = np.arange(400, 404), np.arange(404, 408)
    neutral = model.neutral.copy()
    neutral[upper, 1], neutral[lower, 1] = 4.0, 3.2
    blinks = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
    moved = {blinks[0]: upper[:2], blinks[1]: upper[2:]}
    vertices = [moved.get(k, upper[:0]) for k in range(51)]
    lids = dataclasses.replace(
        model,
        neutral=neutral,
        landmarks=marks,
        identity=0.3 * model.identity,  # so that no gain is clipped
        shape_start=np.cumsum([0, *(len(rows) for rows in vertices)]).astype(np.int32),
        shape_vertex=np.concatenate(vertices).astype(np.int32),
        shape_delta=np.tile(np.array([0, -fall, 0], np.float32), (4, 1)),
    )
    who = person(rig_for_tests(lids), np.random.default_rng(7))
    gap = (who.rest[upper, 1] - who.rest[lower, 1]).reshape(2, 2).mean(axis=1)
    left = gap - who.gain[blinks] * fall
    assert (np.delete(who.gain, blinks) == 1).all()
    if leaky:
        share = left / gap
        assert 0 < share[0] < MAX_LEFT_OPEN and share[0] == pytest.approx(share[1], abs=1e-4)
    else:
        np.testing.assert_allclose(left, -LID_OVERLAP, atol=1e-4)


def test_drawing_larger_smooths_edges_and_leaves_the_labels(model):
    rng = np.random.default_rng(8)
    who, light = person(rig_for_tests(model), rng), random_light(rng)
    view = View(np.eye(3), 60.0, 96, np.array([0.03, -0.02]), 1.0)
    crisp, smooth = (render(model, who, np.zeros(51, np.float32), view, light, k) for k in (1.0, 2.0))
    assert crisp.rgba.shape == smooth.rgba.shape == (96, 96, 4)
    assert set(np.unique(crisp.rgba[..., 3])) == {0, 255}
    assert ((smooth.rgba[..., 3] > 0) & (smooth.rgba[..., 3] < 255)).sum() > 50
    np.testing.assert_allclose(smooth.head, crisp.head, atol=1e-5)
    np.testing.assert_allclose(smooth.points, crisp.points, atol=1e-4)
    np.testing.assert_allclose(smooth.box, crisp.box, atol=0.5)


def test_people_in_bad_light_are_exposed_alike(model):
    rng = np.random.default_rng(9)
    who, light = person(rig_for_tests(model), rng), random_light(rng)
    view = View(np.eye(3), 60.0, 96, np.zeros(2), 1.0)
    dark = dataclasses.replace(light, ambient=light.ambient * [[0.2], [0.2], [1]], colour=light.colour * 0.2)
    means = [
        float(drawn.rgba[..., :3][drawn.rgba[..., 3] == 255].mean())
        for drawn in (render(model, who, np.zeros(51, np.float32), view, each) for each in (light, dark))
    ]
    assert 0.65 * means[0] < means[1] < means[0]  # uncorrected, a fifth of the light gives less than half


def test_something_before_a_face_covers_a_part_of_it():
    shares = []
    for seed in range(40):
        picture = np.full((96, 96, 3), 128, np.uint8)
        mask = degrade.occlude(picture, (200.0, 150.0, 120.0), np.random.default_rng(seed))
        np.testing.assert_array_equal(mask, (picture != 128).any(axis=2))
        shares.append(mask.mean())
    assert 0.02 < np.median(shares) < 0.5 and max(shares) < 0.9


def test_a_hand_is_shaded_and_nearly_always_in_the_picture():
    seen = 0
    for seed in range(20):
        picture = np.zeros((96, 96, 3), np.uint8)
        draw_hand(picture, np.array([210.0, 150.0, 120.0]), np.random.default_rng(seed))
        hand = picture.any(axis=2)
        seen += hand.mean() > 0.03
        if hand.mean() > 0.03:
            light = picture[hand].astype(float)
            assert light[:, 0].mean() > light[:, 2].mean()  # of skin
            assert np.percentile(light[:, 0], 90) > 1.2 * np.percentile(light[:, 0], 10)  # rounded
    assert seen >= 17


def test_landmarks_are_covered_where_the_mask_is():
    mask = np.zeros((96, 96), bool)
    mask[:48, 48:] = True  # upper right
    points = np.array([[0.5, -0.5], [-0.5, -0.5], [0.99, -0.99], [1.01, -0.5], [0.5, 0.01]])
    assert degrade.covered(mask, points).tolist() == [True, False, True, False, False]


def test_a_raised_brow_folds_the_forehead_and_nothing_else(model):
    """Above the brows lines darken; the rest of the skin stays as it was."""
    marks = texel(model.uv[model.landmarks])
    creases = random_creases(marks, TEXTURE, np.random.default_rng(10))
    rest, raised = np.zeros(51, np.float32), np.zeros(51, np.float32)
    raised[INDEX["browInnerUp"]] = 1.0
    darker = creases.shadow(rest) - creases.shadow(raised)
    rows = np.flatnonzero((darker > 0.03).any(axis=1))
    assert len(rows) and rows.max() < marks[17:27, 1].max()
    assert darker.min() > -1e-6 and darker.max() < 0.9
    assert 0 < creases.shadow(np.ones(51, np.float32)).min() < 1


def test_brows_of_many_rise_below_a_smooth_forehead(model):
    """Who has only met foreheads that fold takes a smooth one for one that rests."""
    marks = texel(model.uv[model.landmarks]) / 16
    raised = np.zeros(51, np.float32)
    raised[INDEX["browInnerUp"]] = 1.0
    folds = []
    for seed in range(60):
        creases = random_creases(marks, TEXTURE // 16, np.random.default_rng(seed))
        folds.append(bool((creases.shadow(raised) != creases.shadow(0 * raised)).any()))
    assert 0.4 < np.mean(folds) < 0.9  # lines all across, or short ones in the middle


def test_hollows_are_dark(model):
    rng = np.random.default_rng(11)
    who, light = person(rig_for_tests(model), rng), random_light(rng)
    view = View(np.eye(3), 60.0, 96, np.zeros(2), 1.0)
    flat, deep = (
        render(model, dataclasses.replace(who, crevice=depth), np.zeros(51, np.float32), view, light).rgba
        for depth in (0.0, 1.0)
    )
    np.testing.assert_array_equal(flat[..., 3], deep[..., 3])
    ratio = (deep[..., :3].mean(axis=2) + 1) / (flat[..., :3].mean(axis=2) + 1)
    seen = flat[..., 3] == 255
    assert ratio[seen].min() < 0.8  # the exposure brightens the rest a little
    assert np.median(ratio[seen]) > 0.97


def test_a_shard_is_a_function_of_its_number(model):
    first, again = (dataset.face_shard(rig_for_tests(model), 5, 6) for _ in range(2))
    other = dataset.face_shard(rig_for_tests(model), 6, 6)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.points, again.points)
    assert (first.image != other.image).any()
    assert first.image.shape == (6, dataset.CROP, dataset.CROP, 3)
    heads = dataset.head_shard(rig_for_tests(model), 1, 4)
    assert heads["rgba"].shape == (4, dataset.TILE, dataset.TILE, 4)
    assert (heads["rgba"][..., 3].mean(axis=(1, 2)) > 20).all()


def test_shards_survive_the_disk(model, tmp_path):
    shard = dataset.face_shard(rig_for_tests(model), 7, 3)
    dataset.save(tmp_path / "faces_0007.npz", dataclasses.asdict(shard))
    read = dataset.load_faces(tmp_path / "faces_0007.npz")
    np.testing.assert_array_equal(read.image, shard.image)
    np.testing.assert_array_equal(read.head, shard.head)


def test_a_shard_knows_how_old_its_people_are(model, tmp_path):
    """In years where the family has ages; an older shard, which holds none, is read all the same."""

    def grown(head: HeadModel, rng: np.random.Generator) -> Identity:
        return Identity(head.neutral, 1.0, float(rng.uniform(20, 30)))

    aged = dataset.face_shard(Rig(model, grown), 7, dataset.IMAGES_PER_PERSON + 1)
    ageless = dataset.face_shard(rig_for_tests(model), 7, 1)
    assert aged.age.dtype == np.float32 and ((aged.age >= 20) & (aged.age < 30)).all()
    assert len(np.unique(aged.age)) == 2  # two people
    assert np.isnan(ageless.age).all()
    arrays = dataclasses.asdict(aged)
    dataset.save(tmp_path / "faces_0001.npz", arrays)
    np.testing.assert_array_equal(dataset.load_faces(tmp_path / "faces_0001.npz").age, aged.age)
    del arrays["age"]
    dataset.save(tmp_path / "faces_0002.npz", arrays)
    old = dataset.load_faces(tmp_path / "faces_0002.npz").age
    assert old.dtype == np.float32 and old.shape == aged.age.shape and np.isnan(old).all()


def test_a_performance_blinks_and_talks():
    times = np.arange(0, 8, 1 / 30)
    curves = performance(times, np.random.default_rng(5))
    blink = curves[:, INDEX["eyeBlinkLeft"]]
    assert curves.min() >= 0 and curves.max() <= 1
    assert 2 <= ((blink[1:] > 0.5) & (blink[:-1] <= 0.5)).sum() <= 12
    assert curves[:, INDEX["jawOpen"]].std() > 0.03
    assert np.abs(np.diff(blink)).max() < 0.7  # lids have speed


def test_degradation_keeps_shape_and_is_reproducible():
    picture = degrade.background(np.random.default_rng(1), 64)
    once, again = (degrade.camera(picture, np.random.default_rng(2)) for _ in range(2))
    assert once.shape == picture.shape and once.dtype == np.uint8
    np.testing.assert_array_equal(once, again)


def test_a_codec_smears_more_the_higher_its_rate_factor():
    picture = np.kron(np.random.default_rng(3).integers(0, 256, (16, 24, 3)), np.ones((4, 4, 1)))
    picture = picture.astype(np.uint8)
    errors = [np.abs(coded(picture, crf).astype(float) - picture).mean() for crf in (10, 24, 38)]
    assert errors == sorted(errors) and errors[2] > 1.3 * errors[0]
    assert (coded(picture, 30) == coded(picture, 30)).all()


def test_noise_reduction_and_codecs_leave_edges():
    edge = np.full((96, 96, 3), 60, np.uint8)
    edge[:, 48:] = 190
    noisy = np.clip(edge + np.random.default_rng(1).normal(0, 8, edge.shape), 0, 255).astype(np.uint8)
    seen = [degrade.compressed(noisy, np.random.default_rng(number)) for number in range(24)]
    assert any((image == noisy).all() for image in seen)  # many cameras do neither
    quieter = [image for image in seen if image[:, :40].std() < 0.7 * noisy[:, :40].std()]
    assert len(quieter) > 6
    for image in quieter:
        assert image[:, 52:].mean() - image[:, :44].mean() > 100
