"""Which movements are counted, and from which coefficients each is read.

Out: `MOVEMENTS`, from which `sql.events` and `sql.summary` make their SQL. Nothing else names a movement.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Movement:
    """A movement of the face. Of several coefficients on a side the largest counts."""

    name: str  # as in the column `event`
    left: tuple[str, ...] = ()  # coefficients of the subject's left side; empty: it has no sides
    right: tuple[str, ...] = ()  # and of the right side
    whole: tuple[str, ...] = ()  # coefficients of a movement without sides
    threshold: float = 0.5  # coefficient that an event reaches; half of the shape's full movement

    @property
    def sides(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Side, as in the column `side`, and its coefficients."""
        return (("both", self.whole),) if self.whole else (("left", self.left), ("right", self.right))


def _paired(name: str, stem: str) -> Movement:
    return Movement(name, (f"{stem}Left",), (f"{stem}Right",))


MOVEMENTS = (
    _paired("blink", "eyeBlink"),
    _paired("squint", "eyeSquint"),
    _paired("eye_wide", "eyeWide"),
    # ARKit has one shape for the inner brows: raised alone, it counts on both sides.
    Movement("brow_raise", ("browInnerUp", "browOuterUpLeft"), ("browInnerUp", "browOuterUpRight")),
    _paired("brow_lower", "browDown"),
    _paired("nose_wrinkle", "noseSneer"),
    _paired("smile", "mouthSmile"),
    _paired("frown", "mouthFrown"),
    Movement("pucker", whole=("mouthPucker",)),
    Movement("cheek_puff", whole=("cheekPuff",)),
    Movement("jaw_open", whole=("jawOpen",)),
)
# What a channel rests at in a take: its 10th percentile, which holds while the movement takes up to 9/10.
REST_QUANTILE = 0.1
# Seconds. Frames further apart are a gap: what was between them is not known.
LONGEST_STEP_S = 1.0
