"""Quaternions x y z w, as glTF has them: products, inverses, and a node's matrix taken apart.

In: arrays of quaternions, a matrix. Out: the same. They turn turns of head and eyes into rotations of bones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0])


def times(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float64 [..., 4]: the rotation `second` and then `first`."""
    x1, y1, z1, w1 = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    x2, y2, z2, w2 = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    return np.stack(
        [
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        ],
        axis=-1,
    )


def inverse(rotation: np.ndarray) -> np.ndarray:
    """float64 [..., 4]: the rotation back, of unit quaternions."""
    return np.asarray(rotation, np.float64) * (-1.0, -1.0, -1.0, 1.0)


def half_turned(rotation: np.ndarray) -> np.ndarray:
    """float64 [..., 4]: the same rotation for a character that faces -Z: its axes turned by 180° about y."""
    return np.asarray(rotation, np.float64) * (-1.0, 1.0, -1.0, 1.0)


def of_eye(yaw: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """float64 [N, 4]: an eye's rotation in the head; `yaw` toward the subject's left, `pitch` up, radians."""
    zero = np.zeros_like(yaw)
    about_y = np.stack([zero, np.sin(yaw / 2), zero, np.cos(yaw / 2)], axis=-1)
    about_x = np.stack([-np.sin(pitch / 2), zero, zero, np.cos(pitch / 2)], axis=-1)
    return times(about_y, about_x)


def continuous(rotation: np.ndarray) -> np.ndarray:
    """float64 [N, 4]: each row with the sign nearest to the row before: readers turn the short way."""
    products = (rotation[1:] * rotation[:-1]).sum(axis=1)
    signs = np.concatenate([[1.0], np.cumprod(np.where(products < 0.0, -1.0, 1.0))])
    result: np.ndarray = rotation * signs[: len(rotation), None]
    return result


def parts_of_matrix(matrix: Sequence[float]) -> tuple[list[float], list[float], list[float]]:
    """Translation, rotation (x y z w) and scale of a node's matrix, 16 numbers by columns."""
    from facecap_batch.exporting.take import quaternions

    whole = np.array(matrix, np.float64).reshape(4, 4).T
    turned = whole[:3, :3]
    scale = np.linalg.norm(turned, axis=0)
    if np.linalg.det(turned) < 0.0:
        scale[0] = -scale[0]
    unit = turned / np.where(scale == 0.0, 1.0, scale)
    rotation = quaternions(unit[None])[0]
    if not np.isfinite(rotation).all():
        rotation = IDENTITY
    return whole[:3, 3].tolist(), rotation.tolist(), scale.tolist()
