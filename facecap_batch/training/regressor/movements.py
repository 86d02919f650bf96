"""Movements one at a time: what an engine reads of faces that do one thing and nothing else.

In: a rig and what reads coefficients from crops. Out: `SingleMovements`: each shape alone on both sides, each
paired shape on one side alone, and faces at rest in every skin. A clip's figures mix what faces do with how
often they do it; these say whether a movement is seen, how much of it, and on which side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import CROP
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.mirror import LEFT_CHANNELS, MIRRORED_CHANNELS, RIGHT_CHANNELS, SIDEWAYS
from facecap_batch.training.people.appearance import person
from facecap_batch.training.people.rig import Rig
from facecap_batch.training.rendering import degrade, raster
from facecap_batch.training.rendering.scene import View, random_light, render

STRENGTH = 0.8  # how far the one thing is done
TONES = (0.1, 0.5, 0.9)  # of the skin of faces at rest, 0 fair .. 1 deep
# Pairs that one side can do alone; eyes look somewhere together.
PAIRS = tuple(
    (left, right)
    for left, right in zip(LEFT_CHANNELS, RIGHT_CHANNELS, strict=True)
    if not ARKIT_NAMES[left].startswith("eyeLook")
)
Reader = Callable[[np.ndarray], np.ndarray]  # uint8 [n, CROP, CROP, 3] RGB to float32 [n, 51]


@dataclasses.dataclass(frozen=True)
class SingleMovements:
    """Readings of one rig's people, beyond what is read of each at rest."""

    together: np.ndarray  # float64 [51], of each shape done STRENGTH far by both sides
    gain: np.ndarray  # float64 [PAIRS], of a shape done by one side: reading over truth
    leak: np.ndarray  # float64 [PAIRS], mean absolute reading of the other side then
    sides_r: np.ndarray  # float64 [PAIRS], Pearson r of left - right with the truth
    rest: np.ndarray  # float64 [TONES], mean absolute reading of the 51 at rest


def together(channel: int) -> np.ndarray:
    """The face whose both sides do `channel`: float32 [51]. Lips close over an open jaw: over a shut one they
    would go through each other."""
    other = channel if ARKIT_NAMES[channel] in SIDEWAYS else MIRRORED_CHANNELS[channel]
    name = ARKIT_NAMES[channel]
    if name.startswith(("eyeLookIn", "eyeLookOut")):  # both eyes look the same way
        swapped = ("In", "Out") if "In" in name else ("Out", "In")
        other = ARKIT_NAMES.index(ARKIT_NAMES[other].replace(*swapped))
    face = np.zeros(len(ARKIT_NAMES), np.float32)
    face[[channel, other]] = STRENGTH
    if name == "mouthClose":
        face[ARKIT_NAMES.index("jawOpen")] = STRENGTH
    return face


def one_sided(channel: int) -> np.ndarray:
    """The face of which one side does `channel`: float32 [51]."""
    face = np.zeros(len(ARKIT_NAMES), np.float32)
    face[channel] = STRENGTH
    return face


def measure(rig: Rig, read: Reader, people: int, seed: int = 4711) -> SingleMovements:
    """What `read` makes of `people` random people of `rig`, nearly frontal, doing one thing after another,
    and of as many others at rest."""
    rng = np.random.default_rng(seed)
    sides = [one_sided(channel) for pair in PAIRS for channel in pair]
    faces = [np.zeros(len(ARKIT_NAMES), np.float32), *map(together, range(len(ARKIT_NAMES))), *sides]
    read_of = np.empty((people, len(faces), len(ARKIT_NAMES)))
    for number in range(people):
        read_of[number] = read(_pictures(rig, faces, rng))
    moved = read_of[:, 1:] - read_of[:, :1]
    alone, single = moved[:, : len(ARKIT_NAMES)], moved[:, len(ARKIT_NAMES) :]
    left, right = np.array(PAIRS).T
    pairs = np.arange(len(PAIRS))
    by_left, by_right = single[:, 2 * pairs], single[:, 2 * pairs + 1]
    done = (by_left[:, pairs, left] + by_right[:, pairs, right]).mean(0) / 2
    leaked = (np.abs(by_left[:, pairs, right]) + np.abs(by_right[:, pairs, left])).mean(0) / 2
    difference = np.stack(
        [
            by_left[:, pairs, left] - by_left[:, pairs, right],
            by_right[:, pairs, left] - by_right[:, pairs, right],
            np.zeros((people, len(PAIRS))),
        ]
    )
    truth = np.broadcast_to(np.array([STRENGTH, -STRENGTH, 0.0])[:, None, None], difference.shape)
    return SingleMovements(
        together=np.diagonal(alone, axis1=1, axis2=2).mean(0),
        gain=done / STRENGTH,
        leak=leaked,
        sides_r=np.array(
            [_correlation(difference[..., pair], truth[..., pair]) for pair in range(len(PAIRS))]
        ),
        rest=_at_rest(rig, read, people, seed),
    )


def _pictures(
    rig: Rig, faces: Sequence[np.ndarray], rng: np.random.Generator, tone: float | None = None
) -> np.ndarray:
    """Somebody doing each of `faces`: uint8 [faces, CROP, CROP, 3]."""
    who, light = person(rig, rng, tone), random_light(rng)
    rotation = matrix_from_euler(rng.normal(0, [0.15, 0.1, 0.05]))
    view = View(rotation, float(rng.uniform(50, 120)), CROP, np.zeros(2), 1.0)
    backdrop = degrade.background(rng, CROP)
    rendered = [render(rig.model, who, face, view, light) for face in faces]
    return np.stack([raster.over(one.rgba, backdrop) for one in rendered])


def _at_rest(rig: Rig, read: Reader, people: int, seed: int) -> np.ndarray:
    """Mean absolute reading of resting faces of each of TONES: float64 [TONES]."""
    still = [np.zeros(len(ARKIT_NAMES), np.float32)]
    means = []
    for tone in TONES:
        rng = np.random.default_rng([seed, 1])
        faces = np.concatenate([_pictures(rig, still, rng, tone) for _ in range(people)])
        means.append(np.abs(read(faces)).mean())
    return np.array(means)


def _correlation(values: np.ndarray, truth: np.ndarray) -> float:
    """Pearson r; 0 where one of them does not move."""
    values, truth = values.ravel() - values.mean(), truth.ravel() - truth.mean()
    length = float(np.linalg.norm(values) * np.linalg.norm(truth))
    return float(values @ truth) / length if length > 1e-9 else 0.0
