"""Which names of a character a rig moves: the same, alike, neither; and the map that a person confirms."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.character.bones import bones_of
from facecap_batch.exporting.character.file import BadCharacter, read_character
from facecap_batch.exporting.character.likeness import alike
from facecap_batch.exporting.character.map_file import map_text
from facecap_batch.exporting.character.mapping import best_rig, mapping_of
from facecap_batch.exporting.character.writer import write_on_character
from facecap_batch.exporting.rigs.reading import parse_rig, preset_names, read_rig
from facecap_batch.exporting.rigs.rig import Bones
from tests.support.animations import constant_rate
from tests.support.characters import glb, vrm1, write_character
from tests.support.gltf_readers import played

OTHER = tuple(
    f"Face.{name[0].upper()}{name[1:]}".replace("Left", "_L").replace("Right", "_R") for name in ARKIT_NAMES
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Eye_Blink_L", "eyeBlinkLeft"),
        ("blendShape1.AK_10_EyeBlinkRight", "eyeBlinkRight"),
        ("head_geo.jawOpen", "jawOpen"),
        ("MOUTH_SMILE_LEFT", "mouthSmileLeft"),
        ("mouthClosed", "mouthClose"),
        ("Left_Eye_Blink", "eyeBlinkLeft"),
        ("smileMouth_R", "mouthSmileRight"),
        ("browInnerUp_L", "browInnerUp"),
        ("mouthLeft", "mouthLeft"),
        ("Mouth_L", "mouthLeft"),
        ("eyeBlinkRight", "eyeBlinkRight"),
        ("smirk", None),
        ("blink", None),
        ("body_height", None),
        ("", None),
        ("...", None),
    ],
)
def test_likeness(name: str, meant: str | None) -> None:
    found = alike([name], ARKIT_NAMES)
    assert (found[name][0] if name in found else None) == meant


def test_left_is_never_taken_for_right() -> None:
    sided = [name for name in ARKIT_NAMES if name.endswith("Left")]
    others = [name.replace("Left", "Right") for name in sided]
    assert alike(others, sided) == {}
    assert alike([name.replace("Left", "_R") for name in sided], sided) == {}


def test_all_52_of_other_names_are_alike_and_used_only_when_confirmed(tmp_path: Path) -> None:
    path = write_character(tmp_path / "a.glb", OTHER)
    character, rig, table = read_character(path), read_rig("arkit"), constant_rate(Fraction(30), 30)
    mapping = mapping_of(character, rig)
    assert mapping.exact == () and len(mapping.alike) == 51 and mapping.missing == ("tongueOut",)
    text = map_text(character, rig, mapping, bones_of(character, Bones()))
    unconfirmed = parse_rig(text.encode(), "map.toml")
    assert len(unconfirmed.unconfirmed()) == 51 and unconfirmed.bones.head == "Head"
    with pytest.raises(BadCharacter):
        write_on_character(table, tmp_path / "out.glb", character, unconfirmed)
    some = text.replace("confirmed = false", "confirmed = true", 3)
    write_on_character(table, tmp_path / "out.glb", character, parse_rig(some.encode(), "map.toml"))
    assert sum(bool(values.any()) for values in played(tmp_path / "out.glb").weights.values()) == 3
    confirmed = parse_rig(text.replace("confirmed = false", "confirmed = true").encode(), "map.toml")
    write_on_character(table, tmp_path / "out.glb", character, confirmed)
    seen = played(tmp_path / "out.glb")
    for number, name in enumerate(OTHER):
        np.testing.assert_allclose(seen.weights[name], table.coefficients[:, number], atol=1e-6)


def test_a_map_keeps_sums_limits_and_strange_names(tmp_path: Path) -> None:
    names = ('Auf "zu"', "line\nend", "aa", "日本")
    sums = b"{ sum = { jawOpen = 0.5, mine = -1.0 }, gain = 2.0, offset = -0.25 }"
    lines = (b'also = ["mine"]', b"limits = [0.0, 1.0]", b"[channels]", b'"Auf \\"zu\\"" = ' + sums)
    more = (b'"\\u65e5\\u672c" = "jawLeft"', b'aA_ = "jawRight"')
    rig = parse_rig(b"\n".join([*lines, *more]), "x")
    character = read_character(write_character(tmp_path / "a.glb", names))
    text = map_text(character, rig, mapping_of(character, rig), bones_of(character, Bones()))
    again = parse_rig(text.encode(), "y")
    found = {channel.name: channel for channel in again.channels}
    expected = {channel.name: channel for channel in rig.channels}
    assert found['Auf "zu"'] == expected['Auf "zu"'] and found["日本"] == expected["日本"]
    assert found["aa"].terms == (("jawRight", 1.0),) and not found["aa"].confirmed
    assert again.also == ("mine",)


def test_the_best_preset_is_found(tmp_path: Path) -> None:
    rigs = [read_rig(name) for name in preset_names()]
    for name in ("arkit", "cc4", "rocketbox", "unified", "sranipal", "metahuman-controls"):
        shapes = [channel.name for channel in read_rig(name).channels]
        character = read_character(write_character(tmp_path / "a.glb", shapes))
        assert best_rig(character, rigs).name == name
        mapping = mapping_of(character, read_rig(name))
        assert mapping.missing == () and mapping.alike == ()
    avatar = write_character(
        tmp_path / "a.vrm", ("a", "b"), **vrm1({"aa": [(0, 1.0)], "blinkLeft": [(1, 1.0)]})
    )
    assert best_rig(read_character(avatar), rigs).name == "vrm"


@pytest.mark.parametrize(
    "bones",
    [
        ("mixamorig:Head", "mixamorig:LeftEye", "mixamorig:RightEye"),
        ("CC_Base_Head", "CC_Base_L_Eye", "CC_Base_R_Eye"),
        ("J_Bip_C_Head", "J_Adj_L_FaceEye", "J_Adj_R_FaceEye"),
        ("head", "eye.L", "eye.R"),
        ("Bip01 Head", "Bip01 LEye", "Bip01 REye"),
        ("head", "FACIAL_L_Eye", "FACIAL_R_Eye"),
    ],
)
def test_bones_are_found_by_what_tools_call_them(bones: tuple[str, str, str], tmp_path: Path) -> None:
    character = read_character(write_character(tmp_path / "a.glb", ("jawOpen",), bones=bones))
    found = bones_of(character, Bones())
    assert tuple(bone.name for bone in found.found()) == bones
    left_alone = bones_of(character, Bones(head="", left_eye=bones[2], faces="-Z"))
    assert left_alone.head is None and left_alone.backward
    assert left_alone.left_eye is not None and left_alone.left_eye.name == bones[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(nodes=[{"children": [1]}, {"children": [0]}]), "its own parent"),
        (lambda d: d.update(nodes=[{"children": [7]}]), "is no node"),
        (lambda d: d["nodes"][4].update(mesh=3), "there is no mesh 3"),
        (lambda d: d["nodes"][4].update(weights=[0.5, 0.5]), "2 weights"),
        (lambda d: d["nodes"][0].update(rotation=[0, 0, 0, 0]), "no rotation"),
        (lambda d: d["nodes"][0].update(rotation="x"), "nodes.0.rotation"),
        (lambda d: d["asset"].update(version="1.0"), "glTF 1.0"),
        (lambda d: d["buffers"].append({"byteLength": 3, "uri": "x.bin"}), "other files"),
        (lambda d: d["buffers"][0].update(byteLength=1 << 40), "other files"),
        (lambda d: d.update(extensions={"VRMC_vrm": {"expressions": {"preset": {"aa": 3}}}}), "damaged"),
        (lambda d: d.update(vrm1({"aa": [(9, 1.0)]})), "'aa' moves a morph target that is not there"),
        (lambda d: d.update(nodes=3), "nodes"),
    ],
)
def test_damage_is_named(change, said: str, tmp_path: Path) -> None:
    from facecap_batch.exporting.gltf.binary import glb_parts
    from tests.support.characters import character_bytes

    document, binary = glb_parts(character_bytes(("jawOpen",)))
    change(document)
    (tmp_path / "a.glb").write_bytes(glb(document, binary))
    with pytest.raises(BadCharacter, match=r"a\.glb") as raised:
        read_character(tmp_path / "a.glb")
    assert said in str(raised.value)


def test_what_is_no_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCharacter, match="no file"):
        read_character(tmp_path)
    with pytest.raises(BadCharacter, match="No such file"):
        read_character(tmp_path / "absent.glb")
    (tmp_path / "a.glb").write_bytes(b"\x89PNG and so on")
    with pytest.raises(BadCharacter, match="glTF Binary"):
        read_character(tmp_path / "a.glb")
    (tmp_path / "a.gltf").write_bytes(b"{}")
    with pytest.raises(BadCharacter, match="save it as one"):
        read_character(tmp_path / "a.gltf")
    (tmp_path / "cut.glb").write_bytes(write_character(tmp_path / "b.glb", ("jawOpen",)).read_bytes()[:-200])
    with pytest.raises(BadCharacter, match="cut"):
        read_character(tmp_path / "cut.glb")
