"""One image of a person with its labels: pose, camera, light.

In: a `Person`, coefficients, a `View`. Out: a `Rendered` image (linear light resolved to 8 bit RGBA) with
exact labels in the units of the regressor's outputs. Camera frame: x right in the image, y up, z toward the
viewer.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.engines.default_crop import CROP_SCALE
from facecap_batch.geometry import euler_from_matrix, eye_direction, rotation_onto
from facecap_batch.training.heads import mesh
from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.people.appearance import Person
from facecap_batch.training.people.attire import RIM_POINTS, TEMPLE_POINTS
from facecap_batch.training.rendering import raster
from facecap_batch.training.rendering.gaze import gaze_from_coefficients

LID_CLEARANCE = 1.03  # lids lie this much outside the eyeball's radius
# Exposed linear light 0..4 to 8 bit: a film-like shoulder instead of clipping, then the display's gamma.
TONE_SCALE = 2048
TONE = ((1 - np.exp(-1.6 * np.arange(4 * TONE_SCALE) / TONE_SCALE)) ** (1 / 2.2) * 255).astype(np.uint8)

OVERSAMPLING = 1.5
CREVICES = (
    (0.2, 0.08),
    (0.9, 0.5),
)  # cm: how wide hollows are, how deep the darkest
MIDDLE_LIGHT = 0.16  # mean linear light of a well exposed head
AUTO_EXPOSURE = 0.75  # share of a wrong exposure, as an exponent, that the camera corrects


@dataclasses.dataclass(frozen=True)
class View:
    """Where the head is and which window of the image plane is rendered."""

    rotation: np.ndarray  # float64 [3, 3], x_camera = rotation x_head, relative to the viewing ray
    distance: float  # centimetres from the camera to the midpoint of the eyeballs
    size: int  # pixels, the image's side
    jitter: np.ndarray  # float [2], shift of the window in units of its side
    scale: float  # window side over the nominal one (CROP_SCALE times the face box)


@dataclasses.dataclass(frozen=True)
class Light:
    """Ambient gradient and directional lights, linear RGB, in the camera frame."""

    ambient: np.ndarray  # float32 [3, 3]: from below, from above, up direction
    direction: np.ndarray  # float32 [L, 3], unit vectors toward the lights
    colour: np.ndarray  # float32 [L, 3]
    wrap: float
    exposure: float


@dataclasses.dataclass(frozen=True)
class Rendered:
    """An image and its exact labels."""

    rgba: np.ndarray  # uint8 [size, size, 4], straight alpha
    coefficients: np.ndarray  # float32 [51]
    # float32 [6]: yaw, pitch, roll (radians); u, v (window units -1..1); ln(window width in cm)
    head: np.ndarray
    points: np.ndarray  # float32 [POINTS, 2], default_crop.POINTS, window units -1..1, v down
    box: np.ndarray  # float32 [4], the face box in pixels of the image
    lens: np.ndarray | None  # float32 [2, N, 2], pixel outlines of glasses' lenses


def random_light(rng: np.random.Generator) -> Light:
    """Indoor, outdoor, hard, flat, coloured, from any side but mostly from above."""
    warm = rng.normal(0, 0.12)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    level = rng.uniform(0.12, 0.9)
    below, above = tint * level * rng.uniform(0.2, 1.0), tint[::-1] * level
    up = np.array([rng.normal(0, 0.5), 1.0, rng.normal(0.2, 0.4)])
    count = rng.integers(1, 4)
    azimuth = rng.uniform(-1.9, 1.9, count)
    elevation = rng.normal(0.5, 0.45, count)
    direction = np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], 1
    )
    strength = rng.uniform(0.1, 1.3, count) * (1.1 - level * 0.6)
    colour = strength[:, None] * tint * np.exp(rng.normal(0, 0.12, (count, 3)))
    return Light(
        ambient=np.stack([below, above, up / np.linalg.norm(up)]).astype(np.float32),
        direction=direction.astype(np.float32),
        colour=colour.astype(np.float32),
        wrap=float(rng.uniform(0.05, 0.45)),
        exposure=float(np.exp(rng.normal(0.05, 0.32))),
    )


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera."""

    width: int  # pixels
    height: int  # pixels
    focal: float  # pixels
    shift: tuple[float, float] = (0.0, 0.0)  # pixels, of its principal point from the centre of the image

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels float32 [N, 2] (x right, y down) of camera-frame points [N, 3] in centimetres."""
        depth = np.maximum(-points[:, 2:3], 1.0)
        centre = np.array([self.width - 1, self.height - 1]) / 2 + self.shift
        pixels: np.ndarray = points[:, :2] / depth * np.array([self.focal, -self.focal]) + centre
        return pixels.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What `draw` returns."""

    rgba: np.ndarray  # uint8 [height, width, 4], straight alpha
    points: np.ndarray  # float32 [POINTS, 2], default_crop.POINTS, pixels
    box: np.ndarray  # float32 [4], the face box in pixels
    lens: np.ndarray | None  # float32 [2, N, 2], pixel outlines of glasses' lenses


