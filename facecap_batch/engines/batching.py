"""What every backend offers, and the arithmetic they share: preparing input, padding to fixed batch shapes.

In: images or batches as numpy arrays. Out: arrays by output name. A backend runs one fixed-shape batch at a
time; `in_fixed_batches` cuts and pads so that what a frame yields does not depend on what it was batched
with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from facecap_batch.engines.cards import EngineCard, Shape
from facecap_batch.errors import EngineMismatch


@runtime_checkable
class Engine(Protocol):
    """One network ready to run."""

    card: EngineCard
    backend: str  # one of `backends.BACKENDS`

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Run `batch` [B, ...] of the card's dtype and layout; return outputs by name, first axis B.

        Raises EngineMismatch where `batch` does not fit the card.
        """
        ...


def prepare_input(card: EngineCard, images: np.ndarray) -> np.ndarray:
    """Turn `images` uint8 [B, H, W, 3] RGB into the card's dtype, layout, channel order and normalisation."""
    spec = card.input
    batch = images
    if spec.channels == "BGR":
        batch = batch[..., ::-1]
    if spec.dtype == "float32":
        batch = (batch - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    if spec.layout == "NCHW":
        batch = batch.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(batch)


def check_batch(card: EngineCard, batch: np.ndarray) -> None:
    """Raise EngineMismatch unless `batch` has the card's dtype and shape (any number of items)."""
    expected = card.input
    if batch.dtype != np.dtype(expected.dtype) or not expected.takes(batch.shape[1:]):
        raise EngineMismatch(
            f"engine {card.name!r} takes {expected.dtype} {list(expected.shape)}"
            + (f" or less in steps of {expected.step}, " if expected.step else ", ")
            + f"got {batch.dtype} {list(batch.shape)}"
        )


def fixed_batches(count: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Cut `count` items into (start, items, batch size): largest size first, then the tightest."""
    sizes = tuple(sorted(sizes))
    start = 0
    while start < count:
        left = count - start
        size = next((size for size in sizes if size >= left), sizes[-1])
        filled = [full for full in sizes if full <= left]
        # Padding beyond half a batch costs more than one more call of the size below.
        if filled and size > 2 * left:
            size = filled[-1]
        items = min(left, size)
        yield start, items, size
        start += items


def in_fixed_batches(
    card: EngineCard, batch: np.ndarray, run: Callable[[np.ndarray], list[np.ndarray]]
) -> dict[str, np.ndarray]:
    """Run `batch` through `run`, which only ever sees the card's batch sizes; rows of padding are dropped.

    `run` returns the outputs in the order of `card.outputs`. Padding repeats the last item.
    """
    check_batch(card, batch)
    pieces: list[list[np.ndarray]] = []
    for start, items, size in fixed_batches(len(batch), card.batch_sizes):
        outputs = run(np.ascontiguousarray(_padded(batch[start : start + items], size)))
        pieces.append([output[:items] for output in outputs])
    if not pieces:
        return {name: np.zeros((0, *_known(shape)), np.float32) for name, shape in card.outputs.items()}
    joined = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    return dict(zip(card.outputs, joined, strict=True))


def run_in_one_shape(engine: Engine, batch: np.ndarray, items: int) -> dict[str, np.ndarray]:
    """Run `batch` [B, ...] in calls of one shape: the card's largest up to `items`, else its smallest.

    Networks round differently in batches of other sizes (the default regressor by 1e-6), so what is computed
    in one shape alone does not depend on what it was batched with. Padding repeats the last item.
    """
    size = size_of_one_shape(engine.card, items)
    pieces = []
    for start in range(0, len(batch), size):
        piece = batch[start : start + size]
        outputs = engine.run(_padded(piece, size))
        pieces.append({name: values[: len(piece)] for name, values in outputs.items()})
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def size_of_one_shape(card: EngineCard, items: int) -> int:
    """The batch size that `run_in_one_shape` runs: the card's largest up to `items`, else its smallest."""
    return max((size for size in card.batch_sizes if size <= items), default=min(card.batch_sizes))


def _padded(piece: np.ndarray, size: int) -> np.ndarray:
    """`piece` [B, ...] with its last item repeated up to `size` items."""
    missing = size - len(piece)
    return np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)]) if missing else piece


def _known(shape: Shape) -> Iterator[int]:
    """Axes after the batch's; one that depends on the input is empty for no input."""
    return (axis if isinstance(axis, int) else 0 for axis in shape[1:])


def check_outputs(card: EngineCard, found: dict[str, list[object]]) -> None:
    """Raise EngineMismatch unless the file's outputs are those of the card; an axis passes where one of them
    leaves it open."""
    for name, shape in card.outputs.items():
        if name not in found:
            raise EngineMismatch(
                f"engine {card.name!r}: {card.file} has no output {name!r}, only {list(found)}"
            )
        actual = found[name]
        fits = len(actual) == len(shape) and all(
            isinstance(a, str) or not isinstance(b, int) or a == b
            for a, b in zip(shape[1:], actual[1:], strict=True)
        )
        if not fits:
            raise EngineMismatch(
                f"engine {card.name!r}: output {name!r} of {card.file} is {actual}, "
                f"the card says {list(shape)}"
            )
