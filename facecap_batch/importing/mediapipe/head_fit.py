"""The head's pose from landmarks, as nodes of an ONNX graph: a rigid fit without an SVD.

In: landmarks in space and a rigid face of the same points, weighted. Out: rotation, scale and the
position of a chosen point of the head. The rotation that brings the two closest is the quaternion q that
makes q' N q largest (Horn 1987), N being linear in their covariance and the rotation matrix in q q'. Both
maps are one constant. q q' is what the powers of N tend to, and squaring eight times gives the 256th.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.importing.mediapipe.onnx_builder import OnnxGraph

SQUARINGS = 8
_TINY = 1e-12


def _quaternion_map() -> np.ndarray:
    """float64 [9, 16]: rotation matrix, row by row, of a unit quaternion (w x y z), linear in q q'."""
    products = np.zeros((3, 3, 4, 4))
    products[..., 0, 0] = np.eye(3)
    for axis in range(3):
        i, j = axis + 1, (axis + 1) % 3 + 1
        products[..., i, i] = -np.eye(3)
        products[axis, axis, i, i] = 1
        other, k = (axis + 1) % 3, 6 - i - j
        # The off-diagonal entries: 2 (q_i q_j -+ w q_k), spread over both entries of the symmetric q q'.
        for row, column, sign in ((axis, other, -1), (other, axis, 1)):
            products[row, column, i, j] = products[row, column, j, i] = 1
            products[row, column, 0, k] = products[row, column, k, 0] = sign
    return products.reshape(9, 16)


QUATERNION_MAP = _quaternion_map()


@dataclasses.dataclass(frozen=True)
class Pose:
    """Names of the values that give the head's pose."""

    angles: str  # float32 [N, 3], yaw pitch roll, radians, R = Ry Rx Rz
    position: str  # float32 [N, 3], of the chosen point, unit and axes of the landmarks
    scale: str  # float32 [N, 1], units of the landmarks per unit of the face


def fit_head(
    graph: OnnxGraph, points: str, face: np.ndarray, weights: np.ndarray, origin: np.ndarray
) -> Pose:
    """Append the fit of `face` [P, 3], rigid, to `points` float32 [N, P, 3], both right-handed.

    weights: [P], not all 0. origin: [3], the point of the face whose position is wanted.
    """
    share = weights / weights.sum()
    middle = share @ face
    centred = (face - middle) * share[:, None]  # its columns sum to 0: the points need no centring
    rows = graph.node("Transpose", points, perm=[0, 2, 1])
    covariance = graph.node("MatMul", rows, graph.constant(centred.astype(np.float32)))  # [N, 3, 3]
    entries = graph.reshape(covariance, 0, 9)
    rotation = graph.node("MatMul", _outer_quaternion(graph, entries), _float32(graph, QUATERNION_MAP.T))
    overlap = graph.sum_of_products(rotation, entries, 1)
    spread = float((share[:, None] * (face - middle) ** 2).sum())
    scale = graph.node("Mul", overlap, graph.floats(1 / spread))

    middle_seen = graph.reshape(graph.node("MatMul", rows, _float32(graph, share[:, None])), 0, 3)
    offset = graph.node(
        "MatMul", graph.reshape(rotation, 0, 3, 3), _float32(graph, (origin - middle)[:, None])
    )
    position = graph.node("Add", middle_seen, graph.node("Mul", graph.reshape(offset, 0, 3), scale))
    return Pose(_euler(graph, rotation), position, scale)


def _float32(graph: OnnxGraph, array: np.ndarray) -> str:
    return graph.constant(array.astype(np.float32))


def _outer_quaternion(graph: OnnxGraph, entries: str) -> str:
    """q q' [N, 16] of the best rotation for covariances [N, 9]."""
    form = graph.node("MatMul", entries, _float32(graph, QUATERNION_MAP))
    # Its eigenvalues sum to 0: raised by their norm, the largest is also the largest in size.
    size = graph.node("Sqrt", graph.sum_of_products(form, form, 1))
    size = graph.node("Max", size, graph.floats(_TINY))
    raised = graph.node("Add", graph.node("Div", form, size), _float32(graph, np.eye(4).reshape(1, 16)))
    power = graph.reshape(raised, 0, 4, 4)
    for _ in range(SQUARINGS):
        power = graph.node("MatMul", power, power)
        power = graph.node("Div", power, graph.reshape(_trace(graph, power), 0, 1, 1))
    return graph.reshape(power, 0, 16)


def _trace(graph: OnnxGraph, matrices: str) -> str:
    """[N, 1] of [N, 4, 4]."""
    diagonal = _float32(graph, np.eye(4).reshape(1, 16))
    return graph.sum_of_products(graph.reshape(matrices, 0, 16), diagonal, 1)


def _euler(graph: OnnxGraph, rotation: str) -> str:
    """Yaw, pitch, roll [N, 3] of rotation matrices [N, 9], as `geometry.euler_from_matrix`."""

    def entry(row: int, column: int) -> str:
        return graph.slice(rotation, 1, 3 * row + column, 3 * row + column + 1)

    level = graph.node("Sqrt", _squares(graph, entry(0, 2), entry(2, 2)))
    angles = (
        angle_of(graph, entry(0, 2), entry(2, 2)),
        angle_of(graph, graph.node("Neg", entry(1, 2)), level),
        angle_of(graph, entry(1, 0), entry(1, 1)),
    )
    return graph.concat(angles, 1)


def _squares(graph: OnnxGraph, a: str, b: str) -> str:
    return graph.node("Add", graph.node("Mul", a, a), graph.node("Mul", b, b))


def angle_of(graph: OnnxGraph, y: str, x: str) -> str:
    """The angle of the direction (x, y), -pi..pi: ONNX has no two-argument arc tangent."""
    length = graph.node("Sqrt", _squares(graph, y, x))
    beside = graph.node("Max", graph.node("Add", length, x), graph.floats(_TINY))
    half = graph.node("Atan", graph.node("Div", y, beside))
    return graph.node("Mul", half, graph.floats(2.0))
