"""How a person looks: skin texture with lips, brows and beard, hair, eyes, clothes, glasses.

In: the head model, a random generator and, where there are any, photographic skins; the rest is procedural.
Out: a `Person` that can be rendered with any expression, pose and light. Colours are linear RGB, lengths
centimetres, at rest in the head frame.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.synthesis.head_model import HeadModel
from facecap_batch.synthesis.raster import CLOTH, GLASSES, HAIR, LASH, blend_shapes, vertex_normals

if TYPE_CHECKING:
    from facecap_batch.synthesis.skins import Skins

TEXTURE = 256
PHOTOGRAPHIC = 0.65  # share of people with a skin, and with brows, from photographs where there are some
NEAREST_SKINS = 6
RIM_POINTS = 24
LID_OVERLAP = 0.05  # cm by which closed lids overlap
TEMPLE_POINTS = 8
# From fair to deep skin, linear RGB; a tone is a point on this line plus noise.
SKIN_TONES = np.array(
    [[0.80, 0.56, 0.45], [0.68, 0.42, 0.31], [0.52, 0.29, 0.19], [0.33, 0.17, 0.10], [0.17, 0.08, 0.05],
     [0.075, 0.035, 0.022]]
)  # fmt: skip
HAIR_COLOURS = np.array(
    [[0.010, 0.008, 0.007], [0.03, 0.018, 0.010], [0.09, 0.045, 0.020], [0.30, 0.19, 0.08],
     [0.16, 0.05, 0.02], [0.30, 0.29, 0.28], [0.60, 0.58, 0.56]]
)  # fmt: skip
IRIS_COLOURS = np.array(
    [[0.08, 0.035, 0.015], [0.14, 0.07, 0.03], [0.20, 0.14, 0.06], [0.12, 0.17, 0.09], [0.16, 0.24, 0.33],
     [0.25, 0.30, 0.33]]
)  # fmt: skip
# Resting faces: stem of the shape, mean, standard deviation, least, most.
HABITS = (
    ("eyeBlink", 0.06, 0.13, -0.15, 0.4), ("eyeSquint", 0.1, 0.18, 0.0, 0.5), ("eyeWide", 0.0, 0.1, 0.0, 0.3),
    ("browInnerUp", 0.0, 0.22, -0.5, 0.5), ("browOuterUp", 0.0, 0.2, -0.5, 0.5),
    ("browDown", 0.0, 0.22, -0.4, 0.5), ("cheekSquint", 0.0, 0.12, -0.2, 0.3),
    ("cheekPuff", 0.0, 0.15, -0.3, 0.3), ("noseSneer", 0.0, 0.08, -0.15, 0.2),
    ("mouthSmile", 0.0, 0.09, -0.2, 0.2), ("mouthFrown", 0.0, 0.09, -0.2, 0.2),
    ("mouthRollUpper", 0.0, 0.18, -0.3, 0.5), ("mouthRollLower", 0.0, 0.18, -0.3, 0.5),
    ("mouthShrugUpper", 0.0, 0.12, -0.2, 0.3), ("mouthShrugLower", 0.0, 0.12, -0.2, 0.3),
    ("mouthStretch", 0.0, 0.08, -0.15, 0.2), ("mouthPucker", 0.0, 0.06, -0.1, 0.15),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Person:
    """One identity, ready to be posed: geometry at rest plus its materials."""

    rest: np.ndarray  # float32 [V, 3], the head mesh of this identity
    habit: np.ndarray  # float32 [51], how far the face at rest already goes toward each shape
    gain: np.ndarray  # float32 [51], of each shape, so that 1 means the same on every face: closed lids meet
    extra_vertices: np.ndarray  # float32 [E, 3], hair, clothes, glasses: they move with the head only
    triangles: np.ndarray  # int32 [T, 3] over both
    material: np.ndarray  # int8 [T]
    cover: np.ndarray  # float32 [V + E]: below 0 hair ends; of lashes the share that is drawn
    uv: np.ndarray  # float32 [V + E, 2]
    texture: np.ndarray  # float32 [TEXTURE, TEXTURE, 3]
    skin: np.ndarray  # float32 [3]
    hair: np.ndarray  # float32 [3]
    cloth: np.ndarray  # float32 [4], RGB and the height of the collar
    glasses: np.ndarray  # float32 [3]
    iris: (
        np.ndarray
    )  # float32 [3, 3], inner colour, outer colour, (outer angle, pupil angle, whites' brightness)
    eyes: np.ndarray  # float32 [2, 3], eyeball centres
    eye_radius: float
    gloss: float
    interior: float  # light inside the mouth, 0..1
    lens: float  # opacity of the glasses' lenses, 0 without glasses
    tone: float  # 0 fair .. 1 deep
    seed: int


def _field(rng: np.random.Generator, cells: int, size: int = TEXTURE) -> np.ndarray:
    """Smooth noise, float32 [size, size], about -1..1."""
    return cv2.resize(
        rng.normal(0, 0.6, (cells, cells)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )


def _habit(rng: np.random.Generator) -> np.ndarray:
    """What makes a face at rest look as if it did something: float32 [51], see `Person.habit`.

    Narrow or hooded eyes, high or low brows, thin or full lips, corners that hang: features of a person that
    must not be read as expression.
    """
    habit = np.zeros(len(ARKIT_NAMES), np.float32)
    for stem, middle, spread, low, high in HABITS:
        amount = float(np.clip(rng.normal(middle, spread), low, high))
        for side in ("Left", "Right") if stem + "Left" in ARKIT_NAMES else ("",):
            habit[ARKIT_NAMES.index(stem + side)] = amount + (0.15 * spread * rng.normal() if side else 0.0)
    return habit


def _gain(model: HeadModel, rest: np.ndarray) -> np.ndarray:
    """`Person.gain`, float32 [51]: identities change the gap between the lids, the shapes do not follow."""
    gain = np.ones(len(ARKIT_NAMES), np.float32)
    for name, upper, lower in (("eyeBlinkLeft", (43, 44), (47, 46)), ("eyeBlinkRight", (37, 38), (41, 40))):
        closed = np.zeros(len(ARKIT_NAMES), np.float32)
        closed[ARKIT_NAMES.index(name)] = 1.0
        shut = blend_shapes(rest, closed, model.shape_start, model.shape_vertex, model.shape_delta)
        gaps = [
            float(np.mean(face[model.landmarks[list(upper)], 1] - face[model.landmarks[list(lower)], 1]))
            for face in (rest, shut)
        ]
        closing = max(gaps[0] - gaps[1], 0.1)
        gain[ARKIT_NAMES.index(name)] = np.clip((gaps[0] + LID_OVERLAP) / closing, 0.5, 1.6)
    return gain


def _texel(uv: np.ndarray) -> np.ndarray:
    return np.stack([uv[..., 0], 1 - uv[..., 1]], axis=-1) * (TEXTURE - 1)


def _mask(points: np.ndarray, blur: float) -> np.ndarray:
    mask = np.zeros((TEXTURE, TEXTURE), np.float32)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), blur) if blur else mask


def _brows(rng: np.random.Generator, marks: np.ndarray) -> np.ndarray:
    """Opacity of both brows, float32 [TEXTURE, TEXTURE]: a body and strokes along the brow landmarks."""
    mask = np.zeros((TEXTURE, TEXTURE), np.float32)
    thick, lift, density = rng.uniform(2.0, 8.0), rng.uniform(-2.5, 2.5), rng.uniform(0.25, 1.0)
    arch, length = rng.uniform(-1.5, 2.5), rng.uniform(0.8, 1.1)
    body = rng.uniform(0.4, 1.0) if rng.random() < 0.85 else 0.0  # dense, drawn or seen from afar
    steps = np.linspace(0, 1, 12)
    for line, outward in ((marks[17:22][::-1], -1), (marks[22:27], 1)):

        def at(along: np.ndarray, line: np.ndarray = line) -> np.ndarray:
            place = np.stack([np.interp(along * 4, range(5), line[:, k]) for k in range(2)], 1)
            place = line[0] + (place - line[0]) * length
            place[:, 1] -= lift + arch * np.sin(np.pi * along)
            return place

        if body:
            half = 0.5 * thick * np.interp(steps, [0, 0.15, 0.5, 1], [0.75, 1.0, 0.9, 0.15])[:, None]
            edge = np.array([0.0, 1.0])
            outline = np.concatenate([at(steps) - half * edge, (at(steps) + half * edge)[::-1]])
            mask = np.maximum(mask, body * _mask(outline, 0))
        count = int(110 * density) + 10
        along = rng.random(count)
        position = at(along)
        position[:, 1] += rng.uniform(-0.5, 0.5, count) * thick * np.clip(1.15 - along, 0.25, 1.0)
        angle = np.where(along < 0.25, rng.uniform(0.9, 1.5, count), rng.uniform(0.0, 0.5, count))
        stroke = rng.uniform(3, 7, count)
        tip = position + np.stack([outward * np.cos(angle), -np.sin(angle)], 1) * stroke[:, None]
        for p, q, value in zip(position, tip, rng.uniform(0.4, 1.0, count), strict=True):
            cv2.line(
                mask,
                tuple(np.round(p * 16).astype(int)),
                tuple(np.round(q * 16).astype(int)),
                float(value),
                1,
                cv2.LINE_AA,
                4,
            )
    return np.clip(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 1.4)) * rng.uniform(0.8, 1.7), 0, 1)


def _photographic(skins: Skins, rng: np.random.Generator, skin: np.ndarray) -> np.ndarray:
    """Albedo of one of the `skins` nearest to the colour `skin`, pulled toward it: float32 [TEXTURE,
    TEXTURE, 3]."""
    distance = np.linalg.norm(np.log(skins.tone + 0.01) - np.log(skin + 0.01), axis=1)
    chosen = rng.choice(np.argsort(distance)[:NEAREST_SKINS])
    albedo = cv2.resize(
        skins.albedo[chosen].astype(np.float32), (TEXTURE, TEXTURE), interpolation=cv2.INTER_AREA
    )
    return albedo * np.sqrt(skin / np.maximum(skins.tone[chosen], 0.01)).astype(np.float32)


def _texture(
    model: HeadModel,
    rng: np.random.Generator,
    skin: np.ndarray,
    hair: np.ndarray,
    tone: float,
    skins: Skins | None,
) -> np.ndarray:
    marks = _texel(model.uv[model.landmarks])
    photographic = skins is not None and rng.random() < PHOTOGRAPHIC
    texture = np.ones((TEXTURE, TEXTURE, 3), np.float32) * skin.astype(np.float32)
    if skins is not None and photographic:
        texture = _photographic(skins, rng, skin)
    texture *= 1 + (0.05 * _field(rng, 6) + 0.05 * _field(rng, 24) + 0.05 * _field(rng, 100))[..., None]
    redness = rng.uniform(0, 0.25) * (1 - 0.6 * tone)
    flush = np.zeros((TEXTURE, TEXTURE), np.float32)
    for centre in (marks[1] * 0.45 + marks[31] * 0.55, marks[15] * 0.45 + marks[35] * 0.55, marks[30]):
        cv2.circle(flush, tuple(np.round(centre).astype(int)), 17, 1.0, -1)
    flush = cv2.GaussianBlur(flush, (0, 0), 10) * redness
    texture *= 1 - flush[..., None] * np.array([0.05, 0.5, 0.5], np.float32)
    sockets = np.zeros((TEXTURE, TEXTURE), np.float32)
    for eye in (marks[36:42], marks[42:48]):
        cv2.ellipse(sockets, tuple(np.round(eye.mean(0)).astype(int)), (17, 8), 0, 0, 360, 1.0, -1)
    texture *= 1 - (cv2.GaussianBlur(sockets, (0, 0), 4) * rng.uniform(0, 0.35))[..., None]
    if rng.random() < 0.3:
        freckles = (rng.random((TEXTURE, TEXTURE)) < rng.uniform(0.002, 0.02)).astype(np.float32)
        texture *= 1 - cv2.GaussianBlur(freckles, (0, 0), 0.9)[..., None] * rng.uniform(0.3, 1.2)
    for _ in range(rng.integers(0, 4)):  # moles
        cv2.circle(
            texture, tuple(int(v) for v in rng.integers(30, 226, 2)), 1, tuple((skin * 0.35).tolist()), -1
        )

    lips = _mask(marks[48:60], 1.2)[..., None]
    made_up = rng.random() < 0.22
    lip = skin * np.array([0.85, 0.55, 0.55]) * rng.uniform(0.7, 1.05)
    if made_up:
        lip = np.array([rng.uniform(0.15, 0.6), rng.uniform(0.01, 0.1), rng.uniform(0.02, 0.15)])
    if photographic and not made_up:
        lips = lips * rng.uniform(0.0, 0.5)
    texture = texture * (1 - lips) + lips * lip.astype(np.float32) * (1 + 0.1 * _field(rng, 60))[..., None]

    if made_up and rng.random() < 0.6:  # eye shadow
        lids = np.zeros((TEXTURE, TEXTURE), np.float32)
        for eye in (marks[36:42], marks[42:48]):
            centre = eye.mean(0) - [0, 4]
            cv2.ellipse(lids, tuple(np.round(centre).astype(int)), (13, 5), 0, 0, 360, 1.0, -1)
        lids = cv2.GaussianBlur(lids, (0, 0), 2)[..., None] * rng.uniform(0.3, 0.8)
        texture = texture * (1 - lids) + lids * (rng.random(3) * 0.25).astype(np.float32)

    if not made_up and rng.random() < 0.4:  # stubble to full beard, moustache
        beard = np.zeros((TEXTURE, TEXTURE), np.float32)
        amount = rng.uniform(0.1, 0.95)
        jaw = np.concatenate(
            [
                marks[2:15],
                [
                    marks[14] - [10, 0],
                    marks[54] + [6, 4],
                    marks[57] + [0, 6],
                    marks[48] + [-6, 4],
                    marks[2] + [10, 0],
                ],
            ]
        )
        if rng.random() < 0.75:
            beard = np.maximum(beard, _mask(jaw + np.array([0, 3]), 4))
        if rng.random() < 0.75:
            moustache = np.array(
                [
                    marks[48] + [-2, -2],
                    marks[31] + [-2, 4],
                    marks[33] + [0, 4],
                    marks[35] + [2, 4],
                    marks[54] + [2, -2],
                    marks[52] + [0, -3],
                    marks[50] + [0, -3],
                ]
            )
            beard = np.maximum(beard, _mask(moustache, 2))
        beard *= np.clip(0.75 + 0.5 * rng.random((TEXTURE, TEXTURE)).astype(np.float32) - 0.25, 0, 1) * amount
        beard = (beard * (1 - lips[..., 0]))[..., None]
        texture = texture * (1 - beard) + beard * (hair * 0.9 + skin * 0.05).astype(np.float32)
    if skins is not None and rng.random() < PHOTOGRAPHIC:
        drawn = skins.brows[rng.integers(len(skins.brows))].astype(np.float32) / 255
        drawn = cv2.resize(drawn, (TEXTURE, TEXTURE), interpolation=cv2.INTER_AREA)
        drawn = np.roll(drawn, int(rng.integers(-3, 3)), axis=0)
        mask = np.clip(cv2.GaussianBlur(drawn, (0, 0), rng.uniform(0.3, 1.0)) * rng.uniform(1.2, 2.5), 0, 1)
    else:
        mask = _brows(rng, marks)
    brows = (mask * rng.uniform(0.55, 1.0))[..., None]
    # Brows are darker than the skin on nearly every face, also where hair is fair or grey.
    brow_colour = np.minimum(hair * rng.uniform(0.3, 0.9), skin * rng.uniform(0.08, 0.5))
    texture = texture * (1 - brows) + brows * brow_colour.astype(np.float32)
    line = _mask(marks[36:42], 0) + _mask(marks[42:48], 0)  # the lid margin, darker where lashes root
    rim = np.clip(cv2.dilate(line, np.ones((3, 3))) - cv2.erode(line, np.ones((3, 3))), 0, 1)
    texture *= 1 - (cv2.GaussianBlur(rim, (0, 0), 0.8) * 0.9 * rng.random() ** 1.5)[..., None]
    return np.clip(texture, 0.004, 0.95).astype(np.float32)


def _hairline(place: np.ndarray, rise: float, nape: float) -> np.ndarray:
    """Height in centimetres of each rest vertex above the hairline at its azimuth; negative is skin."""
    azimuth = np.degrees(np.arctan2(np.abs(place[:, 0]), place[:, 2] - 1.0))
    line = np.interp(
        azimuth,
        [0, 30, 48, 62, 74, 84, 104, 125, 180],
        [10.0 + rise, 9.9 + rise, 9.3 + rise * 0.9, 6.4, 2.0, 5.2, 3.5, nape, nape],
    )
    return place[:, 1] - line


def _scalp(model: HeadModel, rest: np.ndarray, rng: np.random.Generator):
    """A shell of hair over the skull: vertices, triangles, cover."""
    bald = rng.random() < 0.07
    rise = rng.uniform(2.0, 5.0) if bald else rng.normal(0, 0.9)
    height = _hairline(model.neutral, rise, rng.uniform(-8, -2))
    ear = (np.abs(model.neutral[:, 0]) > 7.4) & (model.neutral[:, 1] < 5.8) & (model.neutral[:, 1] > -3)
    height = np.where(ear & (model.neutral[:, 2] > -3.5), -2.0, height)
    skull = np.flatnonzero((model.vertex_material <= 1) & (height > -1.5))
    normals = vertex_normals(rest, model.triangles[model.material <= 1])
    thick = rng.choice([0.15, 0.5, 1.0, 1.8, 3.0], p=[0.2, 0.25, 0.25, 0.2, 0.1]) * rng.uniform(0.7, 1.3)
    lumps = 1 + 0.35 * np.sin(rest[:, 0] * rng.uniform(0.3, 1.2) + rng.uniform(0, 6)) * np.sin(
        rest[:, 2] * rng.uniform(0.3, 1.2) + rng.uniform(0, 6)
    )
    lift = (0.06 + thick * np.clip(height / 3.0, 0, 1) ** 0.7 * lumps)[:, None]
    fringe = rng.uniform(0, 3.5) if rng.random() < 0.35 else 0.0  # hair falling on the forehead
    shell = rest + normals * lift
    front = np.clip(1 - np.abs(height - 0.8) / 2.0, 0, 1) * (model.neutral[:, 2] > 5)
    shell[:, 1] -= fringe * front
    shell[:, 2] += 0.25 * fringe * front
    index = np.full(len(rest), -1, np.int32)
    index[skull] = np.arange(len(skull))
    inside = model.triangles[(model.material <= 1) & (index[model.triangles].min(axis=1) >= 0)]
    return shell[skull], index[inside], height[skull]


def _grid_triangles(down: int, across: int) -> np.ndarray:
    """int32 [T, 3] of a sheet of `down` rows of `across` vertices."""
    first = np.arange((down - 1) * across).reshape(down - 1, across)[:, :-1].ravel()
    below = first + across
    return np.concatenate(
        [np.stack([first, below, first + 1], 1), np.stack([first + 1, below, below + 1], 1)]
    ).astype(np.int32)


def _curtain(rng: np.random.Generator):
    """Long hair around the back and sides, down to the shoulders: vertices, triangles, cover."""
    across, down = 28, 12
    opening = np.radians(rng.uniform(62, 100))
    bottom = rng.uniform(-19, -6)
    angle = np.linspace(opening, 2 * np.pi - opening, across)
    level = np.linspace(0, 1, down)
    wave = rng.uniform(0, 0.6) * np.sin(np.linspace(0, rng.uniform(4, 14), down))[:, None]
    height = 7.0 + (bottom - 7.0) * level[:, None] + np.zeros(across)
    spread = 1 + rng.uniform(-0.1, 0.25) * level[:, None] ** 1.5
    x = (8.9 + wave) * spread * np.sin(angle)
    z = -0.3 + (9.0 + wave) * spread * np.cos(angle) * np.where(np.cos(angle) > 0, 0.65, 1.0)
    vertices = np.stack([x, height, z], axis=-1).reshape(-1, 3)
    triangles = _grid_triangles(down, across)
    edge = np.minimum(np.linspace(0, 8, across), np.linspace(8, 0, across))
    cover = np.minimum(edge[None, :], (1 - level[:, None]) * 8) - 0.5
    return vertices.astype(np.float32), triangles, cover.ravel().astype(np.float32)


def _shoulders(rng: np.random.Generator):
    """A torso below the neck: vertices, triangles."""
    across, down = 24, 8
    angle = np.linspace(0, 2 * np.pi, across)
    level = np.linspace(0, 1, down)[:, None]
    width = np.interp(level, [0, 0.25, 1], [8.0, rng.uniform(15, 20), rng.uniform(19, 24)])
    depth = np.interp(level, [0, 0.4, 1], [6.5, 9.0, 11.0])
    height = -14.5 - 26 * level**1.1 - rng.uniform(0, 2)
    x, z = width * np.sin(angle), -1.5 + depth * np.cos(angle)
    vertices = np.stack([x, height + np.zeros(across), z], axis=-1).reshape(-1, 3)
    triangles = _grid_triangles(down, across)
    return vertices.astype(np.float32), triangles


def _ribbon(path: np.ndarray, normal: np.ndarray, half: float, closed: bool):
    """A flat band along `path` (float [N, 3]), `half` centimetres to both sides of it within the plane of
    `normal`."""
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    side = np.cross(along, normal)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    vertices = np.concatenate([path + half * side, path - half * side])
    count = len(path)
    first = np.arange(count if closed else count - 1)
    second = (first + 1) % count
    triangles = np.concatenate(
        [np.stack([first, second, first + count], 1), np.stack([second, second + count, first + count], 1)]
    )
    return vertices.astype(np.float32), triangles.astype(np.int32)


def _spectacles(rest: np.ndarray, model: HeadModel, rng: np.random.Generator):
    """Frames before the eyes with temples to the ears: a list of (vertices, triangles)."""
    marks = rest[model.landmarks]
    wide, tall, square = rng.uniform(2.2, 3.0), rng.uniform(1.5, 2.4), rng.uniform(2.0, 6.0)
    half, drop = 0.05 + 0.2 * rng.random() ** 2, rng.uniform(0.1, 0.8)
    front = marks[27][2] + 0.7
    turn = np.linspace(0, 2 * np.pi, RIM_POINTS, endpoint=False)
    bend = (
        np.abs(np.cos(turn)) ** (2 / square) * np.sign(np.cos(turn)),
        np.abs(np.sin(turn)) ** (2 / square) * np.sign(np.sin(turn)),
    )
    parts = []
    for eye, sign in ((marks[42:48].mean(0), 1), (marks[36:42].mean(0), -1)):
        rim = np.stack(
            [eye[0] + wide * bend[0], eye[1] - drop + tall * bend[1], np.full(RIM_POINTS, front)], axis=1
        )
        rim[:, 2] -= 0.12 * (np.abs(rim[:, 0]) - 1.0).clip(0)  # frames wrap a little
        parts.append(_ribbon(rim, np.array([0.0, 0, 1]), half, True))
        hinge = np.array([eye[0] + sign * wide, eye[1] - drop + 0.5 * tall, front - 0.5])
        ear = np.array([sign * (np.abs(marks[[0, 16], 0]).mean() + 0.6), hinge[1] + 0.2, marks[0][2] - 1.5])
        parts.append(_ribbon(np.linspace(hinge, ear, TEMPLE_POINTS), np.array([1.0, 0, 0]), half, False))
    nose = marks[27]
    bridge = np.stack(
        [
            np.linspace(-1.1, 1.1, 8),
            nose[1] - drop + 0.5 + 0.25 * np.cos(np.linspace(-1.5, 1.5, 8)),
            np.full(8, front),
        ],
        axis=1,
    )
    parts.append(_ribbon(bridge, np.array([0.0, 0, 1]), half, False))
    return parts


def _lashes(model: HeadModel, rest: np.ndarray, eyes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`Person.cover` of the head's own vertices, float [V]: most lashes are hardly seen, some are made up."""
    cover = np.ones(len(rest))
    upper = 0.0 if rng.random() < 0.25 else 0.5 * rng.random()
    lash = model.vertex_material == LASH
    lower = lash & (rest[:, 1] < eyes[:, 1].mean() - 0.1)
    cover[lash] = upper
    cover[lower] = upper * rng.uniform(0.0, 0.6)
    return cover


