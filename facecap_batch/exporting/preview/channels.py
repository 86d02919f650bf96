"""Which channels of a take move, and in which order and by which names they are shown.

In: a coefficient table. Out: lines of one channel, or of the left and the right one of a pair, from the
brows down to the mouth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.coefficients import SHAPE_NAMES
from facecap_batch.exporting.channels import PAIRS, movement, side_of, stem_of

MOVES = 0.1  # a channel that moves farther is shown
# Groups from the top of the face down, and how the names of their channels begin.
GROUPS = {
    "brow": ("brow",), "eye": ("eye",), "cheek": ("cheek",), "nose": ("nose",), "jaw": ("jaw",),
    "mouth": ("mouth", "tongue"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Line:
    """A channel, or a pair of them. Indices are into SHAPE_NAMES; left and right are the subject's."""

    name: str  # an ARKit name, of a pair without its side
    group: str  # one of GROUPS
    left: int  # of a channel without sides, that channel
    right: int

    @property
    def paired(self) -> bool:
        """True where left and right are two channels."""
        return self.left != self.right

    def values(self, coefficients: np.ndarray) -> np.ndarray:
        """float [N]: of each row of `coefficients` [N, S] the value, of a pair the mean of both sides."""
        mean: np.ndarray = (coefficients[:, self.left] + coefficients[:, self.right]) / 2
        return mean


def all_lines(names: Sequence[str]) -> tuple[Line, ...]:
    """The channels `names`, the first of SHAPE_NAMES, by GROUPS and then in Apple's order."""
    lines = []
    for index, name in enumerate(names):
        side, stem = side_of(name), stem_of(name)
        group = next(group for group, stems in GROUPS.items() if name.startswith(stems))
        if side == "left":
            label = f"{stem} aside" if stem in GROUPS else stem  # jawLeft and jawRight
            lines.append(Line(label, group, index, SHAPE_NAMES.index(PAIRS[stem][1])))
        elif not side:
            lines.append(Line(name, group, index, index))
    order = list(GROUPS)
    return tuple(sorted(lines, key=lambda line: order.index(line.group)))


def moving_lines(coefficients: np.ndarray, most: int) -> tuple[Line, ...]:
    """The lines of which a channel moves by MOVES, in the order of `all_lines`.

    Args:
        coefficients: float [N, S], NaN where nothing is known.
        most: how many lines there is room for; where more move, those that move farthest.
    """
    moved = movement(coefficients)
    reach = {line: max(moved[line.left], moved[line.right]) for line in all_lines(SHAPE_NAMES[: len(moved)])}
    farthest = sorted(reach, key=lambda line: -reach[line])[:most]
    return tuple(line for line in reach if reach[line] >= MOVES and line in farthest)


def strongest_lines(coefficients: np.ndarray, most: int) -> tuple[Line, ...]:
    """The lines with the highest values of one frame, float [S], in the order of `all_lines`."""
    value = {
        line: float(np.nan_to_num(np.fmax(coefficients[line.left], coefficients[line.right])))
        for line in all_lines(SHAPE_NAMES[: len(coefficients)])
    }
    strongest = sorted(value, key=lambda line: -value[line])[:most]
    return tuple(line for line in value if line in strongest and value[line] >= MOVES)
