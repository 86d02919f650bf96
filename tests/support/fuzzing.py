"""Seeded mutations of inputs, as bit rot, broken transfers and people with bad intent make them.

In: valid inputs as bytes, or as JSON values, and a seed. Out: `Mutation`s, the same ones for the same seed.
What holds numbers in binary (containers) is hurt by `BYTES`; text that others parse (manifests, records,
cards) by `BYTES` and `TEXT`, and by `changed_value`, which keeps the text valid and changes what it says.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# Hurts `data`; `others` are further inputs of its kind, `data` among them.
Mutator = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

MAX_EDITS = 4  # mutators, one after the other, for one mutation
MAX_PIECE = 4096  # bytes that are repeated, removed or put in at one time
MAX_REPEATS = 64
WIDTHS = (1, 2, 4, 8)  # bytes of a field that may hold a length
NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?")
# What parsers of numbers, times and text have stumbled over.
HARD_TEXTS = (
    *(b"", b"-1", b"-0", b"0/0", b"1/0", b"1e400", b"1e999999999", b"9" * 400, b"0." + b"1" * 400),
    *(b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"[]", b"{}", b'"', b"0x10", b"1_000", b"1,5"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"\r", b"\n\n", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *("\u2028 \u202e \u0301 \ud7ff ٣ ²".encode(), b"../../x", b"/dev/stdin", b"%s%n", b"=1+1", b"[" * 5000),
)
HARD_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", " ", "NaN", "1/0", "1e999999999", "9" * 400, "a" * 10_000, "\ud800", "\0"),
    *(0, -1, 1 << 31, 1 << 63, 10**400, 0.0, -0.5, 1e308, float("nan"), float("inf"), [], {}, [[]]),
    *({"a": {}}, [None] * 1000, "../../x", "\u202e", "2026-13-45T99:99:99Z"),
)


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One hurt input."""

    number: int  # of the mutation, from 0 on
    kinds: tuple[str, ...]  # names of the mutators, in the order in which they were applied
    data: bytes


def mutations(
    inputs: Sequence[bytes], seed: int, count: int, mutators: Mapping[str, Mutator] | None = None
) -> Iterator[Mutation]:
    """`count` mutations of `inputs`, each of one to `MAX_EDITS` mutators.

    Args:
        inputs: Valid inputs; at least one.
        seed: Mutation number n depends on inputs, seed and n alone.
        count: How many.
        mutators: Name -> mutator; None: `BYTES`.
    """
    for number in range(count):
        yield mutation(inputs, seed, number, mutators)


def mutation(
    inputs: Sequence[bytes], seed: int, number: int, mutators: Mapping[str, Mutator] | None = None
) -> Mutation:
    """Mutation `number` of `mutations`."""
    chosen = BYTES if mutators is None else mutators
    rng = random.Random(f"{seed}:{number}")
    data = rng.choice(inputs)
    kinds = tuple(rng.choice(sorted(chosen)) for _ in range(rng.randint(1, MAX_EDITS)))
    for kind in kinds:
        data = chosen[kind](rng, data, inputs)
    return Mutation(number, kinds, data)


def changed_value(rng: random.Random, value: Any) -> Any:
    """A copy of a JSON value in which one part is lost, doubled, renamed or another value.

    Args:
        rng: Decides which.
        value: Of dicts, lists and scalars, as `json.loads` gives them; not changed.
    """
    changed = copy.deepcopy(value)
    places = list(_places(changed))
    if not places:
        return copy.deepcopy(rng.choice(HARD_VALUES))
    parent, key = rng.choice(places)
    action = rng.choice(("value", "value", "remove", "double", "swap"))
    if action == "value":
        parent[key] = copy.deepcopy(rng.choice(HARD_VALUES))
    elif action == "remove":
        del parent[key]
    elif action == "double" and isinstance(parent, dict):
        parent[f"{key}{rng.choice('_ 2')}"] = copy.deepcopy(parent[key])
    elif action == "double":
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        other, there = rng.choice(places)
        parent[key] = copy.deepcopy(other[there])
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(dict or list, key or index) of every value inside `value`."""
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _flipped_bits(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _bit in range(rng.choice((1, 1, 4, 32)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _random_bytes(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _piece(rng, data, 64)
    return data[:begin] + rng.randbytes(end - begin) + data[end:]


def _truncated(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _zeroed(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _piece(rng, data)
    return data[:begin] + bytes(end - begin) + data[end:]


def _removed(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _piece(rng, data)
    return data[:begin] + data[end:]


def _repeated(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _piece(rng, data)
    return data[:end] + data[begin:end] * rng.choice((1, 2, MAX_REPEATS)) + data[end:]


def _moved(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _piece(rng, data)
    rest = data[:begin] + data[end:]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + data[begin:end] + rest[at:]


def _spliced(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of one input and the end of another."""
    other = rng.choice(others)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _put_in(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A piece of another input, in the middle of this one."""
    other = rng.choice(others)
    begin, end = _piece(rng, other)
    at = rng.randrange(len(data) + 1)
    return data[:at] + other[begin:end] + data[at:]


def _length_changed(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A number that may be a length or a count: one of the first bytes of a chunk, by its look."""
    width = rng.choice([size for size in WIDTHS if size <= len(data)] or [0])
    if not width:
        return data
    order: Any = rng.choice(("big", "little"))
    # Most fields of 0 to 65,535 that are wider than that are lengths, counts or sizes.
    fields = [
        at
        for at in (rng.randrange(len(data) - width + 1) for _try in range(200))
        if width < 4 or int.from_bytes(data[at : at + width], order) < 1 << 16
    ]
    at = rng.choice(fields) if fields else rng.randrange(len(data) - width + 1)
    top = (1 << 8 * width) - 1
    old = int.from_bytes(data[at : at + width], order)
    wanted = rng.choice((0, 1, old + 1, old - 1, 2 * old, old // 2, len(data), top, top // 2, top // 2 + 1))
    return data[:at] + (wanted & top).to_bytes(width, order) + data[at + width :]


def _number_changed(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A number in text becomes another text."""
    found = list(NUMBER.finditer(data))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(HARD_TEXTS) + data[match.end() :]


def _text_put_in(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(HARD_TEXTS) + data[at:]


def _lines_changed(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A line is lost, doubled, or changes its place."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    line = lines.pop(rng.randrange(len(lines)))
    for _copy in range(rng.choice((0, 1, 2, MAX_REPEATS))):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _piece(rng: random.Random, data: bytes, longest: int = MAX_PIECE) -> tuple[int, int]:
    """Begin and end of some bytes of `data`."""
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.randint(1, rng.choice((8, longest))))


BYTES: dict[str, Mutator] = {
    "bits": _flipped_bits,
    "random": _random_bytes,
    "truncated": _truncated,
    "zeroed": _zeroed,
    "removed": _removed,
    "repeated": _repeated,
    "moved": _moved,
    "spliced": _spliced,
    "put in": _put_in,
    "length": _length_changed,
}
TEXT: dict[str, Mutator] = {"number": _number_changed, "text": _text_put_in, "lines": _lines_changed}


def _value_changed(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Valid JSON that says something else; of what is no JSON nothing is changed."""
    try:
        return json.dumps(changed_value(rng, json.loads(data))).encode()
    except (ValueError, RecursionError):
        return data


# As often as all that break the text together: what is no JSON any more is refused at once.
JSON_VALUES: dict[str, Mutator] = {f"value {number}": _value_changed for number in range(12)}
