"""Every format that takes a rig, in the rig's channels."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pygltflib
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.exporting.choice import choose
from facecap_batch.exporting.formats import EXPORTERS, RIGGED, UnknownFormat
from facecap_batch.exporting.head import head_model
from facecap_batch.exporting.rigs.head import rigged_head
from facecap_batch.exporting.rigs.reading import parse_rig, read_rig
from facecap_batch.exporting.rigs.rig import in_channels
from tests.support.animations import constant_rate
from tests.support.fbx_readers import read_back
from tests.support.formats.gltf import numbers

MINE = b"""
[channels]
Blink = { sum = { eyeBlinkLeft = 0.5, eyeBlinkRight = 0.5 } }
"Kiefer, auf" = { sum = { jawOpen = 1.0 }, gain = 2.0, limits = [0.0, 1.5] }
BrowL = "browInnerUp"
BrowR = "browInnerUp"
Turn = "headYaw"
"""


def expected(table: CoefficientTable) -> dict[str, np.ndarray]:
    column = {name: table.coefficients[:, k].astype(np.float64) for k, name in enumerate(ARKIT_NAMES)}
    return {
        "Blink": 0.5 * column["eyeBlinkLeft"] + 0.5 * column["eyeBlinkRight"],
        "Kiefer, auf": np.minimum(2.0 * column["jawOpen"], 1.5),
        "BrowL": column["browInnerUp"],
        "BrowR": column["browInnerUp"],
        "Turn": table.head[:, 0].astype(np.float64),
    }


def test_csv_and_json_have_the_rigs_columns(tmp_path: Path) -> None:
    table, rig = constant_rate(Fraction(30), 30), parse_rig(MINE, "mine")
    choose("csv", rig, None).write(table, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    choose("json", rig, None).write(table, tmp_path / "a.json")
    whole = json.loads((tmp_path / "a.json").read_text())
    assert whole["metadata"]["rig"] == "mine"
    assert list(rows[0]) == whole["columns"]
    assert whole["columns"][-11:] == [
        *expected(table),
        *("headYaw", "headPitch", "headRoll"),
        *("headX", "headY", "headZ"),
    ]
    assert "jawOpen" not in rows[0]
    for name, values in expected(table).items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values, atol=1e-6)
        place = whole["columns"].index(name)
        np.testing.assert_allclose([row[place] for row in whole["rows"]], values, atol=1e-6)


def test_livelink_has_the_rigs_curves(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 30)
    choice = choose("livelink", "metahuman-controls", None)
    choice.write(table, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["Timecode", "BlendShapeCount", "CTRL_expressions_eyeBlinkL"]
    assert list(rows[0])[-9:-6] == ["HeadYaw", "HeadPitch", "HeadRoll"]
    assert {row["BlendShapeCount"] for row in rows} == {str(72 + 9)}  # 73, and no regressor's tongueOut
    smile = [float(row["CTRL_expressions_mouthCornerPullL"]) for row in rows]
    np.testing.assert_allclose(smile, table.coefficients[:, ARKIT_NAMES.index("mouthSmileLeft")], atol=1e-6)
    with pytest.raises(ValueError, match="Kiefer, auf"):
        choose("livelink", parse_rig(MINE, "mine"), None).write(table, tmp_path / "b.csv")


def test_fbx_has_the_rigs_shapes_and_the_head_shows_the_same_face(tmp_path: Path) -> None:
    table, rig = constant_rate(Fraction(30), 20), parse_rig(MINE, "mine")
    choice = choose("fbx", rig, None)
    choice.write(table, tmp_path / "a.fbx")
    seen = read_back(tmp_path / "a.fbx", table.time_s() - table.time_s()[0], tmp_path)
    assert list(seen["names"]) == ["Blink", "Kiefer, auf", "BrowL", "BrowR"]  # a turn is no shape
    for name, values in expected(table).items():
        if name in seen["names"]:
            found = seen["weights"][list(seen["names"]).index(name)]
            np.testing.assert_allclose(found, values, atol=1e-5)
    assert list(seen["own_names"]) == ["Turn"]
    np.testing.assert_allclose(seen["own"][0], table.head[:, 0], atol=1e-5)


def test_shapes_of_a_rig_add_up_to_the_face() -> None:
    """Where a rig keeps all coefficients its shapes at its values are our face; a mean closes both lids."""
    table, head = constant_rate(Fraction(30), 8), head_model()
    for name in ("arkit", "cc4", "metahuman-controls", "unified"):
        channels = in_channels(table, read_rig(name))
        rigged = rigged_head(channels.names, channels.slopes)
        for frame in range(len(table)):
            ours = head.posed(dict(zip(ARKIT_NAMES, table.coefficients[frame].astype(float), strict=True)))
            known = {morph.name for morph in rigged.morphs}
            theirs = zip(channels.names, channels.values[frame].astype(float), strict=True)
            posed = rigged.posed({channel: value for channel, value in theirs if channel in known})
            np.testing.assert_allclose(posed, ours, atol=1e-5)  # centimetres
    channels = in_channels(table, parse_rig(MINE, "mine"))
    rigged = rigged_head(channels.names, channels.slopes)
    closed = head.posed({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    np.testing.assert_allclose(rigged.posed({"Blink": 1.0}), closed, atol=1e-9)
    np.testing.assert_allclose(rigged.posed({"Kiefer, auf": 2.0}), head.posed({"jawOpen": 1.0}), atol=1e-9)


def test_a_format_with_channels_of_its_own_refuses_a_rig(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RIGGED.keys() <= EXPORTERS.keys()
    monkeypatch.delitem(RIGGED, "csv")
    with pytest.raises(UnknownFormat, match="channels of its own"):
        choose("csv", "cc4", None)
    assert choose("csv", "arkit", None).folder == "csv-arkit"  # ours are always there


def test_notes_say_what_is_lost_and_folders_differ() -> None:
    choice = choose("fbx", "sranipal", None)
    assert choice.folder == "fbx-sranipal" and any("mouthDimpleLeft" in note for note in choice.notes)
    assert choose("fbx", None, None).folder == "fbx" and choose("fbx", None, None).notes == ()
    with pytest.raises(UnknownFormat, match="name a format, or a character"):
        choose(None, "cc4", None)
    with pytest.raises(UnknownFormat, match="leave out the format"):
        choose("fbx", None, "a.glb")


def test_glb_has_the_rigs_morph_targets(tmp_path: Path) -> None:
    table, rig = constant_rate(Fraction(30), 20), parse_rig(MINE, "mine")
    choose("glb", rig, None).write(table, tmp_path / "a.glb")
    document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    assert document is not None
    names = document.meshes[0].extras["targetNames"]
    assert names == list(expected(table))
    animation = document.animations[0]
    channel = next(channel for channel in animation.channels if channel.target.path == "weights")
    found = numbers(document, animation.samplers[channel.sampler].output).reshape(20, -1)
    for name, values in expected(table).items():
        np.testing.assert_allclose(found[:, names.index(name)], values, atol=1e-6)
    moved = [
        numbers(document, each.targets[names.index("Blink")]["POSITION"])
        for each in document.meshes[0].primitives
    ]
    assert max(np.abs(shape).max() for shape in moved) > 1e-3  # metres


def test_usd_has_the_rigs_blend_shapes(tmp_path: Path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdSkel

    table, rig = constant_rate(Fraction(30), 20), parse_rig(MINE, "mine")
    choose("usd", rig, None).write(table, tmp_path / "a.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))
    moves = UsdSkel.Animation.Get(stage, "/head/animation")
    assert list(moves.GetBlendShapesAttr().Get()) == list(expected(table))
    found = np.array([moves.GetBlendShapeWeightsAttr().Get(frame) for frame in range(20)])
    np.testing.assert_allclose(found, np.stack(list(expected(table).values()), axis=1), atol=1e-6)


def test_vmd_has_the_rigs_morphs(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 20)
    rig = parse_rig('[channels]\n"あ" = "jawOpen"\n"笑い" = "mouthSmileLeft"\n'.encode(), "mmd")
    choose("vmd", rig, None).write(table, tmp_path / "a.vmd")
    data = (tmp_path / "a.vmd").read_bytes()
    assert "あ".encode("shift_jis") in data and "笑い".encode("shift_jis") in data
    assert "まばたき".encode("shift_jis") not in data
    with pytest.raises(ValueError, match="15 bytes"):
        choose("vmd", "cc4", None).write(table, tmp_path / "b.vmd")
