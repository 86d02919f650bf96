"""Where the head is: from an angle and a position inside a crop to a pose in front of the camera; and where
its eyes look.

In: the regressor's outputs for a crop (rotation against the viewing ray, head origin in crop units,
logarithm of the crop's width at the head's depth) and the square of the image that was cropped. Out: rotation
matrix, Euler angles and position in the camera frame.

Frames, all right-handed: the camera frame has x right in the image, y up, z toward the viewer, the camera at
the origin looking along -z, centimetres. The head frame has x toward the subject's left, y up, z out of the
face. A frontal upright face has the identity. R = Ry(yaw) Rx(pitch) Rz(roll) and x_camera = R x_head +
position, so

- yaw > 0: the face turns toward +x, the right edge of the image (the subject's left);
- pitch > 0: the face looks down;
- roll > 0: the head turns counterclockwise in the image (the subject's left ear goes up).
"""

from __future__ import annotations

import numpy as np

# A video does not say what lens it was shot with. 1.2 times the long side is a horizontal field of view of
# 45 degrees for landscape video, between a phone's main camera (about 65) and a portrait lens (about 30).
FOCAL_PER_LONG_SIDE = 1.2
# How far an eyeball is turned at eyeLookOut or eyeLookIn = 1, and at eyeLookUp or eyeLookDown = 1: by so much
# the eyes are turned that the default engines were trained on. ARKit does not say what it means.
YAW_FULL, PITCH_FULL = np.radians(32.0), np.radians(25.0)

# Written into every file: the axes and angles of the six head columns; and, where it has them, of the gaze.
ANGLE_CONVENTION = (
    "R = Ry(headYaw) Rx(headPitch) Rz(headRoll), radians, unwrapped over time; x_camera = R x_head + "
    "(headX, headY, headZ) in centimetres; camera frame x right in the image, y up, z toward the viewer; "
    "head frame x toward the subject's left, y up, z out of the face"
)
GAZE_CONVENTION = (
    "direction of gaze = Ry(gazeYaw) Rx(gazePitch) z, radians, camera frame; an eye at rest looks where the "
    "face points, at headYaw and headPitch; it turns by 32 degrees at eyeLookIn or eyeLookOut = 1 and by 25 "
    "degrees at eyeLookUp or eyeLookDown = 1"
)

Pixels = float | np.ndarray  # a length of one image, or float or int [N] of N images


def focal_length(width: float, height: float) -> float:
    """The assumed focal length, pixels, of an image of `width` by `height` pixels."""
    return FOCAL_PER_LONG_SIDE * max(width, height)


def focal_lengths(width: Pixels, height: Pixels) -> np.ndarray:
    """`focal_length` of one image, or of many: float64 [] or [N]."""
    return np.asarray(FOCAL_PER_LONG_SIDE * np.maximum(width, height), np.float64)


