"""Rotations as unit quaternions: averaged and interpolated instead of Euler angles.

In and out: arrays of quaternions float64 [..., 4], w x y z, and rotation matrices float64 [..., 3, 3].
Which axes the matrices rotate about is decided in `geometry`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Below this sine of the half angle, slerp and the straight chord agree to double precision.
_NEARLY_EQUAL = 1e-6
# A quaternion shorter than this is the mean of opposites and has no direction.
_NO_LENGTH = 1e-12


def normalised(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale quaternions [..., 4] to length 1; one of length 0 becomes the identity."""
    length = np.sqrt((quaternion * quaternion).sum(axis=-1, keepdims=True))
    identity = np.array([1.0, 0.0, 0.0, 0.0])
    return np.where(length > _NO_LENGTH, quaternion / np.maximum(length, _NO_LENGTH), identity)


def from_matrix(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions float64 [..., 4] of rotation matrices [..., 3, 3]; of any sign (see `continuous`)."""
    m = np.asarray(matrix, np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    x, y, z = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Each candidate is 4 q_k q; the one with the largest q_k divides by no small number.
    candidates = np.stack(
        [
            np.stack([1 + xx + yy + zz, x, y, z], axis=-1),
            np.stack([x, 1 + xx - yy - zz, xy, xz], axis=-1),
            np.stack([y, xy, 1 - xx + yy - zz, yz], axis=-1),
            np.stack([z, xz, yz, 1 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(np.einsum("...kk->...k", candidates), axis=-1)
    return normalised(np.take_along_axis(candidates, best[..., None, None], axis=-2)[..., 0, :])


def to_matrix(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices float64 [..., 3, 3] of unit quaternions [..., 4]."""
    w, x, y, z = np.moveaxis(np.asarray(quaternion, np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def continuous(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Choose the sign of each quaternion of a sequence [N, 4] so that neighbours lie on one side."""
    if len(quaternion) < 2:
        return quaternion
    flips = np.where((quaternion[1:] * quaternion[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    signs: NDArray[np.float64] = np.concatenate([[1.0], np.cumprod(flips)])
    return quaternion * signs[:, None]


def angle_between(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles [...] of the rotations from `a` to `b` ([..., 4]), radians, 0..pi."""
    chord = np.minimum(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))
    half: NDArray[np.float64] = np.arcsin(np.clip(chord / 2, 0, 1))
    return 4 * half


def slerp(
    a: NDArray[np.float64], b: NDArray[np.float64], fraction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The rotations at `fraction` (0..1, [N]) of the shortest way from `a` to `b` ([N, 4]), at constant
    speed."""
    b = np.where((a * b).sum(axis=-1, keepdims=True) < 0, -b, b)
    half = angle_between(a, b)[:, None] / 2
    sine = np.sin(half)
    fraction = fraction[:, None]
    close = sine < _NEARLY_EQUAL
    safe = np.where(close, 1.0, sine)
    from_a = np.where(close, 1 - fraction, np.sin((1 - fraction) * half) / safe)
    from_b = np.where(close, fraction, np.sin(fraction * half) / safe)
    return normalised(from_a * a + from_b * b)
