"""Heads that do what a frame of a clip says: the one that the FBX files hold, or a plain one of a family.

In: coefficients, a head pose and a camera. Out: an image. All are lit alike, from above and one side, so that
lids, brows, lips and cheeks have edges; nothing of them but the expression differs from frame to frame.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.head import head_model
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.heads import mesh
from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.people.appearance import Person, person
from facecap_batch.training.people.identities import Identity
from facecap_batch.training.people.rig import Rig
from facecap_batch.training.rendering import raster
from facecap_batch.training.rendering.scene import TONE, TONE_SCALE, Camera, Light, crevices, draw
from facecap_batch.training.sheets.bars import GROUND

OVERSAMPLING = 2  # times; then reduced, which smooths edges
TONE_OF_SKIN = 0.3  # 0 fair .. 1 deep: shadows are seen on it
SEED = 0  # of what is random about a person and is not set here: one with full brows, bare lips
CREVICE = 0.5  # how dark hollows are, 0..1
WRAP = 0.1  # softness of skin
WET = 4.0  # how much a cornea reflects
EXPOSURE = 0.6  # of the shipped head; the other's is automatic


def _unit(*direction: float) -> np.ndarray:
    unit: np.ndarray = np.array(direction) / np.linalg.norm(direction)
    return unit


LIGHT = Light(
    ambient=np.stack([np.full(3, 0.12), np.full(3, 0.3), _unit(0, 1, 0.3)]).astype(np.float32),
    direction=np.stack([_unit(-0.55, 0.75, 0.6), _unit(0.9, 0.1, 0.5)]).astype(np.float32),
    colour=np.array([[0.85, 0.83, 0.8], [0.16, 0.18, 0.22]], np.float32),
    wrap=WRAP,
    exposure=1.0,
)


class Head(Protocol):
    """A head that can be drawn."""

    def drawn(self, coefficients: np.ndarray, pose: np.ndarray, camera: Camera) -> np.ndarray:
        """Draw it.

        Args:
            coefficients: float32 [51], 0..1.
            pose: float32 [6], yaw pitch roll in radians, x y z in centimetres, camera frame.
            camera: what looks at it.

        Returns:
            uint8 [camera.height, camera.width, 3] RGB.
        """
        ...


class ShippedHead:
    """The head that the FBX files hold, in its own colours."""

    def __init__(self) -> None:
        """Build it; takes about a second."""
        head = head_model().with_morphs(ARKIT_NAMES)
        self._rest = head.vertices.astype(np.float32)
        lengths = [len(morph.indices) for morph in head.morphs]
        self._start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        self._vertex = np.concatenate([morph.indices for morph in head.morphs]).astype(np.int32)
        self._delta = np.concatenate([morph.offsets for morph in head.morphs]).astype(np.float32)
        quads = head.faces[:, 3] >= 0
        self._triangles = np.concatenate([head.faces[:, [0, 1, 2]], head.faces[quads][:, [0, 2, 3]]])
        materials = np.concatenate([head.face_materials, head.face_materials[quads]])
        self._colour = np.array([material.colour for material in head.materials], np.float32)[materials]
        self._shine = np.array([material.shine for material in head.materials], np.float32)[materials]
        thin = np.array([material.name == "lashes" for material in head.materials])[materials]
        self._material = np.where(thin, mesh.LASH, mesh.FACE).astype(np.int8)  # lashes are seen from behind

    def drawn(self, coefficients: np.ndarray, pose: np.ndarray, camera: Camera) -> np.ndarray:
        """See `Head`."""
        camera = _larger(camera)
        face = mesh.blend_shapes(
            self._rest, coefficients.astype(np.float32), self._start, self._vertex, self._delta
        )
        rotation = matrix_from_euler(pose[:3]).astype(np.float32)
        view = np.ascontiguousarray(face @ rotation.T + pose[3:].astype(np.float32))
        screen = camera.project(view)
        owner, depth = raster.rasterise(
            screen, np.ascontiguousarray(-view[:, 2]), self._triangles, self._material,
            np.ones(len(view), np.float32), self._rest, SEED, camera.width, camera.height,
        )  # fmt: skip
        light = self._lit(owner, screen, view)
        light *= crevices(depth, camera.focal, CREVICE)[..., None]
        return _over_ground(raster.resolve(light, owner, TONE, np.float32(TONE_SCALE * EXPOSURE)))

    def _lit(self, owner: np.ndarray, screen: np.ndarray, view: np.ndarray) -> np.ndarray:
        """Linear RGB float32 [H, W, 3] of the pixels that have an owner."""
        image = np.zeros((*owner.shape, 3), np.float32)
        rows, columns = np.nonzero(owner >= 0)
        seen = owner[rows, columns]
        corners = self._triangles[seen]
        weights = _barycentric(screen[corners], np.stack([columns, rows], axis=1))
        normals = mesh.vertex_normals(view, self._triangles)
        normal = _normalised(np.einsum("nk,nkd->nd", weights, normals[corners]))
        toward = _normalised(-np.einsum("nk,nkd->nd", weights, view[corners]))
        below, above, up = LIGHT.ambient
        share = 0.5 + 0.5 * (normal @ up)[:, None]
        diffuse = below * (1 - share) + above * share
        gloss = np.zeros((len(seen), 3), np.float32)
        shine = self._shine[seen, None]
        reflecting = np.where(shine >= 1.0, WET, shine**2)
        for direction, colour in zip(LIGHT.direction, LIGHT.colour, strict=True):
            facing = (normal @ direction)[:, None]
            diffuse = diffuse + np.maximum((facing + WRAP) / (1 + WRAP), 0) * colour
            half = np.einsum("nd,nd->n", normal, _normalised(toward + direction))[:, None]
            gloss += (facing > 0) * np.maximum(half, 0) ** (10 + 190 * shine**2) * reflecting * colour
        image[rows, columns] = self._colour[seen] * diffuse + gloss
        return image


class RigHead:
    """The mean head of a family of rigs, with plain skin, without hair."""

    def __init__(self, rig: Rig) -> None:
        """`rig`: of the family; its skins are not used."""
        self._model = rig.model
        self._person = _plain_person(rig.model)

    def drawn(self, coefficients: np.ndarray, pose: np.ndarray, camera: Camera) -> np.ndarray:
        """See `Head`."""
        rotation, position = matrix_from_euler(pose[:3]), pose[3:].astype(np.float64)
        larger = _larger(camera)
        drawing = draw(self._model, self._person, coefficients, rotation, position, larger, LIGHT)
        return _over_ground(drawing.rgba)


def _plain_person(model: HeadModel) -> Person:
    """Somebody with the neutral face of `model`, without habits, folds at rest, hair, clothes and glasses."""

    def neutral(model: HeadModel, _: np.random.Generator) -> Identity:
        return Identity(model.neutral, 0.0)

    who = person(Rig(model, neutral), np.random.default_rng(SEED), TONE_OF_SKIN)
    shown = ~np.isin(who.material, (mesh.HAIR, mesh.CLOTH, mesh.GLASSES))
    return dataclasses.replace(
        who,
        habit=np.zeros_like(who.habit),
        creases=dataclasses.replace(who.creases, rest=np.zeros_like(who.creases.rest)),
        triangles=who.triangles[shown],
        cover=np.zeros_like(who.cover),  # no lashes: single hairs hide the lids
        material=who.material[shown],
        cloth=np.array([0, 0, 0, -100], np.float32),  # a collar far below
        lens=0.0,
        crevice=CREVICE,
        gloss=0.2,
        interior=0.7,
    )


def _larger(camera: Camera) -> Camera:
    return Camera(
        camera.width * OVERSAMPLING,
        camera.height * OVERSAMPLING,
        camera.focal * OVERSAMPLING,
        (camera.shift[0] * OVERSAMPLING, camera.shift[1] * OVERSAMPLING),
    )


def _over_ground(rgba: np.ndarray) -> np.ndarray:
    """`rgba` before the colour of the sheet, reduced by OVERSAMPLING: uint8 [H, W, 3]."""
    ground = np.full((*rgba.shape[:2], 3), GROUND, np.uint8)
    size = (rgba.shape[1] // OVERSAMPLING, rgba.shape[0] // OVERSAMPLING)
    return cv2.resize(raster.over(rgba, ground), size, interpolation=cv2.INTER_AREA)


def _barycentric(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights float32 [N, 3] of triangles' `corners` [N, 3, 2] at `points` [N, 2]."""
    a, b, c = (corners[:, k].astype(np.float64) for k in range(3))
    area = _cross(b - a, c - a)
    first, second = _cross(b - points, c - points) / area, _cross(c - points, a - points) / area
    return np.stack([first, second, 1 - first - second], axis=1).astype(np.float32)


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    found: np.ndarray = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return found


def _normalised(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)
    return unit