def matrix_from_euler(angles: np.ndarray) -> np.ndarray:
    """float64 [..., 3, 3] rotation matrices of `angles` [..., 3]: yaw, pitch, roll in radians."""
    yaw, pitch, roll = np.moveaxis(np.asarray(angles, np.float64), -1, 0)
    sy, cy, sp, cp, sr, cr = (
        np.sin(yaw),
        np.cos(yaw),
        np.sin(pitch),
        np.cos(pitch),
        np.sin(roll),
        np.cos(roll),
    )
    rows = [
        [cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp],
        [cp * sr, cp * cr, -sp],
        [cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def euler_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """float64 [..., 3]: yaw (-pi..pi), pitch (-pi/2..pi/2), roll (-pi..pi) of rotation matrices [..., 3, 3].

    Looking straight up or down (gimbal lock) yaw and roll are one rotation: it is given as yaw, roll is 0.
    """
    m = np.asarray(matrix, np.float64)
    pitch = np.arcsin(np.clip(-m[..., 1, 2], -1.0, 1.0))
    locked = np.hypot(m[..., 0, 2], m[..., 2, 2]) < 1e-9
    yaw = np.where(locked, np.arctan2(-m[..., 2, 0], m[..., 0, 0]), np.arctan2(m[..., 0, 2], m[..., 2, 2]))
    roll = np.where(locked, 0.0, np.arctan2(m[..., 1, 0], m[..., 1, 1]))
    return np.stack([yaw, pitch, roll], axis=-1)


def unwrap(angles: np.ndarray) -> np.ndarray:
    """`angles` [N, ...], radians, without jumps of 2 pi along the first axis; NaN stays and is bridged."""
    unwrapped = np.array(angles, np.float64)
    if not unwrapped.size:
        return unwrapped
    for column in unwrapped.reshape(len(unwrapped), -1).T:
        known = np.isfinite(column)
        column[known] = np.unwrap(column[known])
    return unwrapped


def ray_rotation(x: np.ndarray, y: np.ndarray, width: Pixels, height: Pixels) -> np.ndarray:
    """float64 [..., 3, 3]: the smallest rotation of the optical axis onto the viewing ray of pixel (x, y).

    A face turned to the camera at (x, y) looks the same as a frontal face at the centre of the image,
    rotated by it.
    """
    return rotation_onto(viewing_ray(x, y, width, height))


def rotation_onto(direction: np.ndarray) -> np.ndarray:
    """float64 [..., 3, 3]: the smallest rotation of the optical axis onto `direction` [..., 3], z < 0."""
    direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    a, b, c = np.moveaxis(direction, -1, 0)
    # Rodrigues for (0, 0, -1) onto (a, b, c): axis (b, -a, 0), cosine -c; c < 0 always, so 1 - c is never 0.
    scale = 1.0 / (1.0 - c)
    rows = [
        [1 - a * a * scale, -a * b * scale, -a],
        [-a * b * scale, 1 - b * b * scale, -b],
        [a, b, -c],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def viewing_ray(x: np.ndarray, y: np.ndarray, width: Pixels, height: Pixels) -> np.ndarray:
    """float64 [..., 3]: direction in the camera frame through pixel (x, y), scaled to z = -1."""
    focal = focal_lengths(width, height)
    across = (np.asarray(x, np.float64) - width / 2) / focal
    up = (height / 2 - np.asarray(y, np.float64)) / focal
    return np.stack([across, up, np.full_like(across, -1.0)], axis=-1)


def project(points: np.ndarray, width: float, height: float) -> np.ndarray:
    """Pixels float64 [..., 2] (x right, y down) of `points` [..., 3], camera frame, centimetres, z < 0."""
    points = np.asarray(points, np.float64)
    focal = focal_length(width, height)
    depth = -points[..., 2]
    return np.stack(
        [width / 2 + focal * points[..., 0] / depth, height / 2 - focal * points[..., 1] / depth], axis=-1
    )


def head_pose(
    crop_rect: np.ndarray, angles: np.ndarray, crop_position: np.ndarray, width: Pixels, height: Pixels
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and position of heads in the camera frame, from the regressor's outputs for their crops.

    Args:
        crop_rect: float [N, 3], x0 y0 side of the crops, pixels of the upright image.
        angles: float [N, 3], yaw pitch roll of the head relative to the viewing ray through the crop's
            centre, radians.
        crop_position: float [N, 3], (u, v, s): head origin in crop units -1..1 (u right, v down), s =
            ln(crop width in centimetres at the head's depth).
        width, height: Pixels of the upright image; of all N, or int [N] of each.

    Returns:
        Rotation matrices float64 [N, 3, 3], and positions float64 [N, 3] in centimetres.
    """
    crop_rect, crop_position = np.asarray(crop_rect, np.float64), np.asarray(crop_position, np.float64)
    half = crop_rect[:, 2] / 2
    center_x, center_y = crop_rect[:, 0] + half, crop_rect[:, 1] + half
    rotation = ray_rotation(center_x, center_y, width, height) @ matrix_from_euler(angles)
    depth = focal_lengths(width, height) * np.exp(crop_position[:, 2]) / crop_rect[:, 2]
    u, v = crop_position[:, 0], crop_position[:, 1]
    ray = viewing_ray(center_x + u * half, center_y + v * half, width, height)
    return rotation, ray * depth[:, None]


def points_in_frame(crop_rect: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points in crops as points of the upright image, float32 [N, P, 2], pixels (x right, y down).

    Args:
        crop_rect: float [N, 3], x0 y0 side of the crops, pixels of the upright image.
        points: float [N, P, 2], crop units -1..1 (u right, v down), beyond them outside of the crop.
    """
    corner, side = crop_rect[:, None, :2], crop_rect[:, None, 2:]
    return (corner + side * (np.asarray(points, np.float64) + 1) / 2).astype(np.float32)


def head_columns(
    crop_rect: np.ndarray, angles: np.ndarray, crop_position: np.ndarray, width: Pixels, height: Pixels
) -> np.ndarray:
    """The table's head columns, float32 [N, 6]: yaw pitch roll (radians), x y z (centimetres), camera frame.

    Arguments as of `head_pose`.
    """
    rotation, position = head_pose(crop_rect, angles, crop_position, width, height)
    return np.concatenate([euler_from_matrix(rotation), position], axis=1).astype(np.float32)


def eye_direction(yaw: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """float64 [..., 3]: the unit vector, head frame, of eyes that are turned by so many radians.

    Args:
        yaw: float [...], toward the subject's left.
        pitch: float [...], up.
    """
    across = np.cos(pitch)
    return np.stack([np.sin(yaw) * across, np.sin(pitch), np.cos(yaw) * across], axis=-1)


def eye_turns(look: np.ndarray) -> np.ndarray:
    """How far the eyes are turned in the head.

    Args:
        look: float [N, 8], 0..1, eyeLookOut, eyeLookIn, eyeLookUp, eyeLookDown of the left eye, then of the
            right one.

    Returns:
        float64 [N, 2, 2], radians, left and right eye: yaw, > 0 toward the subject's left, and pitch, > 0 up.
    """
    values = np.asarray(look, np.float64).reshape(len(look), 2, 4)
    outward = (values[..., 0] - values[..., 1]) * YAW_FULL
    yaw = outward * (1.0, -1.0)  # outward is toward the subject's left for the left eye only
    pitch = (values[..., 2] - values[..., 3]) * PITCH_FULL
    return np.stack([yaw, pitch], axis=-1)


def gaze(look: np.ndarray, head_angles: np.ndarray) -> np.ndarray:
    """Where both eyes look.

    Args:
        look: float [N, 8], as of `eye_turns`.
        head_angles: float [N, 3], headYaw headPitch headRoll, radians.

    Returns:
        float32 [N, 4], radians, camera frame: yaw and pitch of the left eye, then of the right one. Yaw is
        -pi..pi, > 0 toward the right edge of the image; pitch -pi/2..pi/2, > 0 down. NaN where a coefficient
        of the eye, or an angle, is.
    """
    yaw, pitch = np.moveaxis(eye_turns(look), -1, 0)
    rotation = matrix_from_euler(head_angles)[:, None]
    x, y, z = np.moveaxis((rotation @ eye_direction(yaw, pitch)[..., None])[..., 0], -1, 0)
    angles = np.stack([np.arctan2(x, z), np.arcsin(np.clip(-y, -1.0, 1.0))], axis=-1)
    return angles.reshape(len(look), 4).astype(np.float32)
