"""How far two engines of one card are apart: the proof that a faster backend changes nothing.

In: two engines and the same input. Out: a `Parity` per output: largest and mean absolute difference, mean
squared error, and the item where they differ most. Boxes that no score makes a detection do not count.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.engines.engine import Engine
from facecap_batch.errors import EngineMismatch

SCORES_THAT_MATTER = 0.05  # boxes scored lower by both engines are never looked at by anyone


@dataclasses.dataclass(frozen=True)
class Parity:
    """The difference between two engines in one output, in that output's unit."""

    output: str
    items: int
    max_abs: float
    mean_abs: float
    mse: float
    worst_item: int  # index into the input
    worst_column: int  # flat index into the item's values

    def within(self, tolerance: float) -> bool:
        """Whether no value differs by more than `tolerance`. A NaN is a difference."""
        return bool(self.max_abs <= tolerance)


def compare(reference: Engine, other: Engine, batch: np.ndarray) -> list[Parity]:
    """Run `batch` (the card's dtype and layout) through both engines; one `Parity` per output of the card.

    Raises EngineMismatch where the engines' files differ: parity is a statement about backends.
    """
    if reference.card.sha256 != other.card.sha256:
        raise EngineMismatch(f"{reference.card.name!r} and {other.card.name!r} are different networks")
    expected, found = reference.run(batch), other.run(batch)
    matters: np.ndarray | None = None
    if reference.card.role == "detector" and "scores" in expected:
        matters = np.maximum(expected["scores"], found["scores"]) >= SCORES_THAT_MATTER
    result = []
    for name in reference.card.outputs:
        mask = matters if name == "boxes" else None
        result.append(difference(name, expected[name], found[name], mask))
    return result


def difference(name: str, expected: np.ndarray, found: np.ndarray, rows: np.ndarray | None = None) -> Parity:
    """Compare two arrays [N, ...]; `rows` bool [N, P] says which entries of axis 1 count."""
    gap = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    if rows is not None:
        gap = np.where(rows.reshape(*rows.shape, *[1] * (gap.ndim - rows.ndim)), gap, 0.0)
    flat = gap.reshape(len(gap), -1)
    if flat.size == 0:
        return Parity(name, len(gap), 0.0, 0.0, 0.0, 0, 0)
    worst = int(np.where(np.isnan(flat), np.inf, flat).argmax())
    counted = max(1, flat.size if rows is None else int(rows.sum()) * (flat.size // rows.size))
    return Parity(
        output=name,
        items=len(gap),
        max_abs=float(flat.ravel()[worst]),
        mean_abs=float(flat.sum() / counted),
        mse=float((flat**2).sum() / counted),
        worst_item=worst // flat.shape[1],
        worst_column=worst % flat.shape[1],
    )
