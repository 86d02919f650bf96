"""How a person looks: skin texture with lips, brows and beard, hair, eyes, clothes, glasses.

In: the head model, a random generator and, where there are any, photographic skins; the rest is procedural.
Out: a `Person` that can be rendered with any expression, pose and light. Colours are linear RGB, lengths
centimetres, at rest in the head frame.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.heads.head_model import HeadModel, eye_centres
from facecap_batch.training.heads.mesh import CLOTH, EYE_LEFT, GLASSES, HAIR, LASH, blend_shapes
from facecap_batch.training.people import attire
from facecap_batch.training.people.creases import Creases, random_creases
from facecap_batch.training.people.skin_texture import TEXTURE, skin_texture, texel

if TYPE_CHECKING:
    from facecap_batch.training.people.rig import Rig

LID_OVERLAP = 0.05  # cm by which closed lids overlap
LEAKY = 0.25  # share of people whose lids do not quite meet at eyeBlink 1
MAX_LEFT_OPEN = 0.16  # share of the gap between the lids that these leave open at most

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
# Resting faces: stem of the shape, mean, standard deviation, minimum, maximum.
HABITS = (
    ("eyeBlink", 0.06, 0.13, -0.15, 0.4), ("eyeSquint", 0.1, 0.18, 0.0, 0.5), ("eyeWide", 0.0, 0.1, 0.0, 0.3),
    ("browInnerUp", 0.0, 0.16, -0.4, 0.4), ("browOuterUp", 0.0, 0.15, -0.4, 0.4),
    ("browDown", 0.0, 0.16, -0.3, 0.4), ("cheekSquint", 0.0, 0.12, -0.2, 0.3),
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
    creases: Creases
    crevice: float  # how dark hollows are, 0..1
    skin: np.ndarray  # float32 [3]
    hair: np.ndarray  # float32 [3]
    cloth: np.ndarray  # float32 [4], RGB and the height of the collar
    glasses: np.ndarray  # float32 [3]
    # float32 [3, 3], inner colour, outer colour, (outer angle, pupil angle, whites' brightness)
    iris: np.ndarray
    eyes: np.ndarray  # float32 [2, 3], eyeball centres
    eye_radius: float
    gloss: float
    interior: float  # light inside the mouth, 0..1
    lens: float  # opacity of the glasses' lenses, 0 without glasses
    tone: float  # 0 fair .. 1 deep
    age: float  # years; NaN where the family has none
    seed: int

    def weights(self, coefficients: np.ndarray) -> np.ndarray:
        """The weight of each shape for `coefficients` (0..1): float32 [51]. 0 is this face at rest; 1 is the
        whole shape, whatever the face does at rest."""
        weights: np.ndarray = self.gain * (self.habit + coefficients.astype(np.float32) * (1 - self.habit))
        return weights


def _habit(rng: np.random.Generator) -> np.ndarray:
    """What makes a face at rest look as if it moved: float32 [51], see `Person.habit`.

    Narrow or hooded eyes, high or low brows, thin or full lips, corners that hang: features of a person that
    must not count as expression.
    """
    habit = np.zeros(len(ARKIT_NAMES), np.float32)
    for stem, middle, spread, low, high in HABITS:
        amount = float(np.clip(rng.normal(middle, spread), low, high))
        for side in ("Left", "Right") if stem + "Left" in ARKIT_NAMES else ("",):
            habit[ARKIT_NAMES.index(stem + side)] = amount + (0.15 * spread * rng.normal() if side else 0.0)
    return habit


def _gain(model: HeadModel, rest: np.ndarray, left_open: float) -> np.ndarray:
    """`Person.gain`, float32 [51]: identities change the gap between the lids, the shapes do not follow.

    `left_open` is the share of the gap that eyeBlink 1 leaves; 0: the lids overlap.
    """
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
        aim = left_open * gaps[0] if left_open else -LID_OVERLAP
        gain[ARKIT_NAMES.index(name)] = np.clip((gaps[0] - aim) / closing, 0.5, 1.6)
    return gain


def _lashes(model: HeadModel, rest: np.ndarray, eyes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`Person.cover` of the head's own vertices, float [V]: most lashes are hardly seen."""
    cover = np.ones(len(rest))
    upper = 0.0 if rng.random() < 0.6 else 0.3 * rng.random()  # more of them looks like specks
    lash = model.vertex_material == LASH
    lower = lash & (rest[:, 1] < eyes[:, 1].mean() - 0.1)
    cover[lash] = upper
    cover[lower] = upper * rng.uniform(0.0, 0.6)
    return cover


def person(rig: Rig, rng: np.random.Generator, tone: float | None = None) -> Person:
    """A random person of `rig`.

    `tone` fixes the skin from 0 (fair) to 1 (deep). Most people have one of the rig's skins and brows, where
    it has some.
    """
    model = rig.model
    identity = rig.identity(model, rng)
    rest = identity.rest
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

    shell, shell_triangles, cover = attire.scalp(model, rest, rng)
    add(shell, shell_triangles, HAIR, cover)
    if rng.random() < 0.33:
        vertices, triangles, cover = attire.curtain(rng)
        add(vertices, triangles, HAIR, cover)
    torso, torso_triangles = attire.shoulders(rng)
    add(torso, torso_triangles, CLOTH)
    spectacled = rng.random() < 0.16
    if spectacled:
        for vertices, triangles in attire.spectacles(rest, model, rng):
            add(vertices, triangles, GLASSES)

    offsets = np.cumsum([len(rest)] + [len(vertices) for vertices, *_ in parts])
    eyes = np.stack(eye_centres(rest, model.vertex_material))
    left = rest[model.vertex_material == EYE_LEFT]
    outer = rng.uniform(0.37, 0.43)
    left_open = float(rng.uniform(0.0, MAX_LEFT_OPEN)) if rng.random() < LEAKY else 0.0
    texture, skin = skin_texture(model, rng, skin, hair, tone, rig.skins, identity.beard)
    extra = sum(len(vertices) for vertices, *_ in parts)
    return Person(
        rest=rest.astype(np.float32),
        habit=_habit(rng),
        gain=_gain(model, rest.astype(np.float32), left_open),
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
        texture=texture,
        creases=random_creases(texel(model.uv[model.landmarks]), TEXTURE, rng),
        crevice=float(rng.uniform(0.2, 1.0)),
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
        age=identity.age,
        seed=int(rng.integers(0, 1000)),
    )
