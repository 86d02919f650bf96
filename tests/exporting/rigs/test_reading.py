"""Rigs from files: what is wrong is said with the file, the key and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecap_batch.exporting.rigs.description import describe_rig, describe_rigs, notes
from facecap_batch.exporting.rigs.reading import BadRig, parse_rig, preset_names, read_rig

ISSUED = (
    "arkit",
    "blender",
    "cc4",
    "metahuman",
    "metahuman-controls",
    "rocketbox",
    "sranipal",
    "unified",
    "vrm",
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[channels]\na = "jawOpen"\na = "jawLeft"\n', "a channel may be there once"),
        (
            '[channels]\nab = "jawOpen"\naB = "jawLeft"\n',
            "channels.aB: differs from channels.ab in case alone",
        ),
        (
            '[channels]\na = "jawopen"\n',
            "channels.a: 'jawopen' is none of our columns; did you mean jawOpen?",
        ),
        ("[channels]\na = 3\n", "channels.a: write the name of one of our columns in quotes"),
        ("[channels]\na = { sum = {} }\n", "channels.a.sum"),
        ('[channels]\na = { sum = { jawOpen = "1" } }\n', "channels.a.sum.jawOpen"),
        ("[channels]\na = { sum = { jawOpen = nan } }\n", "channels.a.sum.jawOpen"),
        (
            "[channels]\na = { sum = { jawOpen = 1.0 }, limits = [1.0, 0.0] }\n",
            "channels.a.limits: 1.0 is not below",
        ),
        ("[channels]\na = { sum = { jawOpen = 1.0 }, gian = 2.0 }\n", "channels.a.gian"),
        ('[channels]\n"a\\u202e" = "jawOpen"\n', "characters that show nothing"),
        ("", "channels: Field required"),
        ("[channels]\n", "channels"),
        ('[channels]\na = "jawOpen"\n[bones]\nfaces = "up"\n', "bones.faces"),
        ("[channels\n", 'a line of [channels] is: "their name" = "ours"'),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(BadRig, match=r"my\.toml") as raised:
        read_rig(path)
    assert said in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_what_is_no_rig_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRig, match="did you mean rocketbox"):
        read_rig("rocketbx")
    with pytest.raises(BadRig, match="there are: arkit"):
        read_rig("nothing like it")
    with pytest.raises(BadRig, match="preset"):
        read_rig(tmp_path / "absent.toml")
    with pytest.raises(BadRig, match="no file"):
        read_rig(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[channels]\n"\xff" = "jawOpen"\n')
    with pytest.raises(BadRig, match="UTF-8"):
        read_rig(tmp_path / "latin.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(BadRig, match="no rig"):
        read_rig(tmp_path / "large.toml")
    with pytest.raises(BadRig):
        parse_rig(b"a = " + b"[" * 100_000, "deep.toml")


def test_a_file_may_say_everything(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        'title = "Mine"\n[channels]\n"日本.x" = "jawOpen"\n[bones]\nhead = "Kopf"\nfaces = "-Z"\n'
    )
    rig = read_rig(path)
    assert rig.name == str(path) and rig.channels[0].name == "日本.x"
    assert (rig.bones.head, rig.bones.left_eye, rig.bones.faces) == ("Kopf", None, "-Z")


def test_presets_are_there_and_tell_what_they_lose() -> None:
    assert preset_names() == ISSUED
    text = describe_rigs([read_rig(name) for name in preset_names()])
    assert all(name in text for name in ISSUED)
    assert "not used, so lost: mouthDimpleLeft" in describe_rig(read_rig("sranipal"))
    assert "not used, so lost where a clip has it: tongueOut" in describe_rig(read_rig("vrm"))
    assert "where a clip has it" not in describe_rig(read_rig("sranipal"))
    assert "browInnerUp moves several: Brow_Raise_Inner_L, Brow_Raise_Inner_R" in describe_rig(
        read_rig("cc4")
    )
    assert notes(read_rig("arkit")) == []
    shown = describe_rig(read_rig("vrm"))
    assert "happy      = 0.5 x (0.5 mouthSmileLeft + 0.5 mouthSmileRight), within 0 .. 1" in shown
    assert "unless blinkLeft, blinkRight is there" in shown
