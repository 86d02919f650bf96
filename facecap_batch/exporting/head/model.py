"""A morphable head: neutral mesh, materials and morph targets. `mesh` builds it, the exporters read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Container

import numpy as np


@dataclasses.dataclass(frozen=True)
class Material:
    """A plain surface colour."""

    name: str
    colour: tuple[float, float, float]  # red, green, blue, linear, 0..1
    shine: float  # 0 matte .. 1 glossy


@dataclasses.dataclass(frozen=True, eq=False)
class Morph:
    """One morph target at weight 1, as differences from the neutral head at the vertices it changes."""

    name: str  # of a coefficient, or of a rig's channel
    indices: np.ndarray  # int32 [M], ascending
    offsets: np.ndarray  # float64 [M, 3], centimetres
    normal_offsets: np.ndarray  # float64 [M, 3]


@dataclasses.dataclass(frozen=True, eq=False)
class HeadModel:
    """A neutral head and its morph targets, in the head frame of the capture.

    Origin midway between the eyeballs, x toward the subject's left, y up, z out of the face, centimetres.
    """

    vertices: np.ndarray  # float64 [V, 3], centimetres
    normals: np.ndarray  # float64 [V, 3], unit length, outward
    faces: np.ndarray  # int32 [F, 4], counterclockwise seen from outside; a triangle holds -1 last
    face_materials: np.ndarray  # int32 [F], index into `materials`
    face_uvs: np.ndarray  # float64 [F, 4, 2], 0..1
    materials: tuple[Material, ...]
    morphs: tuple[Morph, ...]  # of the packaged head SHAPE_NAMES
    parts: dict[str, np.ndarray]  # part name -> int32 vertex indices, ascending ("skin", "eyeLeft", ...)

    def morph(self, name: str) -> Morph:
        """The morph target called `name`.

        Raises:
            KeyError: there is none.
        """
        for morph in self.morphs:
            if morph.name == name:
                return morph
        raise KeyError(name)

    def with_morphs(self, names: Container[str]) -> HeadModel:
        """The head with those of its morph targets that `names` names, in their order here."""
        return dataclasses.replace(self, morphs=tuple(morph for morph in self.morphs if morph.name in names))

    def posed(self, weights: dict[str, float]) -> np.ndarray:
        """float64 [V, 3], centimetres: the vertices with morph targets added at `weights` (name -> 0..1)."""
        vertices: np.ndarray = self.vertices.copy()
        for name, weight in weights.items():
            morph = self.morph(name)
            vertices[morph.indices] += weight * morph.offsets
        return vertices
