"""How far the outputs of two engines for the same input are apart, and how far they may be.

In: the outputs of a reference and of another engine, item by item. Out: a `Parity` per output: largest and
mean absolute difference, mean squared error and the item where they differ most, for the output as a whole
and for each of its named values. `limit_of` gives what each precision is allowed. Boxes that no score makes a
detection do not count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.engines.cards import PLACES_IN_BF16, EngineCard

SCORES_THAT_MATTER = 0.05  # no step uses boxes that both engines score lower
PRECISIONS = ("fp32", "fp16", "bf16", "int8")  # finest first


@dataclasses.dataclass(frozen=True)
class Limit:
    """What an output may differ by, for values up to 1; for larger ones it is as many times wider."""

    largest: float  # difference of any value, in all items but a share of them
    mean: float  # mean absolute difference in those items
    rare_share: float = 0.0  # of the items (at least one), in which values may differ by more
    rare_largest: float = 0.0  # what they may differ by there


# A regressor that cuts its own patches rounds their positions to whole pixels. A position that lies on the
# border between two falls to one side or the other by the last bit of a float32: the default regressor does
# so in two crops of a thousand and then differs by up to 0.042, in all others by 6e-6 (torch against ONNX
# Runtime, see docs/engines.md). The limits of fp16, bf16 and int8 are what a user would not see: no hardware
# has been measured against them. With every value rounded to bfloat16 but those that lead to places of
# patches (`benchmarks/accuracy/bfloat16.py`), both regressors stay within half of them.
LIMITS = {
    "fp32": Limit(largest=1e-4, mean=1e-5, rare_share=0.005, rare_largest=0.1),
    "fp16": Limit(largest=0.02, mean=2e-3, rare_share=0.05, rare_largest=0.1),
    "bf16": Limit(largest=0.02, mean=2e-3, rare_share=0.05, rare_largest=0.1),
    "int8": Limit(largest=0.15, mean=0.02, rare_share=0.05, rare_largest=0.5),
}
# Where bfloat16 may find places of patches, landmarks that they are cut by lie a thirtieth of a pixel off in
# the mean, and in a fifth to a third of the crops a patch falls to another side. That is judged on people and
# on whole clips (`EngineCard.judged_in`). The limit is what one pixel changes by which a crop is cut
# elsewhere (`default`: 0.005 in the mean, up to 0.09 in 95 crops of a hundred).
PLACES_LIMIT = Limit(largest=0.1, mean=4e-3, rare_share=0.05, rare_largest=0.3)
# Raw boxes and scores of a detector; boxes in pixels of its input.
SCORE_LIMITS = {
    "fp32": Limit(1e-4, 1e-5),
    "fp16": Limit(0.05, 5e-3),
    "bf16": Limit(0.05, 5e-3),
    "int8": Limit(0.5, 0.05),
}
BOX_LIMITS = {
    "fp32": Limit(1e-4, 1e-5),
    "fp16": Limit(0.01, 2e-3),
    "bf16": Limit(0.01, 2e-3),
    "int8": Limit(0.1, 0.02),
}


@dataclasses.dataclass(frozen=True)
class Column:
    """The difference in one named value of an output, over all items."""

    name: str
    max_abs: float
    mean_abs: float
    mse: float
    worst_item: int  # index into the input


@dataclasses.dataclass(frozen=True, eq=False)
class Parity:
    """The difference between two engines in one output, in that output's unit."""

    output: str
    items: int
    max_abs: float
    mean_abs: float
    mse: float
    worst_item: int  # index into the input
    worst_column: int  # flat index into the item's values
    # float64 [items]: the largest difference in each, over the magnitude of the reference's values where that
    # exceeds 1: of that value's, or, where an item is more than a row of values, of all.
    item_max: np.ndarray = dataclasses.field(repr=False, compare=False)
    item_mean: np.ndarray = dataclasses.field(repr=False, compare=False)  # likewise, the mean difference
    columns: tuple[Column, ...] = ()  # for outputs whose values have names

    def beyond(self, limit: Limit) -> int:
        """In how many items a value differs by more than `limit.largest`. A NaN is a difference."""
        return int((~(self.item_max <= limit.largest)).sum())

    def within(self, limit: Limit) -> bool:
        """Whether the differences stay inside `limit`."""
        usual = self.item_max <= limit.largest
        means, rare = self.item_mean[usual], self.item_max[~usual]
        allowed = max(1.0, limit.rare_share * self.items) if limit.rare_share else 0.0
        return bool(
            len(rare) <= allowed
            and (rare <= limit.rare_largest).all()
            and (len(means) == 0 or means.mean() <= limit.mean)
        )


def precision_of(card: EngineCard, backend: str) -> str:
    """The precision that `card` is run at by `backend`: as on the card, else by the end of the backend's
    name."""
    of_card = card.architecture.get("precision")
    ending = backend.rpartition("-")[2]
    return next((name for name in (of_card, ending) if name in PRECISIONS), "fp32")


