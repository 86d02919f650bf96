"""Rigs as text for a terminal: which there are, and what one is made of.

In: names, a `Rig`. Out: lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecap_batch.coefficients import ARKIT_NAMES, SHAPE_NAMES
from facecap_batch.exporting.rigs.rig import Channel, Rig
from facecap_batch.text import printable


def describe_rigs(rigs: Sequence[Rig]) -> str:
    """One line for each rig: its name, the number of its channels, its title."""
    width = max(len(rig.name) for rig in rigs)
    return "\n".join(f"{rig.name:{width}}  {len(rig.channels):4} channels  {rig.title}" for rig in rigs)


def describe_rig(rig: Rig) -> str:
    """The channels of a rig with their sums, where its names come from, and what is lost or taken twice."""
    width = max(len(printable(channel.name)) for channel in rig.channels)
    lines = [f"{rig.name}: {rig.title}" if rig.title else rig.name]
    lines += [f"source: {source}" for source in rig.sources]
    lines += [f"{printable(channel.name):{width}} = {formula(channel)}" for channel in rig.channels]
    further = rig.unmapped(SHAPE_NAMES[len(ARKIT_NAMES) :])
    if further:
        lines.append(f"not used, so lost where a clip has it: {', '.join(further)}")
    return "\n".join([*lines, *notes(rig)])


def notes(rig: Rig) -> list[str]:
    """What a person should know before the rig is used, one line each."""
    found = []
    if rig.unmapped():
        found.append(f"not used, so lost: {', '.join(rig.unmapped())}")
    found += [f"{column} moves several: {_listed(names)}" for column, names in rig.shared().items()]
    if rig.unconfirmed():
        found.append(f"waiting for `confirmed = true`, not used until then: {_listed(rig.unconfirmed())}")
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names))


def formula(channel: Channel) -> str:
    """A channel's sum as people write it: ``0.5 x (jawOpen - 0.2 mouthClose) - 0.1, within 0 .. 1``."""
    terms = ""
    for column, weight in channel.terms:
        sign = ("- " if weight < 0 else "") if not terms else (" - " if weight < 0 else " + ")
        terms += sign + (column if abs(weight) == 1.0 else f"{abs(weight):g} {column}")
    if channel.gain != 1.0:
        terms = f"{channel.gain:g} x ({terms})" if len(channel.terms) > 1 else f"{channel.gain:g} x {terms}"
    if channel.offset:
        terms += f" {'-' if channel.offset < 0 else '+'} {abs(channel.offset):g}"
    if channel.limits is not None:
        terms += f", within {channel.limits[0]:g} .. {channel.limits[1]:g}"
    if channel.unless:
        terms += f", unless {_listed(channel.unless)} is there"
    return terms
