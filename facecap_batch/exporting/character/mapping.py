"""A rig against a character: which channels move which of its shapes.

In: a `Character`, a `Rig`. Out: `Mapping`: names that are the same, names that are only alike, channels that
the character has nothing for, shapes that nothing moves. Only what is the same is used; what is alike becomes
a map file (`map_file`), in which a person confirms it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from facecap_batch.exporting.character.likeness import alike
from facecap_batch.exporting.character.model import Character
from facecap_batch.exporting.rigs.rig import Channel, Rig


@dataclasses.dataclass(frozen=True)
class Mapping:
    """What of a rig is on a character."""

    exact: tuple[Channel, ...]  # the character has their names; those that are used
    alike: tuple[
        tuple[str, Channel, float], ...
    ]  # (a name of the character, the channel meant, how much 0..1)
    missing: tuple[str, ...]  # channels that the character has nothing for
    idle: tuple[str, ...]  # morph targets of the character that nothing moves
    unconfirmed: tuple[str, ...]  # channels that wait for a person


def mapping_of(character: Character, rig: Rig) -> Mapping:
    """The channels of `rig` on `character`."""
    there = character.names()
    exact = rig.used(there)
    named = {channel.name for channel in rig.channels if channel.name in there}
    open_channels = {
        channel.name: channel
        for channel in rig.channels
        if channel.name not in named and not named.intersection(channel.unless)
    }
    taken = {target for channel in exact for target in character.targets(channel.name)}
    free = [
        name
        for name, targets in character.morphs.items()
        if name not in named and not taken.intersection(targets)
    ]
    similar = alike(free, open_channels)
    meant = {channel for channel, _ in similar.values()}
    return Mapping(
        exact=exact,
        alike=tuple((name, open_channels[channel], score) for name, (channel, score) in similar.items()),
        missing=tuple(name for name in open_channels if name not in meant),
        idle=tuple(name for name in free if name not in similar),
        unconfirmed=tuple(
            channel.name for channel in rig.channels if channel.name in there and not channel.confirmed
        ),
    )


def best_rig(character: Character, rigs: Sequence[Rig]) -> Rig:
    """Of `rigs` the one that most of the character's names are the same as; then that most are alike to; then
    the first."""

    def fit(rig: Rig) -> tuple[int, int]:
        mapping = mapping_of(character, rig)
        return len(mapping.exact), len(mapping.alike)

    return max(rigs, key=fit)
