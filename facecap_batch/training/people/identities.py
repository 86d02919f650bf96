"""Random people of a rig family: their heads at rest.

In: a head model and a random generator. Out: an `Identity`. Every family has its own sampler; size and pose
of the head are the same in all, so that labels mean the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from facecap_batch.training.heads.head_model import MATERIALS, HeadModel
from facecap_batch.training.heads.hm08 import identities as hm08_identities
from facecap_batch.training.heads.similarity import Similarity, fit, steady_points

MAX_MODE = 2.2  # standard deviations of one of ICT-FaceKit's modes
# Asymmetry: share of people, standard deviation in centimetres by which their bumps are off.
ASYMMETRY = ((0.45, 0.02), (0.35, 0.07), (0.20, 0.15))
BUMPS = 8  # of the displacement that makes the halves differ
MIN_BUMP, MAX_BUMP = 1.3, 4.0  # centimetres, width of a bump
SIZE = 0.02  # standard deviation of the logarithm of a head's size
CHILD = 15.0  # years; until then nobody has a beard


@dataclasses.dataclass(frozen=True)
class Identity:
    """Somebody's head."""

    rest: np.ndarray  # float32 [V, 3], centimetres
    beard: float  # chance of one, relative to everybody's
    age: float = math.nan  # years; NaN where the family has none


Sampler = Callable[[HeadModel, np.random.Generator], Identity]


def asymmetry(model: HeadModel, rng: np.random.Generator) -> np.ndarray:
    """A smooth displacement that makes the halves of a face differ: float32 [V, 3], centimetres.

    Eyeballs are shifted as a whole.
    """
    chance, amounts = zip(*ASYMMETRY, strict=True)
    amount = float(rng.choice(amounts, p=chance))
    positions = model.neutral.copy()
    for name in ("eye_left", "eye_right"):
        eye = model.vertex_material == MATERIALS.index(name)
        positions[eye] = positions[eye].mean(axis=0)
    field = np.zeros_like(positions)
    marks = model.neutral[model.landmarks]
    for _ in range(BUMPS):
        centre = marks[rng.integers(len(marks))] + rng.normal(0, 0.7, 3)
        width = rng.uniform(MIN_BUMP, MAX_BUMP)
        near = np.exp(-((positions - centre) ** 2).sum(axis=1) / (2 * width**2))
        field += near[:, None] * rng.normal(0, amount, 3)
    lean = rng.normal(0, 0.15 * amount, 2)  # one eye higher, the chin to one side: grows across the face
    low = np.clip((2.0 - positions[:, 1]) / 10.0, 0, 1)
    field[:, 0] += lean[0] * 10 * low
    field[:, 1] += lean[1] * positions[:, 0] / 2
    displacement: np.ndarray = field.astype(np.float32)
    return displacement


def _onto_neutral(model: HeadModel, rest: np.ndarray) -> Similarity:
    """The similarity that takes the head `rest` [V, 3] nearest to the neutral one."""
    marks = (model.landmarks, model.vertex_material)
    return fit(steady_points(rest, *marks), steady_points(model.neutral, *marks))


def _upright(model: HeadModel, rest: np.ndarray, size: float) -> np.ndarray:
    """The head `rest` [V, 3] in the pose and size of the neutral one, then multiplied by `size`: float32
    [V, 3].

    ICT-FaceKit's modes rotate heads by up to 4 degrees, which would count as the pose.
    """
    return (size * _onto_neutral(model, rest).points(rest.astype(np.float64))).astype(np.float32)


def ict(model: HeadModel, rng: np.random.Generator) -> Identity:
    """A mixture of ICT-FaceKit's modes with asymmetric halves, in the size that the modes give it."""
    weights = np.clip(rng.normal(0, 1, len(model.identity)), -MAX_MODE, MAX_MODE) * rng.uniform(0.6, 1.1)
    rest = model.neutral + np.tensordot(weights.astype(np.float32), model.identity, axes=1)
    rest = rest + asymmetry(model, rng)
    return Identity(_upright(model, rest, 1.0 / _onto_neutral(model, rest).scale), 1.0)


def hm08(model: HeadModel, rng: np.random.Generator) -> Identity:
    """A mixture of MakeHuman's targets in the pose and size of the mean adult: an image does not show how
    large a head is."""
    years = hm08_identities.age(rng)
    male = float(rng.beta(0.35, 0.35))
    weights = hm08_identities.macro(rng, years, male)
    weights.update(hm08_identities.details(rng, model.identity_names))
    for name, value in hm08_identities.AVERAGE.items():
        weights[name] = weights.get(name, 0.0) - value
    row = {name: number for number, name in enumerate(model.identity_names)}
    rows = np.array([row[name] for name in weights])
    amounts = np.array(list(weights.values()), np.float32)
    rest = model.neutral + np.tensordot(amounts, model.identity[rows], axes=1)
    size = np.exp(np.clip(rng.normal(0, SIZE), -2.5 * SIZE, 2.5 * SIZE))
    beard = 0.0 if years < CHILD else 2.0 * male
    return Identity(_upright(model, rest, float(size)), beard, years)
