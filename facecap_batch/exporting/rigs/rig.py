"""What a rig is, and a clip in the channels of a rig.

In: a `Rig`, a `CoefficientTable`. Out: `Channels`, a column of values for each channel of the rig. A channel
is gain x (the sum of weight x one of our columns) + offset, held within its limits. Our columns are the
coefficients, the head's six, and others that a regressor of the user's own has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, OUTPUT_NAMES, SHAPE_NAMES, CoefficientTable

HEAD_NAMES = OUTPUT_NAMES[len(ARKIT_NAMES) :]
SOURCES: tuple[str, ...] = (*SHAPE_NAMES, *HEAD_NAMES)


@dataclasses.dataclass(frozen=True)
class Channel:
    """A channel of a rig: what it is made of."""

    name: str
    terms: tuple[tuple[str, float], ...]  # (one of our columns, its weight), each column once
    gain: float = 1.0
    offset: float = 0.0  # added after the gain
    limits: tuple[float, float] | None = None  # lowest and highest value; None: as it comes
    unless: tuple[str, ...] = ()  # the channel is not used where one of these channels is
    confirmed: bool = True  # False: only alike in name, not used until a person has said that it is right


@dataclasses.dataclass(frozen=True)
class Bones:
    """Names of a character's bones where they are not called as usual; "" for one that is left as it is."""

    head: str | None = None  # None: found by its name, as VRM says or as tools call it
    left_eye: str | None = None  # the subject's left
    right_eye: str | None = None
    faces: str | None = None  # "+Z" or "-Z"; None: -Z for VRM 0.x, +Z for all else


@dataclasses.dataclass(frozen=True)
class Rig:
    """The channels that a face is moved by."""

    name: str  # of the preset, or the path of the file
    channels: tuple[Channel, ...]
    title: str = ""  # one line about it
    sources: tuple[str, ...] = ()  # where the names were read
    also: tuple[str, ...] = ()  # further columns that its channels take, of a regressor of the user's own
    bones: Bones = dataclasses.field(default_factory=Bones)

    def unmapped(self, shapes: Sequence[str] = ARKIT_NAMES) -> tuple[str, ...]:
        """The coefficients, of `shapes`, that no channel takes: what they say is lost."""
        taken = {column for channel in self.channels for column, weight in channel.terms if weight}
        return tuple(name for name in shapes if name not in taken)

    def shared(self) -> dict[str, tuple[str, ...]]:
        """Of the coefficients that move several channels: the names of these."""
        takers: dict[str, list[str]] = {}
        for channel in self.channels:
            for column, weight in channel.terms:
                if weight:
                    takers.setdefault(column, []).append(channel.name)
        return {column: tuple(names) for column, names in takers.items() if len(names) > 1}

    def unconfirmed(self) -> tuple[str, ...]:
        """The channels that wait for a person."""
        return tuple(channel.name for channel in self.channels if not channel.confirmed)

    def used(self, there: frozenset[str] | None = None) -> tuple[Channel, ...]:
        """The channels that are written.

        Args:
            there: the names that the target has; None: all that the rig names.
        """
        names = frozenset(channel.name for channel in self.channels) if there is None else there
        return tuple(
            channel
            for channel in self.channels
            if channel.confirmed and channel.name in names and not names.intersection(channel.unless)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Channels:
    """A clip in the channels of a rig."""

    names: tuple[str, ...]
    values: np.ndarray  # float32 [N, C], as the rig's limits say; NaN where nothing is known
    # float64 [C, S]: how far each channel moves with each coefficient of the clip, limits aside.
    slopes: np.ndarray
    lost: tuple[str, ...]  # channels left out, because the clip has none of their columns


def in_channels(table: CoefficientTable, rig: Rig, there: frozenset[str] | None = None) -> Channels:
    """The clip `table` in the channels of `rig`.

    A column that the clip does not have at all, because the regressor has no such output or the part of the
    face was never seen, counts as 0 in a sum of several; a channel that has no other is left out where the
    table has no such column. Where a column is unknown in some frames, so are the channels that take it.

    Args:
        table: the clip.
        rig: the rig.
        there: the names that the target has; None: all that the rig names.
    """
    columns = _columns(table)
    count, shapes = len(table), table.shape_names
    names, values, slopes, lost = [], [], [], []
    for channel in rig.used(there):
        terms = [(column, weight) for column, weight in channel.terms if column in columns]
        if not terms:
            lost.append(channel.name)
            continue
        names.append(channel.name)
        values.append(_summed(channel, [(columns[column], weight) for column, weight in terms], count))
        slope = np.zeros(len(shapes))
        for column, weight in terms:
            if column in shapes:
                slope[shapes.index(column)] += channel.gain * weight
        slopes.append(slope)
    return Channels(
        names=tuple(names),
        values=np.stack(values, axis=1) if values else np.zeros((count, 0), np.float32),
        slopes=np.stack(slopes) if slopes else np.zeros((0, len(shapes))),
        lost=tuple(lost),
    )


def _columns(table: CoefficientTable) -> dict[str, np.ndarray]:
    """Name -> float32 [N] of every column that a rig may take."""
    names = (*table.shape_names, *HEAD_NAMES, *table.extra_names)
    columns = np.concatenate([table.coefficients, table.head, table.extra], axis=1)
    return dict(zip(names, columns.T, strict=True))


def _summed(channel: Channel, terms: list[tuple[np.ndarray, float]], count: int) -> np.ndarray:
    """float32 [N]: the channel's values."""
    known = [(values, weight) for values, weight in terms if np.isfinite(values).any()]
    if not known:
        return np.full(count, np.nan, np.float32)
    if channel == Channel(channel.name, channel.terms) and len(known) == 1 and known[0][1] == 1.0:
        return np.asarray(known[0][0], np.float32)  # the column itself
    total = np.zeros(count)
    for values, weight in known:
        total += weight * np.asarray(values, np.float64)
    total = channel.gain * total + channel.offset
    if channel.limits is not None:
        total = np.clip(total, *channel.limits)
    return total.astype(np.float32)
