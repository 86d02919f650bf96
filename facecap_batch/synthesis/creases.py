"""Folds of the skin that come and go with expression: lines of the forehead, crow's feet, smile lines.

In: the landmarks in texels and a random generator; later the coefficients of a face. Out: `Creases`, and from
them how much darker each texel is. The head model's shapes move the skin but do not wrinkle it, and on many
faces the wrinkles are what a raised brow is seen by.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES

# What folds each region: stems of shapes and their weights; one side's shapes for regions with a side.
FOLDS: dict[str, dict[str, float]] = {
    "forehead": {"browInnerUp": 0.7, "browOuterUpLeft": 0.35, "browOuterUpRight": 0.35},
    "glabella": {"browDownLeft": 0.5, "browDownRight": 0.5},
    "bridge": {"noseSneerLeft": 0.5, "noseSneerRight": 0.5},
    "chin": {"mouthShrugLower": 0.8, "mouthFrownLeft": 0.2, "mouthFrownRight": 0.2},
    "crow": {"cheekSquint": 0.7, "eyeSquint": 0.4, "mouthSmile": 0.3},
    "cheek": {"mouthSmile": 0.8, "cheekSquint": 0.4, "noseSneer": 0.6, "mouthUpperUp": 0.5,
              "mouthDimple": 0.3},
    "corner": {"mouthDimple": 0.9, "mouthSmile": 0.4, "mouthStretch": 0.3, "mouthPress": 0.3},
    "marionette": {"mouthFrown": 0.8, "mouthStretch": 0.2},
}  # fmt: skip
SIDED = ("crow", "cheek", "corner", "marionette")


@dataclasses.dataclass(frozen=True)
class Creases:
    """A person's folds."""

    lines: np.ndarray  # float32 [R, TEXTURE, TEXTURE], 0..1, how dark each region's folds are when full
    weights: np.ndarray  # float32 [R, 51], how far each shape folds each region
    rest: np.ndarray  # float32 [R], how far it is folded at rest, 0..1

    def shadow(self, coefficients: np.ndarray) -> np.ndarray:
        """Factor of albedo for a face with these `coefficients` (float32 [51]): float32 [TEXTURE,
        TEXTURE]."""
        depth = np.clip(self.rest + self.weights @ coefficients, 0.0, 1.2)
        return 1 - np.clip(np.tensordot(depth, self.lines, axes=1), 0, 0.85)


def _stroke(mask: np.ndarray, points: np.ndarray, strength: float, width: float) -> None:
    """Draw a line through `points` [N, 2] into `mask`, thinning toward its ends, in place."""
    steps = np.linspace(0, len(points) - 1, 14)
    dense = np.stack([np.interp(steps, range(len(points)), points[:, k]) for k in range(2)], 1)
    line = np.zeros_like(mask)
    cv2.polylines(line, [np.round(dense * 16).astype(np.int32)], False, 1.0, 1, cv2.LINE_AA, 4)
    line = cv2.GaussianBlur(line, (0, 0), max(width, 0.4))
    np.maximum(mask, line * (strength / max(float(line.max()), 1e-6)), out=mask)


def _wavy(start: np.ndarray, end: np.ndarray, sag: float, rng: np.random.Generator) -> np.ndarray:
    """Points [6, 2] from `start` to `end`, bent by `sag` across and a little at random."""
    along = np.linspace(0, 1, 6)[:, None]
    across = np.array([-(end - start)[1], (end - start)[0]])
    across = across / (np.linalg.norm(across) + 1e-6)
    bend = sag * np.sin(np.pi * along) + rng.normal(0, 0.5, (6, 1))
    return start + (end - start) * along + across * bend