def draw(
    model: HeadModel,
    person: Person,
    coefficients: np.ndarray,
    rotation: np.ndarray,
    position: np.ndarray,
    camera: Camera,
    light: Light,
) -> Drawing:
    """Draw `person` with an expression.

    Args:
        model: the head that `person` is made from.
        coefficients: float32 [51], 0..1.
        rotation, position: float64 [3, 3] and [3] (centimetres), x_camera = rotation x_head + position, where
            the head's origin is the midpoint of the eyeballs.
    """
    weights = person.weights(coefficients)
    face = mesh.blend_shapes(person.rest, weights, model.shape_start, model.shape_vertex, model.shape_delta)
    for members, eye in ((model.lid_left, 0), (model.lid_right, 1)):
        mesh.push_out(face, members, person.eyes[eye], np.float32(person.eye_radius * LID_CLEARANCE))
    rest = np.concatenate([person.rest, person.extra_vertices])
    origin = person.eyes.mean(axis=0)

    def in_camera(points: np.ndarray) -> np.ndarray:
        turned: np.ndarray = (points - origin) @ rotation.T.astype(np.float32)
        return (turned + position.astype(np.float32)).astype(np.float32)

    view = in_camera(np.concatenate([face, person.extra_vertices]))
    screen = camera.project(view)
    owner, depth = raster.rasterise(
        screen, np.ascontiguousarray(-view[:, 2]), person.triangles, person.material, person.cover, rest,
        person.seed, camera.width, camera.height,
    )  # fmt: skip
    normals = mesh.vertex_normals(view, person.triangles)
    folded = person.texture * person.creases.shadow(weights)[..., None]
    gaze = np.stack([eye_direction(*rotations) for rotations in gaze_from_coefficients(coefficients)])
    image = raster.shade(
        owner, screen, person.triangles, person.material, normals, rest, person.uv, view,
        folded, person.skin, person.hair, person.cloth, person.glasses, person.iris, person.eyes,
        gaze.astype(np.float32), light.ambient, light.direction, light.colour, np.float32(light.wrap),
        np.float32(person.gloss), np.float32(person.interior), person.seed,
    )  # fmt: skip
    image *= crevices(depth, camera.focal, person.crevice)[..., None]
    iris = person.eyes + gaze * person.eye_radius
    mouth = person.rest[model.landmarks[[48, 54]]].mean(axis=0)
    special = camera.project(in_camera(np.concatenate([iris, mouth[None]])))
    boxed = screen[model.face_box]
    return Drawing(
        rgba=raster.resolve(image, owner, TONE, np.float32(TONE_SCALE * _exposure(image, owner, light))),
        points=np.concatenate([screen[model.landmarks], special]),
        box=np.array([*boxed.min(axis=0), *boxed.max(axis=0)], np.float32),
        lens=np.stack([camera.project(in_camera(rim)) for rim in _rims(person)]) if person.lens else None,
    )


