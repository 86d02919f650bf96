"""One picture of a person with its labels: pose, camera, light, background, degradations.

In: a `Person`, coefficients, a `View`. Out: a `Rendered` image (linear light resolved to 8 bit RGBA) with exact
labels in the units of the regressor's outputs. Camera frame: x right in the image, y up, z toward the viewer.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.synthesis import raster
from facecap_batch.synthesis.appearance import RIM_POINTS, TEMPLE_POINTS, Person
from facecap_batch.synthesis.expressions import gaze_from_coefficients
from facecap_batch.synthesis.head_model import LANDMARKS, HeadModel

# Points the regressor locates: 68 Multi-PIE landmarks, the two irises, the mouth centre of the face at rest.
POINTS = LANDMARKS + 3
# Exposed linear light 0..4 to 8 bit: a film-like shoulder instead of clipping, then the display's gamma.
TONE_SCALE = 2048
TONE = ((1 - np.exp(-1.6 * np.arange(4 * TONE_SCALE) / TONE_SCALE)) ** (1 / 2.2) * 255).astype(np.uint8)
CROP_SCALE = 1.5  # side of the crop over the longer side of the face box


@dataclasses.dataclass(frozen=True)
class View:
    """Where the head is and what window of the image plane is looked at."""

    rotation: np.ndarray  # float64 [3, 3], x_camera = rotation x_head, relative to the viewing ray
    distance: float  # centimetres from the camera to the midpoint of the eyeballs
    size: int  # pixels, the picture's side
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
    """A picture and its exact labels."""

    rgba: np.ndarray  # uint8 [size, size, 4], straight alpha
    coefficients: np.ndarray  # float32 [51]
    head: (
        np.ndarray
    )  # float32 [6]: yaw, pitch, roll (radians); u, v (window units -1..1); ln(window width in cm)
    points: np.ndarray  # float32 [POINTS, 2], window units -1..1, v down
    box: np.ndarray  # float32 [4], the face box in pixels of the picture
    lens: np.ndarray | None  # float32 [2, N, 2], pixel outlines of glasses' lenses


def euler(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """R = Ry(yaw) Rx(pitch) Rz(roll), float64 [3, 3]; radians."""
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rx = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    rz = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return ry @ rx @ rz


def angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """yaw, pitch, roll in radians of a rotation matrix; the inverse of `euler`."""
    pitch = np.arcsin(np.clip(-rotation[1, 2], -1, 1))
    return np.arctan2(rotation[0, 2], rotation[2, 2]), pitch, np.arctan2(rotation[1, 0], rotation[1, 1])


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


def render(model: HeadModel, person: Person, coefficients: np.ndarray, view: View, light: Light) -> Rendered:
    """Draw `person` making the face `coefficients` (float32 [51])."""
    face = raster.blend_shapes(
        person.rest, coefficients.astype(np.float32), model.shape_start, model.shape_vertex, model.shape_delta
    )
    for members, eye in ((model.lid_left, 0), (model.lid_right, 1)):
        raster.push_out(face, members, person.eyes[eye], np.float32(person.eye_radius * 1.03))
    vertices = np.concatenate([face, person.extra_vertices])
    place = np.concatenate([person.rest, person.extra_vertices])

    origin = person.eyes.mean(axis=0)  # the head's origin: between the eyeballs
    rotation = view.rotation
    seen = (vertices - origin) @ rotation.T.astype(np.float32)
    box = _extent(seen[model.face_box], view.distance)
    side = CROP_SCALE * max(box[2] - box[0], box[3] - box[1]) * view.scale  # tangents
    centre = (box[:2] + box[2:]) / 2 + view.jitter * side
    # Look along the ray through the window's centre: turn the world so that this ray is the optical axis.
    turn = _ray_rotation(centre)
    seen = (seen + np.array([0, 0, -view.distance], np.float32)) @ turn.astype(np.float32)
    rotation = turn.T @ rotation
    half = side / 2
    pixels_per_tangent = view.size / side

    def to_pixels(points: np.ndarray) -> np.ndarray:
        depth = np.maximum(-points[:, 2:3], 1.0)
        flat = points[:, :2] / depth * np.array([1, -1], points.dtype)
        return (flat * pixels_per_tangent + (view.size - 1) / 2).astype(np.float32)

    screen = to_pixels(seen)
    depth = np.ascontiguousarray(-seen[:, 2])
    owner, _ = raster.rasterise(
        screen,
        depth,
        person.triangles,
        person.material,
        person.cover,
        place,
        person.seed,
        view.size,
        view.size,
    )
    normals = raster.vertex_normals(seen, person.triangles)
    gaze = np.stack([_direction(*rotations) for rotations in gaze_from_coefficients(coefficients)])
    image = raster.shade(
        owner, screen, person.triangles, person.material, normals, place, person.uv, seen,
        person.texture, person.skin, person.hair, person.cloth, person.glasses, person.iris, person.eyes,
        gaze.astype(np.float32), light.ambient, light.direction, light.colour, np.float32(light.wrap),
        np.float32(person.gloss), person.seed,
    )  # fmt: skip
    rgba = raster.resolve(image, owner, TONE, np.float32(TONE_SCALE * light.exposure))

    iris = person.eyes + gaze * person.eye_radius
    mouth = person.rest[model.landmarks[[48, 54]]].mean(axis=0)
    special = (np.concatenate([iris, mouth[None]]) - origin) @ view.rotation.T + [0, 0, -view.distance]
    points = np.concatenate([screen[model.landmarks], to_pixels((special @ turn).astype(np.float32))])
    head_point = np.array([[0, 0, -view.distance]]) @ turn
    head_pixel = to_pixels(head_point.astype(np.float32))[0]
    unit = 2.0 / view.size
    uv = (head_pixel - (view.size - 1) / 2) * unit
    boxed = screen[model.face_box]
    return Rendered(
        rgba=rgba,
        coefficients=coefficients.astype(np.float32),
        head=np.array([*angles(rotation), *uv, np.log(2 * half * -head_point[0, 2])], np.float32),
        points=((points - (view.size - 1) / 2) * unit).astype(np.float32),
        box=np.array([*boxed.min(axis=0), *boxed.max(axis=0)], np.float32),
        lens=_lens_outlines(person, model, view, origin, turn, to_pixels) if person.lens else None,
    )


def _extent(points: np.ndarray, distance: float) -> np.ndarray:
    """Bounds in tangents (x right, y up) of points given relative to the head's origin: x0 y0 x1 y1."""
    flat = points[:, :2] / (distance - points[:, 2:3])
    return np.concatenate([flat.min(axis=0), flat.max(axis=0)])


def _ray_rotation(tangent: np.ndarray) -> np.ndarray:
    """Rotation whose third column's opposite is the unit ray through `tangent` (x right, y up): turns -z onto it."""
    forward = np.array([tangent[0], tangent[1], -1.0])
    back = -forward / np.linalg.norm(forward)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back], axis=1)


def _direction(yaw: float, pitch: float) -> np.ndarray:
    return np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])


def _lens_outlines(person: Person, model: HeadModel, view: View, origin, turn, to_pixels) -> np.ndarray:
    # Glasses are laid out rim, temple, rim, temple, bridge; a ribbon's first half is its outer edge.
    first = int(person.triangles[person.material == raster.GLASSES].min()) - len(person.rest)
    second = first + 2 * RIM_POINTS + 2 * TEMPLE_POINTS
    left, right = (person.extra_vertices[start : start + RIM_POINTS] for start in (first, second))
    outlines = []
    for rim in (left, right):
        seen = (rim - origin) @ view.rotation.T + [0, 0, -view.distance]
        outlines.append(to_pixels((seen @ turn).astype(np.float32)))
    return np.stack(outlines)
