"""A mesh in motion: the material of each triangle, shapes blended into vertices, normals.

In: vertices, shapes and weights as NumPy arrays. Out: moved vertices. Compiled, for a head is posed for every
image.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.training.compiled import fast

# Materials, in the order of `head_model.MATERIALS`.
FACE, HEAD, MOUTH, GUMS, TEETH, EYE_LEFT, EYE_RIGHT, LASH, HAIR, CLOTH, GLASSES = range(11)


@fast
def blend_shapes(
    rest: np.ndarray, values: np.ndarray, start: np.ndarray, vertex: np.ndarray, delta: np.ndarray
) -> np.ndarray:
    """`rest` plus the sparse shapes weighted by `values` [51]: float32 [V, 3]."""
    out: np.ndarray = rest.copy()
    for k in range(values.shape[0]):
        weight = values[k]
        if -1e-3 < weight < 1e-3:
            continue
        for row in range(start[k], start[k + 1]):
            v = vertex[row]
            out[v, 0] += weight * delta[row, 0]
            out[v, 1] += weight * delta[row, 1]
            out[v, 2] += weight * delta[row, 2]
    return out


@fast
def push_out(vertices: np.ndarray, members: np.ndarray, centre: np.ndarray, radius: np.float32) -> None:
    """Move `members` that lie inside a ball to its surface, in place: lids slide over the eyeball."""
    for v in members:
        x = vertices[v, 0] - centre[0]
        y = vertices[v, 1] - centre[1]
        z = vertices[v, 2] - centre[2]
        distance = np.sqrt(x * x + y * y + z * z)
        if 0.2 * radius < distance < radius and z > 0:
            grow = radius / distance
            vertices[v, 0] = centre[0] + x * grow
            vertices[v, 1] = centre[1] + y * grow
            vertices[v, 2] = centre[2] + z * grow


@fast
def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals: float32 [V, 3]."""
    normals = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux = vertices[b, 0] - vertices[a, 0]
        uy = vertices[b, 1] - vertices[a, 1]
        uz = vertices[b, 2] - vertices[a, 2]
        vx = vertices[c, 0] - vertices[a, 0]
        vy = vertices[c, 1] - vertices[a, 1]
        vz = vertices[c, 2] - vertices[a, 2]
        nx = uy * vz - uz * vy
        ny = uz * vx - ux * vz
        nz = ux * vy - uy * vx
        for i in (a, b, c):
            normals[i, 0] += nx
            normals[i, 1] += ny
            normals[i, 2] += nz
    for v in range(vertices.shape[0]):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-12
        normals[v, 0] /= length
        normals[v, 1] /= length
        normals[v, 2] /= length
    return normals