def render(
    model: HeadModel,
    person: Person,
    coefficients: np.ndarray,
    view: View,
    light: Light,
    oversampling: float = OVERSAMPLING,
) -> Rendered:
    """Draw `person` with the expression `coefficients` (float32 [51]) as the regressor's crop of the face.

    The image is drawn `oversampling` times as large and reduced, which smooths edges as a lens does.
    """
    size = round(view.size * oversampling)
    origin = person.eyes.mean(axis=0)
    rest = (person.rest[model.face_box] - origin) @ view.rotation.T
    box = _extent(rest, view.distance)
    side = CROP_SCALE * max(box[2] - box[0], box[3] - box[1]) * view.scale  # tangents
    centre = (box[:2] + box[2:]) / 2 + view.jitter * side
    # Look along the ray through the window's centre: rotate the world so that this ray is the optical axis.
    onto_ray = rotation_onto(np.array([*centre, -1.0]))
    rotation = onto_ray.T @ view.rotation
    position = onto_ray.T @ np.array([0.0, 0.0, -view.distance])
    camera = Camera(size, size, size / side)
    drawing = draw(model, person, coefficients, rotation, position, camera, light)
    middle, unit = (size - 1) / 2, 2.0 / size
    uv = (camera.project(position[None])[0] - middle) * unit
    return Rendered(
        rgba=_reduced(drawing.rgba, view.size),
        coefficients=coefficients.astype(np.float32),
        head=np.array([*euler_from_matrix(rotation), *uv, np.log(side * -position[2])], np.float32),
        points=((drawing.points - middle) * unit).astype(np.float32),
        box=drawing.box * (view.size / size),
        lens=None if drawing.lens is None else (drawing.lens + 0.5) * (view.size / size) - 0.5,
    )


def _reduced(rgba: np.ndarray, size: int) -> np.ndarray:
    """A square image at `size` pixels: uint8 [size, size, 4], straight alpha."""
    small: np.ndarray = cv2.resize(rgba, (size, size), interpolation=cv2.INTER_AREA)
    # Where nothing is drawn colours are 0, so averaging weighs them by alpha; undo that.
    alpha = np.maximum(small[..., 3:].astype(np.float32), 1)
    small[..., :3] = np.clip(small[..., :3].astype(np.float32) * 255 / alpha, 0, 255)
    return small


def crevices(depth: np.ndarray, focal: float, strength: float) -> np.ndarray:
    """The share of light that reaches each pixel: float32 [height, width], 1 in the open, less in hollows.

    Less of the sky reaches what lies deeper than its surroundings: eye sockets, the line between the lips,
    the fold beside the nose.
    """
    seen = depth < 1e8
    light = np.ones_like(depth)
    if not seen.any():
        return light
    pixels_per_cm = focal / float(np.median(depth[seen]))
    for reach, deep in CREVICES:
        hollow = raster.hollow(depth, seen, max(reach * pixels_per_cm, 0.5))
        light *= 1 - strength * 0.5 * np.clip(hollow / deep, 0, 1)
    return light


def _exposure(image: np.ndarray, owner: np.ndarray, light: Light) -> float:
    """The factor of linear light that an automatic camera would set, most of the way."""
    seen = image[owner >= 0]
    mean = float(seen.mean()) if len(seen) else MIDDLE_LIGHT
    return light.exposure * float((MIDDLE_LIGHT / max(mean, 1e-3)) ** AUTO_EXPOSURE)


def _extent(points: np.ndarray, distance: float) -> np.ndarray:
    """Bounds in tangents (x right, y up) of points given relative to the head's origin: x0 y0 x1 y1."""
    flat = points[:, :2] / (distance - points[:, 2:3])
    return np.concatenate([flat.min(axis=0), flat.max(axis=0)])


def _rims(person: Person) -> tuple[np.ndarray, np.ndarray]:
    # Glasses are laid out rim, temple, rim, temple, bridge; a ribbon's first half is its outer edge.
    first = int(person.triangles[person.material == mesh.GLASSES].min()) - len(person.rest)
    second = first + 2 * RIM_POINTS + 2 * TEMPLE_POINTS
    left, right = (person.extra_vertices[start : start + RIM_POINTS] for start in (first, second))
    return left, right