def person(
    model: HeadModel, rng: np.random.Generator, tone: float | None = None, skins: Skins | None = None
) -> Person:
    """A random identity. `tone` fixes the skin from 0 (fair) to 1 (deep); with `skins`, most people have one
    of these and their brows."""
    weights = np.clip(rng.normal(0, 1, len(model.identity)), -2.2, 2.2) * rng.uniform(0.6, 1.1)
    rest = model.neutral + np.tensordot(weights.astype(np.float32), model.identity, axes=1)
    tone = float(rng.beta(1.1, 1.3)) if tone is None else tone
    position = tone * (len(SKIN_TONES) - 1)
    skin = np.array([np.interp(position, range(len(SKIN_TONES)), SKIN_TONES[:, k]) for k in range(3)])
    skin = skin * np.exp(rng.normal(0, 0.08, 3)) * np.exp(rng.normal(0, 0.1))
    dark = rng.random() < 0.35 + 0.6 * tone
    hair = HAIR_COLOURS[rng.integers(0, 2) if dark else rng.integers(0, len(HAIR_COLOURS))] * np.exp(
        rng.normal(0, 0.25)
    )
    if rng.random() < 0.03:
        hair = rng.random(3) * 0.5
    iris = IRIS_COLOURS[
        0 if rng.random() < 0.3 + 0.6 * tone else rng.integers(0, len(IRIS_COLOURS))
    ] * np.exp(rng.normal(0, 0.2, 3))

    parts: list[tuple[np.ndarray, np.ndarray, int, np.ndarray]] = []

    def add(vertices: np.ndarray, triangles: np.ndarray, kind: int, cover: np.ndarray | None = None) -> None:
        parts.append((vertices, triangles, kind, np.ones(len(vertices)) if cover is None else cover))

    shell, shell_triangles, cover = _scalp(model, rest, rng)
    add(shell, shell_triangles, HAIR, cover)
    if rng.random() < 0.33:
        vertices, triangles, cover = _curtain(rng)
        add(vertices, triangles, HAIR, cover)
    torso, torso_triangles = _shoulders(rng)
    add(torso, torso_triangles, CLOTH)
    spectacled = rng.random() < 0.16
    if spectacled:
        for vertices, triangles in _spectacles(rest, model, rng):
            add(vertices, triangles, GLASSES)

    offsets = np.cumsum([len(rest)] + [len(vertices) for vertices, *_ in parts])
    eyes = np.stack(
        [
            (rest[model.vertex_material == kind].min(0) + rest[model.vertex_material == kind].max(0)) / 2
            for kind in (5, 6)
        ]
    )
    left = rest[model.vertex_material == 5]
    outer = rng.uniform(0.37, 0.43)
    extra = sum(len(vertices) for vertices, *_ in parts)
    return Person(
        rest=rest.astype(np.float32),
        habit=_habit(rng),
        gain=_gain(model, rest.astype(np.float32)),
        extra_vertices=np.concatenate([vertices for vertices, *_ in parts]).astype(np.float32),
        triangles=np.concatenate(
            [
                model.triangles,
                *(triangles + offset for (_, triangles, *_), offset in zip(parts, offsets, strict=False)),
            ]
        ).astype(np.int32),
        material=np.concatenate(
            [model.material, *(np.full(len(triangles), kind, np.int8) for _, triangles, kind, _ in parts)]
        ),
        cover=np.concatenate([_lashes(model, rest, eyes, rng), *(cover for *_, cover in parts)]).astype(
            np.float32
        ),
        uv=np.concatenate([model.uv, np.zeros((extra, 2))]).astype(np.float32),
        texture=_texture(model, rng, skin, hair, tone, skins),
        skin=skin.astype(np.float32),
        hair=hair.astype(np.float32),
        cloth=np.array([*(rng.random(3) ** 2 * 0.8), rng.uniform(-15.5, -12.0)], np.float32),
        glasses=(np.array([0.02, 0.02, 0.02]) if rng.random() < 0.6 else rng.random(3) * 0.4).astype(
            np.float32
        ),
        iris=np.array(
            [iris * 1.4, iris, [outer, outer * rng.uniform(0.28, 0.55), rng.uniform(0.6, 1.0)]], np.float32
        ),
        eyes=eyes.astype(np.float32),
        eye_radius=float(np.median(np.linalg.norm(left - eyes[0], axis=1))),
        gloss=float(rng.uniform(0.0, 0.5)),
        interior=float(rng.uniform(0.05, 1.0)),
        lens=float(rng.uniform(0.02, 0.22)) if spectacled else 0.0,
        tone=tone,
        seed=int(rng.integers(0, 1000)),
    )
