"""Cards and sets as text, for a terminal.

In: cards. Out: lines of text, nothing left out that decides a result; `EngineCard.to_json` has the rest.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facecap_batch.engines.cards import ROLES, EngineCard
from facecap_batch.engines.output_columns import output_columns
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import EngineError

WIDTH = 100  # characters of a line
_LABEL = 12
_TOGETHER = "\N{NO-BREAK SPACE}"  # between a name and its value: lines are not broken there
_HEADS = {
    "crop": "relative to the crop: made radians and centimetres of the camera's frame",
    "camera": "taken as they are: radians and centimetres of the camera's frame",
}


def describe_card(card: EngineCard) -> str:
    """A card as text, without a newline at its end."""
    lines = [f"{card.role} {card.name} {card.version}"]
    for label, text in _facts(card):
        begin = f"  {label:{_LABEL}}"
        lines += textwrap.wrap(text, WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin))
    return "\n".join(lines).replace(_TOGETHER, " ")


def _facts(card: EngineCard) -> Iterator[tuple[str, str]]:
    spec = card.input
    yield "file", str(card.path)
    yield "SHA-256", card.sha256
    yield "licence", card.licence
    if card.architecture:
        yield "network", _pairs(card.architecture)
    where = f", sides any multiple of {spec.step} up to {spec.size}" if spec.step else ""
    yield "input", f"{spec.name}: {spec.dtype} {_shape(spec.shape)} {spec.layout} {spec.channels}{where}"
    within = " inside the network" if spec.dtype == "uint8" else ""
    yield "normalised", f"(pixel - {_channels(spec.mean)}) / {_channels(spec.std)}{within}"
    yield "outputs", ", ".join(f"{name} {_shape(shape)}" for name, shape in card.outputs.items())
    if card.role == "regressor" and card.output_names:
        yield from _columns(card)
    yield "batches", ", ".join(map(str, card.batch_sizes))
    if card.postprocess:
        yield "settings", _pairs(card.postprocess)
    if card.gains:
        yield "gains", _pairs({name: gain for name, gain in card.gains.items() if gain != 1})
    if card.quality:
        yield "quality", _pairs(card.quality)
    if card.judged_in:
        yield "judged in", ", ".join(card.judged_in)
    if card.training:
        yield "made from", _pairs(card.training)


def _columns(card: EngineCard) -> Iterator[tuple[str, str]]:
    columns = output_columns(card.output_names, f"regressor {card.name!r}")
    shapes = columns.shape_names
    named = [name for name, column in zip(shapes, columns.coefficients, strict=True) if column >= 0]
    missing = [name for name in shapes if name not in named]
    yield "ARKit", f"all {len(named)}" if not missing else f"{len(named)} of {len(shapes)}"
    if named and missing:
        yield "no output", ", ".join(missing)
    parts = [
        part
        for part, found in (("rotation", columns.pose[:3]), ("position", columns.pose[3:]))
        if min(found) >= 0
    ]
    yield "head", f"{' and '.join(parts)}, {_HEADS[card.head_frame]}" if parts else "no output"
    if columns.extra_names:
        yield "others", ", ".join(columns.extra_names)


def _shape(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _channels(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else f"({', '.join(f'{value:g}' for value in values)})"


def _pairs(values: dict[str, Any]) -> str:
    """What a terminal can show; lists and tables of figures are in the JSON."""
    plain = [
        f"{name}{_TOGETHER}{value}"
        for name, value in values.items()
        if not isinstance(value, dict | list | tuple)
    ]
    return ", ".join(plain + ["more with --json"] * (len(plain) < len(values)))


def describe_sets(sets: dict[str, Path]) -> str:
    """A table of the sets by name: one line an engine, or what is wrong with the set."""
    rows = [("set", "role", "engine", "input", "outputs", "licence")]
    for name, folder in sets.items():
        try:
            cards = load_set(folder).cards
        except EngineError as error:
            rows.append((name, "broken", str(error), "", "", ""))
            continue
        for number, card in enumerate(cards):
            outputs = f"{len(card.output_names)} numbers" if card.role == "regressor" else "boxes"
            engine = f"{card.name} {card.version}"
            rows.append(
                ("" if number else name, card.role, engine, f"{card.input.size} px", outputs, card.licence)
            )
    widths = [max(len(row[column]) for row in rows if row[1] != "broken") for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def what_is_missing(folder: Path) -> str:
    """What a folder that engines were imported into still lacks to be a set; or how to run it."""
    missing = [role for role in ROLES if not (folder / f"{role}.json").is_file()]
    if not missing:
        return f"{folder} is a set: facecap-batch run MANIFEST --output OUT --engines {folder}"
    role = missing[0]
    return (
        f"{folder} needs a {role} to be a set. The default one: "
        f"facecap-batch engines import default {folder} --role {role}"
    )
