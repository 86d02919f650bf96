"""Folds of the skin that come and go with expression: lines of the forehead, crow's feet, smile lines.

In: the landmarks in texels and a random generator; later the coefficients of a face. Out: `Creases`, and from
them how much darker each texel is. The head model's shapes move the skin but do not wrinkle it, and on many
faces a raised brow shows mostly in the wrinkles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES

# What folds each region: stems of shapes, of the region's own side where it has one, and their weights.
FOLDS: dict[str, dict[str, float]] = {
    "forehead": {"browInnerUp": 0.5, "browOuterUpLeft": 0.35, "browOuterUpRight": 0.35},
    "middle": {"browInnerUp": 0.8},
    "glabella": {"browDownLeft": 0.5, "browDownRight": 0.5},
    "bridge": {"noseSneerLeft": 0.5, "noseSneerRight": 0.5},
    "chin": {"mouthShrugLower": 0.8, "mouthFrownLeft": 0.2, "mouthFrownRight": 0.2},
    "crow": {"cheekSquint": 0.7, "eyeSquint": 0.4, "mouthSmile": 0.3},
    "cheek": {"mouthSmile": 0.8, "cheekSquint": 0.4, "noseSneer": 0.6, "mouthUpperUp": 0.5,
              "mouthDimple": 0.3},
    "corner": {"mouthDimple": 0.9, "mouthSmile": 0.4, "mouthStretch": 0.3, "mouthPress": 0.3},
    "marionette": {"mouthFrown": 0.8, "mouthStretch": 0.2},
}  # fmt: skip
# Share of people of middle age whose skin there folds as they move; of the youngest half as many.
FOLDING = {
    "forehead": 0.45, "middle": 0.4, "glabella": 0.45, "bridge": 0.6, "chin": 0.6, "crow": 0.5, "cheek": 0.75,
    "corner": 0.6, "marionette": 0.5,
}  # fmt: skip
SIDED = ("crow", "cheek", "corner", "marionette")
MAX_SHADOW = 0.85  # share of the light that folds may take

Stroke = tuple[np.ndarray, float, float]  # points [N, 2] texels, share of the strength, times the fine width


@dataclasses.dataclass(frozen=True)
class Creases:
    """A person's folds."""

    lines: np.ndarray  # float32 [R, S, S], 0..1, how dark each region's folds are when full; S texels
    weights: np.ndarray  # float32 [R, 51], how far each shape folds each region
    rest: np.ndarray  # float32 [R], how far it is folded at rest, 0..1

    def shadow(self, coefficients: np.ndarray) -> np.ndarray:
        """Factor of albedo for a face with these `coefficients` (float32 [51]): float32 [S, S]."""
        depth = np.clip(self.rest + self.weights @ coefficients, 0.0, 1.2)
        factor: np.ndarray = 1 - np.clip(np.tensordot(depth, self.lines, axes=1), 0, MAX_SHADOW)
        return factor


@dataclasses.dataclass(frozen=True)
class _Face:
    """Where folds are drawn: texels, x right and y down."""

    marks: np.ndarray  # float [68, 2]
    unit: float  # texels, of all lengths below: the eyes' outer corners are 90 of them apart
    rng: np.random.Generator
    side: str  # "Left", "Right" or ""

    @property
    def outward(self) -> float:
        """Sign of x away from the middle, for the side."""
        return 1.0 if self.side == "Left" else -1.0

    def mark(self, left: int, right: int) -> np.ndarray:
        """The landmark `left`, on the right side `right`: [2]."""
        point: np.ndarray = self.marks[left if self.side == "Left" else right]
        return point

    def brow(self) -> np.ndarray:
        """The middle between the brows: [2]."""
        middle: np.ndarray = (self.marks[21] + self.marks[22]) / 2
        return middle

    def line(self, start: np.ndarray, end: np.ndarray, sag: float) -> np.ndarray:
        """Points [6, 2] from `start` to `end`, bent by `sag` units across and a little at random."""
        along = np.linspace(0, 1, 6)[:, None]
        across = np.array([-(end - start)[1], (end - start)[0]])
        across = across / (np.linalg.norm(across) + 1e-6)
        bend = sag * self.unit * np.sin(np.pi * along) + self.rng.normal(0, 0.5, (6, 1))
        points: np.ndarray = start + (end - start) * along + across * bend
        return points

    def level(self, middle: np.ndarray, half: float, y: float, sag: float) -> np.ndarray:
        """A line `half` units to both sides of `middle`, `y` units below it."""
        left, right = (middle + np.array([sign * half, y]) * self.unit for sign in (-1, 1))
        return self.line(left, right, sag)


def _forehead(face: _Face) -> Iterator[Stroke]:
    half = face.rng.uniform(22, 40)
    for step in range(int(face.rng.integers(2, 6))):
        y = -(9 + 7.5 * step + face.rng.normal(0, 1.0))
        yield face.level(face.brow(), half, y, face.rng.normal(0, 2.0)), face.rng.uniform(0.5, 1), 1