def random_creases(marks: np.ndarray, size: int, rng: np.random.Generator) -> Creases:
    """Folds of a random person.

    marks: float [68, 2], the landmarks in texels of a square texture of `size`; young faces fold little.
    """
    names = [
        *(name for name in FOLDS if name not in SIDED),
        *(f"{n}{s}" for n in SIDED for s in ("Left", "Right")),
    ]
    lines = np.zeros((len(names), size, size), np.float32)
    weights = np.zeros((len(names), len(ARKIT_NAMES)), np.float32)
    age = rng.beta(1.2, 1.6)
    brow = (marks[21] + marks[22]) / 2
    unit = np.linalg.norm(marks[45] - marks[36]) / 90  # of lengths below, which fit eyes 90 texels apart
    for row, name in enumerate(names):
        stem = name.removesuffix("Left").removesuffix("Right")
        side = name[len(stem) :]
        for shape, weight in FOLDS[stem].items():
            shape = shape if shape in ARKIT_NAMES else shape + side
            weights[row, ARKIT_NAMES.index(shape)] = weight
        mask = lines[row]
        strength = float(np.clip(rng.uniform(0.1, 0.55) + 0.25 * age, 0.1, 0.75))
        fine = rng.uniform(0.5, 1.3) * unit
        outward = 1.0 if side == "Left" else -1.0  # of x in the texture
        if stem == "forehead":
            half = rng.uniform(22, 40) * unit
            for level in range(int(rng.integers(2, 6))):
                y = brow[1] - (9 + 7.5 * level + rng.normal(0, 1.0)) * unit
                begin, end = np.array([brow[0] - half, y]), np.array([brow[0] + half, y])
                _stroke(
                    mask,
                    _wavy(begin, end, rng.normal(0, 2.0) * unit, rng),
                    strength * rng.uniform(0.5, 1),
                    fine,
                )
        elif stem == "glabella":
            for x in (-4.5, 4.5) if rng.random() < 0.7 else (0.0,):
                top = brow + np.array([x * rng.uniform(0.8, 1.4), -8.0]) * unit
                _stroke(mask, _wavy(top, brow + np.array([x, 5.0]) * unit, x * 0.2, rng), strength, fine)
        elif stem == "bridge":
            middle = (marks[27] + marks[28]) / 2
            for level in range(3):
                y = middle[1] + (level - 1) * 3.5 * unit
                left, right = (np.array([middle[0] + sign * 6 * unit, y - 2 * unit]) for sign in (-1, 1))
                _stroke(mask, _wavy(left, right, 1.5 * unit, rng), 0.7 * strength, fine)
        elif stem == "chin":
            middle = (marks[57] + marks[8]) / 2
            left, right = (middle + np.array([sign * 11, 1.0]) * unit for sign in (-1, 1))
            _stroke(mask, _wavy(left, right, -4 * unit, rng), strength, 2 * fine)
        elif stem == "crow":
            corner = marks[45] if side == "Left" else marks[36]
            for slope in np.linspace(-0.7, 0.6, int(rng.integers(2, 5))):
                begin = corner + np.array([outward * 4, slope * 4]) * unit
                end = corner + np.array([outward * rng.uniform(9, 16), slope * 12]) * unit
                _stroke(mask, _wavy(begin, end, 0.0, rng), strength * rng.uniform(0.5, 1), fine)
            below = (marks[46] + marks[47] if side == "Left" else marks[40] + marks[41]) / 2
            left, right = (below + np.array([sign * 9, 3.5]) * unit for sign in (-1, 1))
            _stroke(mask, _wavy(left, right, 2.0 * unit, rng), 0.7 * strength, fine)
        elif stem == "cheek":
            wing, lip = (marks[35], marks[54]) if side == "Left" else (marks[31], marks[48])
            begin = wing + np.array([outward * 3.5, -3.0]) * unit
            end = lip + np.array([outward * rng.uniform(4, 9), rng.uniform(-3, 5)]) * unit
            _stroke(
                mask,
                _wavy(begin, end, -outward * rng.uniform(1, 4) * unit, rng),
                strength,
                fine * rng.uniform(1, 3),
            )
        elif stem == "corner":
            lip = marks[54] if side == "Left" else marks[48]
            begin, end = (lip + np.array([outward * 3.5, y]) * unit for y in (-4.0, 4.0))
            _stroke(mask, _wavy(begin, end, -outward * 1.5 * unit, rng), strength, 1.5 * fine)
        else:
            lip = marks[54] if side == "Left" else marks[48]
            begin, end = lip + np.array([outward, 1.0]) * unit, lip + np.array([outward * 4, 13.0]) * unit
            _stroke(mask, _wavy(begin, end, 0.0, rng), strength, 1.5 * fine)
    rest = (rng.random(len(names)) ** 2 * 0.6 * age).astype(np.float32)
    return Creases(lines, weights, rest)
