"""Which curves a plot shows, and in which panels.

In: what a user names (columns, pairs, groups, a number), and the tables. Out: `Panel`s from top to bottom.
The curves of one panel have one unit, and the two sides of a pair share a panel.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence

import numpy as np

from facecap_batch.coefficients import (
    HEAD_ANGLE_NAMES,
    HEAD_POSITION_NAMES,
    SHAPE_NAMES,
    CoefficientTable,
)
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.channels import PAIRS, movement, stem_of

MOST_MOVING = 8  # curves that a plot shows where nobody names any
ALL = "all"
COEFFICIENT, DEGREES, CENTIMETRES, OWN = (
    "coefficient",
    "degrees",
    "cm",
    "value",
)  # units; OWN: the regressor's own


class BadPlot(FacecapError):
    """A plot cannot be made: no such channel, too much for one picture, or matplotlib is not installed."""


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes: curves over time, in one unit."""

    channels: tuple[str, ...]  # columns of the table
    unit: str  # COEFFICIENT, DEGREES, CENTIMETRES or OWN


def _with_stems(*stems: str) -> tuple[str, ...]:
    return tuple(name for name in SHAPE_NAMES if name.startswith(stems))


# Names of channels; a plot leaves out what none of its tables has.
GROUPS: dict[str, tuple[str, ...]] = {
    "brows": _with_stems("brow"),
    "eyes": _with_stems("eye"),
    "lids": _with_stems("eyeBlink", "eyeSquint", "eyeWide"),
    "gaze": _with_stems("eyeLook"),
    "jaw": _with_stems("jaw"),
    "mouth": _with_stems("mouth", "tongue"),
    "cheeks": _with_stems("cheek"),
    "nose": _with_stems("nose"),
    "head": HEAD_ANGLE_NAMES + HEAD_POSITION_NAMES,
    "rotation": HEAD_ANGLE_NAMES,
    "position": HEAD_POSITION_NAMES,
    ALL: SHAPE_NAMES + HEAD_ANGLE_NAMES + HEAD_POSITION_NAMES,
}


def chosen_channels(wanted: Sequence[str] | str | int, tables: Sequence[CoefficientTable]) -> tuple[str, ...]:
    """The channels that `wanted` names, each once, in the order they are named.

    Args:
        wanted: A number: those that move most; or names, in a list or with commas between them: columns
            ("jawOpen"), pairs ("eyeBlink") and groups ("brows"), or such a number as text.
        tables: What is plotted, at least one.

    Raises:
        BadPlot: A name is none of these. The message has the nearest ones.
    """
    if isinstance(wanted, int):
        return most_moving(tables, wanted)
    names = [part.strip() for text in _texts(wanted) for part in text.split(",") if part.strip()]
    if not names:
        raise BadPlot(f"no channel is named; there are the columns of the tables, and {', '.join(GROUPS)}")
    there = (*_shapes_of(tables), *HEAD_ANGLE_NAMES, *HEAD_POSITION_NAMES)
    there = (*there, *(name for table in tables for name in table.extra_names))
    found: dict[str, None] = {}
    for name in names:
        if name.isdecimal():
            found.update(dict.fromkeys(most_moving(tables, int(name))))
        else:
            found.update(dict.fromkeys(_named(name, there)))
    return tuple(found)


def most_moving(tables: Sequence[CoefficientTable], count: int) -> tuple[str, ...]:
    """The `count` coefficients that move most in any table, in ARKit's order. Raises BadPlot below 1."""
    if count < 1:
        raise BadPlot(f"a plot has one channel at least, not {count}")
    shapes = _shapes_of(tables)
    ranges = np.zeros(len(shapes))
    for table in tables:
        own = ranges[: len(table.shape_names)]
        np.maximum(own, movement(table.coefficients), out=own)
    most = np.sort(np.argsort(-ranges, kind="stable")[:count])
    return tuple(shapes[index] for index in most)


def _shapes_of(tables: Sequence[CoefficientTable]) -> tuple[str, ...]:
    """The coefficients that any of `tables` has."""
    return max((table.shape_names for table in tables), key=len)


def panels_of(channels: Sequence[str], apart: bool = False) -> list[Panel]:
    """Panels for `channels`, in their order: the sides of a pair in one, rotation in one, position in one.

    Args:
        channels: Columns of the table.
        apart: Give each axis of the head a panel of its own, as where colours tell clips from each other.
    """
    parts: dict[str, list[str]] = {}
    for name in channels:
        parts.setdefault(name if apart and name in GROUPS["head"] else _together(name), []).append(name)
    return [Panel(tuple(names), unit_of(names[0])) for names in parts.values()]


def _together(name: str) -> str:
    """What the channels of a panel share."""
    for names in (HEAD_ANGLE_NAMES, HEAD_POSITION_NAMES):
        if name in names:
            return names[0]
    return stem_of(name)


def unit_of(name: str) -> str:
    """The unit of a channel's curve."""
    if name in SHAPE_NAMES:
        return COEFFICIENT
    return DEGREES if name in HEAD_ANGLE_NAMES else CENTIMETRES if name in HEAD_POSITION_NAMES else OWN


def values_of(table: CoefficientTable, name: str) -> np.ndarray:
    """float64 [N]: a channel in the unit of its curve, NaN where it is not known or the table has none."""
    if name in table.shape_names:
        return table.coefficients[:, SHAPE_NAMES.index(name)].astype(np.float64)
    if name in HEAD_ANGLE_NAMES:
        return np.degrees(table.head[:, HEAD_ANGLE_NAMES.index(name)].astype(np.float64))
    if name in HEAD_POSITION_NAMES:
        return table.head[:, 3 + HEAD_POSITION_NAMES.index(name)].astype(np.float64)
    if name in table.extra_names:
        return table.extra[:, table.extra_names.index(name)].astype(np.float64)
    return np.full(len(table), np.nan)


def _texts(wanted: Sequence[str] | str) -> Iterable[str]:
    return [wanted] if isinstance(wanted, str) else wanted


def _named(name: str, there: Sequence[str]) -> tuple[str, ...]:
    """The channels of a column, a pair or a group, in any case, of those that are there. Raises BadPlot."""
    known: dict[str, tuple[str, ...]] = {each.lower(): (each,) for each in there}
    known |= {stem.lower(): pair for stem, pair in PAIRS.items()}
    known |= {group: tuple(each for each in names if each in there) for group, names in GROUPS.items()}
    if name.lower() in known:
        return known[name.lower()]
    names = {each.lower(): each for each in (*there, *PAIRS, *GROUPS)}
    near = [names[each] for each in difflib.get_close_matches(name.lower(), names, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are columns, and {', '.join(GROUPS)}"
    raise BadPlot(f"no channel, pair or group is called {name!r}; {hint}")
