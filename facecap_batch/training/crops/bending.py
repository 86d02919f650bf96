"""Patches bent as the same part of another person's face might look.

In: a random generator. Out: `Bend`, what a bent patch shows where, and where a landmark is then found. All
pictures of a person are bent alike, and both sides of the face, which are cut in mirrors of each other: a
network that learns some thousand people by heart learns fewer of these.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

STRETCH = 0.045  # standard deviation of the logarithm of a patch's width and of its height
LEAN = 0.05  # standard deviation of how far upright lines lean
KNOTS = 4  # of a side of the grid that displacements are drawn on
DENT = 0.018  # their standard deviation, patch units, of which a side has 2
FACE_SHARE = 0.5  # how far the whole face is bent, whose proportions also tell its pose, relative to a part
FINE = 8  # cells between two knots, in which displacements change in proportion
ROUNDS = 3  # until what displaces a mark is the displacement of the place where it ends
UNBENT = (None,) * 5  # a bend for each of patches.Windows.each


@dataclasses.dataclass(frozen=True)
class Bend:
    """How one window's patches are bent: P people, `pictures` of each, one after the other."""

    pictures: int
    linear: np.ndarray  # float32 [P, 2, 2], of places about the patch's middle
    dents: np.ndarray  # float32 [P, KNOTS, KNOTS, 2], x and y displacements on top, patch units

    def shown(self, side: int) -> np.ndarray:
        """For each pixel of bent patches that pixel of straight ones which it shows: float32 [P, side, side,
        2], x and y."""
        step = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
        places = np.stack(np.meshgrid(step, step), 2)
        straight = [
            cv2.transform(places, linear) + _finer(dent, side)
            for linear, dent in zip(self.linear, self.dents, strict=True)
        ]
        pixels: np.ndarray = (np.stack(straight) + 1) * (side / 2) - 0.5
        return pixels

    def found(self, marks: np.ndarray) -> np.ndarray:
        """Where bent patches show what lies at `marks` of straight ones: both float32 [P pictures, n, 2],
        patch units."""
        side = FINE * KNOTS
        groups = []
        for linear, dent, straight in zip(
            self.linear, self.dents, marks.reshape(len(self.linear), -1, 1, 2), strict=True
        ):
            fine, back = _finer(dent, side), np.linalg.inv(linear)
            bent = cv2.transform(straight, back)
            for _ in range(ROUNDS):
                x, y = cv2.split((bent + 1) * (side / 2) - 0.5)
                off = cv2.remap(fine, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                bent = cv2.transform(straight - off, back)
            groups.append(bent)
        return np.stack(groups).reshape(marks.shape)


def random_bends(rng: np.random.Generator, people: int, pictures: int, strength: float) -> list[Bend]:
    """One for each of `patches.Windows.each`.

    Args:
        rng: Says how.
        people: How many, each bent in a way of their own.
        pictures: Of each of them.
        strength: How far; 1 is as the constants say.
    """
    eye, side = (_random_bend(rng, people, pictures, strength) for _ in range(2))
    return [eye, eye, side, side, _random_bend(rng, people, pictures, FACE_SHARE * strength)]


def _random_bend(rng: np.random.Generator, people: int, pictures: int, strength: float) -> Bend:
    linear = np.zeros((people, 2, 2), np.float32)
    linear[:, [0, 1], [0, 1]] = np.exp(rng.normal(0, STRETCH * strength, (people, 2)))
    linear[:, 0, 1] = rng.normal(0, LEAN * strength, people)
    dents = rng.normal(0, DENT * strength, (people, KNOTS, KNOTS, 2))
    return Bend(pictures, linear, dents.astype(np.float32))


def _finer(dent: np.ndarray, side: int) -> np.ndarray:
    """Displacements between the knots: float32 [side, side, 2]."""
    return np.asarray(cv2.resize(dent, (side, side), interpolation=cv2.INTER_CUBIC))
