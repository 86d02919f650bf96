"""Brows moved where patches show them, and nothing else: no fold, no lid, no light.

In: landmarks in eye patches and coefficients. Out: `MovedBrows`, what moved patches show where and where a
landmark is then found, and the coefficients of the faces that they show. Rendered brows rise with folds and
lids, and a network that can read these does not look where the brows are: on skin that does not fold it finds
nothing.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES

# How far landmarks 22 to 26, a left brow from its inner end, move at 1, millimetres outward and upward: mean
# of ICT-FaceKit's head and hm08.
REACH = {
    "browInnerUp": ((0.1, 5.6), (0.2, 5.5), (0.1, 3.3), (0.1, 1.3), (0.0, 0.4)),
    "browOuterUp": ((0.2, 1.1), (0.8, 3.4), (1.2, 5.7), (0.7, 8.7), (0.4, 6.7)),
    "browDown": ((-2.3, -2.4), (-3.5, -3.8), (-3.6, -4.3), (-2.7, -3.6), (-1.5, -2.3)),
}
SHARE = 0.5  # of pictures whose brows are moved
FURTHEST = 0.8  # by how much of a coefficient, of what is left of it
BACK = 0.25  # share of these whose brows go back toward rest
MAX_YAW, MAX_HIDDEN = 0.8, 0.4  # radians; share of an eye: faces beyond stay as they are
CORNERS, BROW = (0, 3), slice(6, 11)  # of the marks of an eye patch (expression.LEFT_EYE_MARKS)
LOWEST = 6.0  # mm, a brow above the eye; skin gives way by the height of the brow
UNMOVED = (None,) * 5  # for each of patches.Windows.each
ROUNDS = 3  # until what moves a mark is the movement of the place where it ends
CHANNELS = [ARKIT_NAMES.index(name) for name in ARKIT_NAMES if name.startswith("brow")]
KINDS = (
    ("browInnerUp",),
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    ("browOuterUpLeft", "browOuterUpRight"),
    ("browOuterUpLeft",),
    ("browOuterUpRight",),
    ("browDownLeft", "browDownRight"),
    ("browDownLeft",),
    ("browDownRight",),
)  # what moves together


@dataclasses.dataclass(frozen=True)
class MovedBrows:
    """How the skin of one eye patch of each picture moves."""

    moves: np.ndarray  # float32 [B, side, side, 2], x and y, patch units, by where it ends

    def shown(self, row: int, straight: np.ndarray) -> np.ndarray:
        """What each pixel of a moved patch shows, float32 [side, side, 2], where those of an unmoved one show
        `straight`."""
        side = len(straight)
        at = np.arange(side, dtype=np.float32)
        x, y = (grid - self.moves[row, ..., k] * (side / 2) for k, grid in enumerate(np.meshgrid(at, at)))
        return np.asarray(cv2.remap(straight, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def found(self, marks: np.ndarray) -> np.ndarray:
        """Where moved patches show what lies at `marks` of unmoved ones: both float32 [B, n, 2]."""
        ended: np.ndarray = marks.copy()
        side = self.moves.shape[1]
        for row, moves in enumerate(self.moves):
            if moves.any():
                for _ in range(ROUNDS):
                    x, y = cv2.split(((ended[row] + 1) * (side / 2) - 0.5)[None])
                    off = cv2.remap(moves, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                    ended[row] = marks[row] + off[0]
        return ended


def changes(coefficients: np.ndarray, still: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How much more of each coefficient pictures are to show: float32 [B, 51].

    Args:
        coefficients: What they show, float32 [B, 51], 0..1.
        still: bool [B], those that stay as they are.
        rng: Says what moves and how far.
    """
    more = np.zeros_like(coefficients)
    for row in np.flatnonzero(~still & (rng.random(len(still)) < SHARE)):
        now = coefficients[row]
        if rng.random() < BACK:
            more[row, CHANNELS] = -now[CHANNELS] * rng.uniform(0, FURTHEST)
        else:
            kind = [ARKIT_NAMES.index(name) for name in KINDS[rng.integers(len(KINDS))]]
            more[row, kind] = (1 - now[kind]) * rng.uniform(0, FURTHEST)
    return more


def moved(marks: np.ndarray, more: np.ndarray, right: bool, side: int, unit: float) -> MovedBrows:
    """Brows of one eye's patches moved.

    Args:
        marks: Of an eye patch, float32 [B, n, 2], patch units; those of a right eye lie in a mirror.
        more: How much more of each coefficient is to be seen, float32 [B, 51].
        right: Whether it is the right eye.
        side: Of the patch, pixels.
        unit: Patch units of a millimetre.
    """
    end = "Right" if right else "Left"
    channels = [ARKIT_NAMES.index(name if name in ARKIT_NAMES else name + end) for name in REACH]
    reach = np.array(list(REACH.values())) * (unit, -unit)  # v points down
    moves = np.zeros((len(marks), side, side, 2), np.float32)
    step = (np.arange(side) + 0.5) * (2 / side) - 1
    for row in np.flatnonzero(more[:, channels].any(1)):
        brow = marks[row, BROW]
        order = brow[:, 0].argsort()
        of_brow = np.tensordot(more[row, channels], reach, 1)
        (x, y), off = brow[order].T, of_brow[order].T
        eye = marks[row, CORNERS, 1].mean()
        above = np.maximum(eye - np.interp(step, x, y), LOWEST * unit)
        height = (eye - step[:, None]) / above  # 0 at the eye, 1 at the brow
        share = _smooth((height - 0.35) / 0.5) * (1 - _smooth((height - 1.3) / 1.4))
        moves[row] = np.stack([share * np.interp(step, x, along) for along in off], 2)
    return MovedBrows(moves)


def _smooth(values: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, level at both."""
    within = np.clip(values, 0, 1)
    smooth: np.ndarray = within * within * (3 - 2 * within)
    return smooth
