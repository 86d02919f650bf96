"""Characters and rigs, given to whoever reads them, maps them and puts a take on them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from facecap_batch.exporting.character.bones import bones_of
from facecap_batch.exporting.character.description import describe_character, describe_mapping
from facecap_batch.exporting.character.file import read_character
from facecap_batch.exporting.character.map_file import map_text
from facecap_batch.exporting.character.mapping import mapping_of
from facecap_batch.exporting.character.writer import write_on_character
from facecap_batch.exporting.rigs.description import describe_rig
from facecap_batch.exporting.rigs.reading import parse_rig, read_rig
from facecap_batch.exporting.rigs.rig import in_channels
from tests.support.animations import constant_rate
from tests.support.characters import character_bytes, vrm0, vrm1
from tests.support.fuzz_targets.target import Target
from tests.support.fuzzing import BYTES, TEXT

NAMES = ("jawOpen", "eyeBlinkLeft", "Smile_R")
RIG = b"""
title = "Fuzzed"
source = ["nobody"]
also = ["mine"]
limits = [0.0, 1.0]
[channels]
Blink = { sum = { eyeBlinkLeft = 0.5, mine = -0.5 }, gain = 1.5, limits = [-1.0, 2.0], unless = ["B"] }
Turn = { sum = { headYaw = 1.0 }, offset = 0.1, confirmed = false }
Jaw = "jawOpen"
[bones]
head = "Head"
faces = "-Z"
"""
TABLE = constant_rate(Fraction(30), 4)


def inputs(folder: Path) -> list[bytes]:
    """A plain character, one of each VRM, and rigs with all that a rig may have."""
    plain = character_bytes(NAMES)
    newer = character_bytes(NAMES, **vrm1({"aa": [(0, 1.0)]}))
    older = character_bytes(NAMES, **vrm0({"a": [(0, 1.0)]}))
    character = read_character(_written(folder / "a.glb", plain))
    rig = read_rig("arkit")
    text = map_text(character, rig, mapping_of(character, rig), bones_of(character, rig.bones))
    return [plain, newer, older, text.encode(), RIG]


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def take(path: Path) -> None:
    """Use it as a rig or as a character. Raises BadRig, BadCharacter."""
    if not path.read_bytes().startswith(b"glTF"):
        rig = parse_rig(path.read_bytes(), path.name)
        describe_rig(rig)
        in_channels(TABLE, rig)
        return
    character, rig = read_character(path), read_rig("arkit")
    mapping, turned = mapping_of(character, rig), bones_of(character, rig.bones)
    describe_character(character, turned)
    describe_mapping(rig, mapping)
    if mapping.exact:
        parse_rig(map_text(character, rig, mapping, turned).encode(), "map.toml")
    out = path.with_name("out.glb")
    try:
        write_on_character(TABLE, out, character, rig)
    finally:
        out.unlink(missing_ok=True)


TARGET = Target(inputs, take, BYTES | TEXT, (".glb", ".vrm", ".toml"))