def limit_of(card: EngineCard, output: str, precision: str) -> Limit:
    """What `output` of `card` may differ by at `precision` (one of PRECISIONS)."""
    if card.role == "detector":
        return (BOX_LIMITS if output == "boxes" else SCORE_LIMITS)[precision]
    if precision == "bf16" and PLACES_IN_BF16 in card.judged_in:
        return PLACES_LIMIT
    return LIMITS[precision]


def compare(
    card: EngineCard,
    expected: Sequence[dict[str, np.ndarray]],
    found: Sequence[dict[str, np.ndarray]],
) -> list[Parity]:
    """One `Parity` per output of `card`, from the outputs of two engines for the same batches in turn.

    Batches of a detector may differ in how many boxes they hold.
    """
    result = []
    for name in card.outputs:
        parts = []
        for reference, other in zip(expected, found, strict=True):
            rows = None
            if card.role == "detector" and name == "boxes" and "scores" in reference:
                rows = np.maximum(reference["scores"], other["scores"]) >= SCORES_THAT_MATTER
            names = card.output_names if name == "outputs" else ()
            parts.append(difference(name, reference[name], other[name], rows, names))
        result.append(joined(parts))
    return result


def difference(
    name: str,
    expected: np.ndarray,
    found: np.ndarray,
    rows: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> Parity:
    """Compare two arrays [N, ...]; `rows` bool [N, P] marks the entries of axis 1 that count; `names` are
    those of the values of an item [N, C]."""
    gap = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    if rows is not None:
        gap = np.where(rows.reshape(*rows.shape, *[1] * (gap.ndim - rows.ndim)), gap, 0.0)
    flat = gap.reshape(len(gap), -1)
    if flat.size == 0:
        return Parity(name, len(gap), 0.0, 0.0, 0.0, 0, 0, np.zeros(len(gap)), np.zeros(len(gap)))
    magnitude = np.abs(np.nan_to_num(expected.astype(np.float64), posinf=0.0, neginf=0.0))
    extent = np.maximum(magnitude.max(axis=0) if expected.ndim == 2 else magnitude.max(), 1.0)
    scaled = (gap / extent).reshape(len(gap), -1)
    worst = int(np.where(np.isnan(flat), np.inf, flat).argmax())
    in_item = np.full(len(gap), flat.shape[1])
    if rows is not None:
        in_item = rows.sum(axis=1) * (flat.size // rows.size)
    counted = max(1, int(in_item.sum()))
    columns = []
    if len(names) == flat.shape[1]:
        for k, column in enumerate(names):
            values = flat[:, k]
            worst_row = int(np.where(np.isnan(values), np.inf, values).argmax())
            columns.append(
                Column(
                    column, float(values.max()), float(values.mean()), float((values**2).mean()), worst_row
                )
            )
    return Parity(
        output=name,
        items=len(gap),
        max_abs=float(flat.ravel()[worst]),
        mean_abs=float(flat.sum() / counted),
        mse=float((flat**2).sum() / counted),
        worst_item=worst // flat.shape[1],
        worst_column=worst % flat.shape[1],
        item_max=scaled.max(axis=1),  # NaN where any value is
        item_mean=scaled.sum(axis=1) / np.maximum(in_item, 1),
        columns=tuple(columns),
    )


def joined(parts: Sequence[Parity]) -> Parity:
    """The `Parity` of several batches as of one; `parts` are of the same output and not empty.

    Means are weighted by items, which for boxes is near enough what weighting by boxes would give.
    """
    items = sum(part.items for part in parts)
    starts = np.cumsum([0, *(part.items for part in parts)])
    worst = int(np.argmax([np.inf if np.isnan(part.max_abs) else part.max_abs for part in parts]))

    def mean(values: Sequence[float]) -> float:
        return float(sum(v * p.items for v, p in zip(values, parts, strict=True)) / max(1, items))

    columns = []
    for k, column in enumerate(parts[0].columns):
        same = [part.columns[k] for part in parts]
        worst_part = int(np.argmax([np.inf if np.isnan(one.max_abs) else one.max_abs for one in same]))
        columns.append(
            Column(
                name=column.name,
                max_abs=same[worst_part].max_abs,
                mean_abs=mean([one.mean_abs for one in same]),
                mse=mean([one.mse for one in same]),
                worst_item=int(starts[worst_part]) + same[worst_part].worst_item,
            )
        )
    return Parity(
        output=parts[0].output,
        items=items,
        max_abs=parts[worst].max_abs,
        mean_abs=mean([part.mean_abs for part in parts]),
        mse=mean([part.mse for part in parts]),
        worst_item=int(starts[worst]) + parts[worst].worst_item,
        worst_column=parts[worst].worst_column,
        item_max=np.concatenate([part.item_max for part in parts]),
        item_mean=np.concatenate([part.item_mean for part in parts]),
        columns=tuple(columns),
    )