def _middle(face: _Face) -> Iterator[Stroke]:
    """Short arched lines above the inner ends of the brows: what the middle of the muscle alone folds."""
    for step in range(int(face.rng.integers(2, 5))):
        y, half = -(8 + 6 * step + face.rng.normal(0, 1.0)), face.rng.uniform(6, 16)
        place = face.brow() + np.array([face.rng.normal(0, 2.0), 0.0]) * face.unit
        yield face.level(place, half, y, face.rng.normal(2.0, 2.0)), face.rng.uniform(0.5, 1), 1.5


def _glabella(face: _Face) -> Iterator[Stroke]:
    for x in (-4.5, 4.5) if face.rng.random() < 0.7 else (0.0,):
        top = face.brow() + np.array([x * face.rng.uniform(0.8, 1.4), -8.0]) * face.unit
        yield face.line(top, face.brow() + np.array([x, 5.0]) * face.unit, 0.2 * x), 1, 1


def _bridge(face: _Face) -> Iterator[Stroke]:
    for step in (-1, 0, 1):
        yield face.level((face.marks[27] + face.marks[28]) / 2, 6, 3.5 * step - 2, 1.5), 0.7, 1


def _chin(face: _Face) -> Iterator[Stroke]:
    yield face.level((face.marks[57] + face.marks[8]) / 2, 11, 1.0, -4), 1, 2


def _crow(face: _Face) -> Iterator[Stroke]:
    corner = face.mark(45, 36)
    for slope in np.linspace(-0.7, 0.6, int(face.rng.integers(2, 5))):
        begin = corner + np.array([face.outward * 4, slope * 4]) * face.unit
        end = corner + np.array([face.outward * face.rng.uniform(9, 16), slope * 12]) * face.unit
        yield face.line(begin, end, 0.0), face.rng.uniform(0.5, 1), 1
    yield face.level((face.mark(46, 40) + face.mark(47, 41)) / 2, 9, 3.5, 2.0), 0.7, 1


def _cheek(face: _Face) -> Iterator[Stroke]:
    begin = face.mark(35, 31) + np.array([face.outward * 3.5, -3.0]) * face.unit
    reach = np.array([face.outward * face.rng.uniform(9, 15), face.rng.uniform(-3, 5)])
    end = face.mark(54, 48) + reach * face.unit
    yield face.line(begin, end, -face.outward * face.rng.uniform(0, 3)), 0.8, face.rng.uniform(1, 3)


def _corner(face: _Face) -> Iterator[Stroke]:
    begin, end = (face.mark(54, 48) + np.array([face.outward * 3.5, y]) * face.unit for y in (-4.0, 4.0))
    yield face.line(begin, end, -face.outward * 1.5), 1, 1.5


def _marionette(face: _Face) -> Iterator[Stroke]:
    begin, end = (
        face.mark(54, 48) + np.array([face.outward * x, y]) * face.unit for x, y in ((1.0, 1.0), (4.0, 13.0))
    )
    yield face.line(begin, end, 0.0), 1, 1.5


STROKES: dict[str, Callable[[_Face], Iterator[Stroke]]] = {
    "forehead": _forehead, "middle": _middle, "glabella": _glabella, "bridge": _bridge, "chin": _chin,
    "crow": _crow, "cheek": _cheek, "corner": _corner, "marionette": _marionette,
}  # fmt: skip


def _draw(mask: np.ndarray, points: np.ndarray, strength: float, width: float) -> None:
    """Draw a soft line of `width` texels through `points` [N, 2] into `mask`, in place."""
    steps = np.linspace(0, len(points) - 1, 14)
    dense = np.stack([np.interp(steps, range(len(points)), points[:, k]) for k in range(2)], 1)
    line = np.zeros_like(mask)
    cv2.polylines(line, [np.round(dense * 16).astype(np.int32)], False, 1.0, 1, cv2.LINE_AA, 4)
    line = cv2.GaussianBlur(line, (0, 0), max(width, 0.4))
    np.maximum(mask, line * (strength / max(float(line.max()), 1e-6)), out=mask)


def random_creases(marks: np.ndarray, size: int, rng: np.random.Generator) -> Creases:
    """Folds of a random person.

    marks: float [68, 2], the landmarks in texels of a square texture of `size`; young faces fold little.
    """
    regions = [(stem, side) for stem in FOLDS for side in (("Left", "Right") if stem in SIDED else ("",))]
    lines = np.zeros((len(regions), size, size), np.float32)
    weights = np.zeros((len(regions), len(ARKIT_NAMES)), np.float32)
    age = rng.beta(1.2, 1.6)
    folding = {stem for stem, share in FOLDING.items() if rng.random() < share * (0.5 + 1.2 * age)}
    unit = float(np.linalg.norm(marks[45] - marks[36])) / 90
    for mask, weight, (stem, side) in zip(lines, weights, regions, strict=True):
        for shape, amount in FOLDS[stem].items() if stem in folding else ():
            weight[ARKIT_NAMES.index(shape if shape in ARKIT_NAMES else shape + side)] = amount
        strength = float(np.clip(rng.uniform(0.1, 0.55) + 0.25 * age, 0.1, 0.75))
        fine = rng.uniform(0.5, 1.3) * unit
        for points, share, times in STROKES[stem](_Face(marks, unit, rng, side)):
            _draw(mask, points, strength * share, fine * times)
    rest = (rng.random(len(regions)) ** 2 * 0.6 * age).astype(np.float32)
    return Creases(lines, weights, rest)
