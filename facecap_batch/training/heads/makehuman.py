"""Reading MakeHuman's files: the base mesh, its face, eyebrow meshes, skin textures, and their licence.

In: MakeHuman's own files, laid out as `skins` says. Out: meshes in decimetres and linear RGB images.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from facecap_batch.training.heads.source_files import SourceFile

# A file is used only if it carries this sentence, from the header of each of MakeHuman's own asset files.
LICENCE, LICENCE_SENTENCE = "CC0-1.0", "explicitly released as CC0"
BASE_MESH = SourceFile(
    ("base.obj",), "makehuman/data/3dobjs/base.obj of github.com/makehumancommunity/makehuman"
)
FOLDER_ADVICE = "docs/training.md shows what the folder for --makehuman holds"
DECIMETRE = 10.0  # MakeHuman's unit in centimetres


@dataclasses.dataclass(frozen=True)
class Mesh:
    """A Wavefront mesh of quads."""

    vertices: np.ndarray  # float64 [V, 3], decimetres
    uv: np.ndarray  # float64 [U, 2], v up
    quads: np.ndarray  # int64 [Q, 4], vertices
    quad_uvs: np.ndarray  # int64 [Q, 4], rows of uv


def read_mesh(path: Path, group: str | None = None) -> Mesh:
    """The quads of `path`, of its group `group` only where that is given."""
    vertices, uvs, quads, current = [], [], [], None
    with path.open() as file:
        for line in file:
            kind, *rest = line.split() or [""]
            if kind == "v":
                vertices.append([float(x) for x in rest[:3]])
            elif kind == "vt":
                uvs.append([float(x) for x in rest[:2]])
            elif kind == "g":
                current = rest[0] if rest else ""
            elif kind == "f" and group in (None, current) and len(rest) == 4:
                quads.append([[int(x) - 1 for x in corner.split("/")[:2]] for corner in rest])
    corners = np.array(quads).reshape(-1, 4, 2)
    return Mesh(np.array(vertices), np.array(uvs), corners[..., 0], corners[..., 1])


def brow_mesh(clothes: Path, head: Mesh) -> Mesh:
    """The mesh of a .mhclo file on the base head: each vertex is a weighted sum of three of the head's plus
    an offset in units of three of the head's measures."""
    scale, rows = np.ones(3), []
    for line in clothes.read_text().splitlines():
        words = line.split()
        if len(words) == 4 and words[0] in ("x_scale", "y_scale", "z_scale"):
            axis = "xyz".index(words[0][0])
            ends = head.vertices[[int(words[1]), int(words[2])], axis]
            scale[axis] = abs(ends[0] - ends[1]) / float(words[3])
        elif len(words) == 9 and words[0].isdigit():
            rows.append([float(word) for word in words])
    table = np.array(rows)
    positions = np.einsum("vk,vkd->vd", table[:, 3:6], head.vertices[table[:, :3].astype(int)])
    return dataclasses.replace(
        read_mesh(clothes.with_suffix(".obj")), vertices=positions + table[:, 6:] * scale
    )


def _labels(pairs: np.ndarray, count: int) -> np.ndarray:
    """int32 [count], the connected component of each node under the edges `pairs` [E, 2]."""
    edges = coo_matrix((np.ones(len(pairs)), pairs.T), (count, count))
    labels: np.ndarray = connected_components(edges, directed=False)[1]
    return labels


def islands(mesh: Mesh) -> np.ndarray:
    """int32 [Q], which piece of texture each quad lies on."""
    joined = np.stack([mesh.quad_uvs.ravel(), np.repeat(mesh.quad_uvs[:, 0], 4)], axis=1)
    piece: np.ndarray = _labels(joined, len(mesh.uv))[mesh.quad_uvs[:, 0]]
    return piece


def face_island(mesh: Mesh) -> tuple[Mesh, list[np.ndarray]]:
    """The part of `mesh` whose texture is one piece with the nose, and the rims of its holes.

    Rims of the mouth and of both eyes: float64 [K, 3] each, decimetres, in no order.
    """
    island = islands(mesh)
    middle = mesh.vertices[mesh.quads].mean(axis=1)
    top = mesh.vertices[mesh.quads, 1].max()
    nose = np.argmax(middle[:, 2] - 10 * np.abs(middle[:, 0]) - 10 * (middle[:, 1] < top - 2.2))
    kept = island == island[nose]
    quads, quad_uvs = mesh.quads[kept], mesh.quad_uvs[kept]
    edges: Counter[tuple[int, int]] = Counter()
    ends = {}
    for quad, texture in zip(quads.tolist(), quad_uvs.tolist(), strict=True):
        for k in range(4):
            after = (k + 1) % 4
            key = (min(texture[k], texture[after]), max(texture[k], texture[after]))
            edges[key] += 1
            ends[key] = (quad[k], quad[after])
    rim = np.array([ends[key] for key, count in edges.items() if count == 1])
    label = _labels(rim, len(mesh.vertices))
    rims = [mesh.vertices[np.unique(rim[label[rim[:, 0]] == piece])] for piece in np.unique(label[rim[:, 0]])]
    rims = sorted(rims, key=lambda points: float(-points[:, 2].mean()))[:3]  # not the back of the head
    rims.sort(key=lambda points: abs(float(points[:, 0].mean())))
    return Mesh(mesh.vertices, mesh.uv, quads, quad_uvs), rims


def linear_image(path: Path) -> np.ndarray:
    """The sRGB image in the file `path`: float32 [H, W, 3], linear RGB.

    Raises:
        FileNotFoundError: there is no image in that file.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"not an image: {path}")
    level = np.arange(256) / 255
    table = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float32)
    linear: np.ndarray = table[image[..., ::-1]]
    return linear


def is_free(path: Path) -> bool:
    """Whether the header of one of MakeHuman's text files states that it is CC0."""
    return LICENCE_SENTENCE in path.read_text()[:2000]
