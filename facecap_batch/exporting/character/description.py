"""A character and a rig on it, as text for a terminal.

In: a `Character`, a `Mapping`, the bones. Out: lines. Names of the file are shown so that they change no
terminal.
"""

from __future__ import annotations

from collections.abc import Iterable

from facecap_batch.exporting.character.bones import Turned
from facecap_batch.exporting.character.mapping import Mapping
from facecap_batch.exporting.character.model import Character
from facecap_batch.exporting.rigs.description import formula
from facecap_batch.exporting.rigs.rig import Rig
from facecap_batch.text import printable


def describe_character(character: Character, turned: Turned) -> str:
    """What can be moved: shapes, expressions, bones."""
    kind = f"VRM {character.vrm}" if character.vrm else "glTF"
    nodes = _listed(character.nodes[node].name or f"node {node}" for node in character.weights)
    lines = [f"{character.path}: {kind}, {len(character.morphs)} morph targets of {nodes or 'no mesh'}"]
    if character.expressions:
        lines.append(f"expressions: {_listed(sorted(character.expressions))}")
    for label, bone in (
        ("head", turned.head),
        ("left eye", turned.left_eye),
        ("right eye", turned.right_eye),
    ):
        lines.append(
            f"{label}: {printable(bone.name) if bone is not None else 'no bone, so it does not turn'}"
        )
    lines.append(f"faces {'-Z' if turned.backward else '+Z'}")
    return "\n".join(lines)


def describe_mapping(rig: Rig, mapping: Mapping) -> str:
    """What of a rig is on the character, name by name."""
    exact = [(channel.name, formula(channel)) for channel in mapping.exact]
    similar = [
        (name, f"{formula(channel)}   ({score:.0%} like {channel.name}; not used until confirmed)")
        for name, channel, score in mapping.alike
    ]
    lines = [f"rig {rig.name}: {len(exact)} the same, {len(similar)} alike, {len(mapping.missing)} not there"]
    width = max((len(printable(name)) for name, _ in (*exact, *similar)), default=0)
    lines += [f"same   {printable(name):{width}} = {printable(text)}" for name, text in exact]
    lines += [f"alike  {printable(name):{width}} = {printable(text)}" for name, text in similar]
    lines += [f"{label}: {_listed(names)}" for label, names in _rests(mapping) if names]
    return "\n".join(lines)


def mapping_notes(character: Character, mapping: Mapping, turned: Turned) -> list[str]:
    """What a person should know before the take goes onto the character, one line each."""
    found = []
    if mapping.alike:
        names = _listed(name for name, _, _ in mapping.alike)
        found.append(
            f"only alike, so not used: {names}; `facecap-batch rigs check {character.path} --map FILE` "
            "writes them down for you to confirm"
        )
    found += [f"{label}: {_listed(names)}" for label, names in _rests(mapping) if names]
    missing = [
        label
        for label, bone in (
            ("head", turned.head),
            ("left eye", turned.left_eye),
            ("right eye", turned.right_eye),
        )
        if bone is None
    ]
    if missing:
        found.append(f"no bone, so it does not turn: {', '.join(missing)}")
    return found


def _rests(mapping: Mapping) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("channels that the character has nothing for", mapping.missing),
        ("shapes of the character that nothing moves", mapping.idle),
        ("waiting for `confirmed = true`, not used until then", mapping.unconfirmed),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(printable(name) for name in names)
