"""A map: a rig's TOML file with the names of one character, for a person to confirm.

In: a `Character`, a `Rig`, their `Mapping`. Out: text that `rigs.reading` reads again. Names that were only
alike are there with ``confirmed = false``; a channel that the character has nothing for is a comment.
"""

from __future__ import annotations

import json

from facecap_batch.exporting.character.bones import Turned
from facecap_batch.exporting.character.mapping import Mapping
from facecap_batch.exporting.character.model import Character
from facecap_batch.exporting.rigs.description import formula
from facecap_batch.exporting.rigs.rig import Channel, Rig
from facecap_batch.text import printable


def map_text(character: Character, rig: Rig, mapping: Mapping, turned: Turned) -> str:
    """The TOML of a map."""
    lines = [
        "# Which of our coefficients move which shapes of this character. Look at what is not confirmed,",
        "# correct it, and write true: until then it is not used. Lines may be added: a shape of it",
        '# and a sum of ours. Write: "their shape" = { sum = { jawOpen = 1.0 }, gain = 1.0, offset = 0.0 }',
        f"title = {_quoted(f'{character.path.name} by {rig.name}')}",
    ]
    if rig.also:
        lines.append(f"also = [{', '.join(map(_quoted, rig.also))}]")
    lines += ["", "[channels]"]
    lines += [_line(channel.name, channel, confirmed=True) for channel in mapping.exact]
    for name, channel, score in sorted(mapping.alike, key=lambda entry: -entry[2]):
        lines.append(f"# {printable(name)} is like {printable(channel.name)}: {score:.0%}")
        lines.append(_line(name, channel, confirmed=False))
    for name in mapping.missing:
        channel = next(channel for channel in rig.channels if channel.name == name)
        lines.append(f"# not on the character: {printable(name)} = {printable(formula(channel))}")
    lines += [f"# moved by nothing: {printable(name)}" for name in mapping.idle]
    lines += [
        "",
        '# Nodes that the head and the eyes turn; write "" for one that should stay as it is.',
        "[bones]",
    ]
    for key, bone in (("head", turned.head), ("left_eye", turned.left_eye), ("right_eye", turned.right_eye)):
        if bone is not None and bone.name:
            lines.append(f"{key} = {_quoted(bone.name)}")
        else:
            lines.append(f'# {key} = "..."')
    lines.append(f'faces = "{"-Z" if turned.backward else "+Z"}"')
    return "\n".join(lines) + "\n"


def _line(name: str, channel: Channel, *, confirmed: bool) -> str:
    terms = ", ".join(f"{_quoted(column)} = {float(weight)!r}" for column, weight in channel.terms)
    fields = [f"sum = {{ {terms} }}"]
    if channel.gain != 1.0:
        fields.append(f"gain = {channel.gain!r}")
    if channel.offset:
        fields.append(f"offset = {channel.offset!r}")
    if channel.limits is not None:
        fields.append(f"limits = [{channel.limits[0]!r}, {channel.limits[1]!r}]")
    if not confirmed:
        fields.append("confirmed = false")
    return f"{_quoted(name)} = {{ {', '.join(fields)} }}"


def _quoted(text: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON but for one."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
