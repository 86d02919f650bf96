"""Signs and sizes: a known head in front of a known camera, seen through a crop and put back."""

from __future__ import annotations

import numpy as np
import pytest

from facecap_batch import geometry
from facecap_batch.geometry import euler_from_matrix, head_pose, matrix_from_euler, project, ray_rotation

WIDTH, HEIGHT = 1280, 720


def turn(axis: int, angle: float) -> np.ndarray:
    """Rotation about x, y or z by the right-hand rule."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
    return matrix


def test_the_order_of_the_three_turns() -> None:
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 3))
    for yaw, pitch, roll in angles:
        expected = turn(1, yaw) @ turn(0, pitch) @ turn(2, roll)
        np.testing.assert_allclose(matrix_from_euler(np.array([yaw, pitch, roll])), expected, atol=1e-12)
    np.testing.assert_allclose(euler_from_matrix(matrix_from_euler(angles)), angles, atol=1e-12)


def test_what_positive_angles_look_like() -> None:
    """In the image: x right, y up. The nose points along the head's z, the subject's left ear along its x."""
    nose, ear = np.array([0, 0, 1.0]), np.array([1.0, 0, 0])
    assert (matrix_from_euler(np.zeros(3)) == np.eye(3)).all()
    assert (matrix_from_euler(np.array([0.3, 0, 0])) @ nose)[0] > 0.2  # yaw: to the image's right
    assert (matrix_from_euler(np.array([0, 0.3, 0])) @ nose)[1] < -0.2  # pitch: down
    assert (matrix_from_euler(np.array([0, 0, 0.3])) @ ear)[1] > 0.2  # roll: the left ear goes up


@pytest.mark.parametrize("pitch", [np.pi / 2, -np.pi / 2])
def test_straight_up_and_down_still_give_the_same_rotation(pitch: float) -> None:
    matrix = matrix_from_euler(np.array([0.4, pitch, 0.3]))
    angles = euler_from_matrix(matrix)
    assert angles[2] == 0
    np.testing.assert_allclose(matrix_from_euler(angles), matrix, atol=1e-6)


def test_unwrap_bridges_gaps_and_leaves_them() -> None:
    turning = np.linspace(0, 12, 60)
    wrapped = (turning + np.pi) % (2 * np.pi) - np.pi
    wrapped[20:23] = np.nan
    angles = geometry.unwrap(np.stack([wrapped, np.zeros(60)], axis=1))
    known = np.isfinite(wrapped)
    np.testing.assert_allclose(angles[known, 0], turning[known], atol=1e-9)
    assert np.isnan(angles[20:23, 0]).all() and (angles[:, 1] == 0).all()
    assert geometry.unwrap(np.zeros((0, 3))).shape == (0, 3)


def test_the_ray_rotation_is_the_smallest_onto_the_ray() -> None:
    x, y = np.array([640.0, 100.0, 1200.0, 640.0]), np.array([360.0, 50.0, 700.0, 0.0])
    rotations = ray_rotation(x, y, WIDTH, HEIGHT)
    np.testing.assert_allclose(rotations[0], np.eye(3), atol=1e-12)
    identities = np.broadcast_to(np.eye(3), (4, 3, 3))
    np.testing.assert_allclose(rotations @ rotations.swapaxes(1, 2), identities, atol=1e-12)
    rays = geometry.viewing_ray(x, y, WIDTH, HEIGHT)
    turned = rotations @ np.array([0, 0, -1.0])
    np.testing.assert_allclose(turned, rays / np.linalg.norm(rays, axis=1)[:, None], atol=1e-12)
    angle = np.arccos(np.clip((np.trace(rotations, axis1=1, axis2=2) - 1) / 2, -1, 1))
    np.testing.assert_allclose(angle, np.arccos(-turned[:, 2]), atol=1e-7)
    # A face at the image's right that looks into the camera has turned to the subject's right: yaw < 0.
    assert euler_from_matrix(rotations[2])[0] < 0


def test_a_head_comes_back_from_its_crop() -> None:
    """The outputs of a perfect regressor for known heads in arbitrary crops give position and rotation."""
    rng = np.random.default_rng(2)
    count = 40
    position = np.stack(
        [rng.uniform(-20, 20, count), rng.uniform(-10, 10, count), rng.uniform(-120, -40, count)], axis=1
    )
    rotation = matrix_from_euler(rng.uniform(-0.7, 0.7, (count, 3)))
    pixel = project(position, WIDTH, HEIGHT)
    side = rng.uniform(80, 400, count)
    corner = pixel - side[:, None] / 2 + rng.uniform(-30, 30, (count, 2))
    crop_rects = np.column_stack([corner, side])
    u, v = ((pixel - corner) / side[:, None] * 2 - 1).T
    width_cm = side * -position[:, 2] / geometry.focal_length(WIDTH, HEIGHT)
    center = corner + side[:, None] / 2
    seen = np.swapaxes(ray_rotation(center[:, 0], center[:, 1], WIDTH, HEIGHT), 1, 2) @ rotation
    found, at = head_pose(
        crop_rects, euler_from_matrix(seen), np.column_stack([u, v, np.log(width_cm)]), WIDTH, HEIGHT
    )
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(at, position, atol=1e-9)
    assert (at[:, 2] < 0).all()


def test_portrait_and_landscape_share_the_focal_length() -> None:
    assert geometry.focal_length(1080, 1920) == geometry.focal_length(1920, 1080) == 1.2 * 1920
