"""The FBX exporter: the container's structure, and ufbx reading back every weight and pose at every frame."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, LOOK_COLUMNS
from facecap_batch.exporting.fbx.animation import clip_motion, joint_rotation
from facecap_batch.exporting.fbx.binary import array, document, node, packed
from facecap_batch.exporting.fbx.key_times import TICKS_PER_SECOND
from facecap_batch.exporting.fbx.writer import fbx_bytes, write_fbx
from facecap_batch.exporting.formats import EXPORTERS
from facecap_batch.exporting.head import head_model
from facecap_batch.exporting.head.surface import EYE_CENTRE
from facecap_batch.geometry import PITCH_FULL, YAW_FULL, eye_direction, eye_turns
from tests.support.animations import constant_rate, make_table, variable_rate
from tests.support.fbx_readers import check, find, matrices, parse, quaternion_matrices, read_back

TOP_LEVEL = [
    "FBXHeaderExtension",
    "FileId",
    "CreationTime",
    "Creator",
    "GlobalSettings",
    "Documents",
    "References",
    "Definitions",
    "Objects",
    "Connections",
    "Takes",
]
RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60000, 1001)]


@pytest.mark.parametrize("fps", RATES, ids=lambda fps: f"{float(fps):.3f}")
def test_another_reader_sees_every_weight_and_pose_at_every_frame(fps: Fraction, tmp_path: Path) -> None:
    table = constant_rate(fps, 90)
    write_fbx(table, tmp_path / "a.fbx")
    seen = check(table, tmp_path / "a.fbx", tmp_path)
    assert abs(float(seen["fps"]) - float(fps)) < 1e-4
    assert list(tmp_path.glob(".tmp-*")) == []


def test_packed_nodes_are_the_nodes_that_they_were_made_of() -> None:
    inner = [
        node("b", 1, children=[node("c", "text"), node("d", closed=True)]),
        node("e", array([1.5], "f4")),
    ]
    plain = [node("first", 0), node("a", *"xyz", children=inner), node("f", children=[*inner, *inner])]
    once, twice = packed(inner), packed([node("f", children=[packed(inner), *inner])])
    shared = [node("first", 0), node("a", *"xyz", children=[once]), node("f", children=[once, once])]
    assert once.names == ("b", "e") and twice.names == ("f",)
    assert document(shared) == document(plain)
    assert document([node("g", children=[*plain])]) == document([node("g", children=[*plain[:2], twice])])


def test_joints_of_the_eyes_turn_as_the_gaze_says(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 40)
    write_fbx(table, tmp_path / "clip.fbx")
    seen = read_back(tmp_path / "clip.fbx", table.time_s() - table.time_s()[0], tmp_path)
    np.testing.assert_allclose(seen["eye_place"], [EYE_CENTRE, EYE_CENTRE * [-1, 1, 1]], atol=1e-9)
    forward = np.array([0.0, 0.0, 1.0])
    turns = eye_turns(table.coefficients[:, LOOK_COLUMNS])
    for eye in range(2):
        looks = quaternion_matrices(seen["eye_rotation"][eye]) @ forward
        np.testing.assert_allclose(looks, eye_direction(turns[:, eye, 0], turns[:, eye, 1]), atol=1e-5)


def test_an_eyeball_turns_by_its_target_as_its_joint_does() -> None:
    head = head_model()
    eye = head.parts["eyeLeft"]
    for name, turn in (("eyeLookOutLeft", (YAW_FULL, 0.0)), ("eyeLookUpLeft", (0.0, PITCH_FULL))):
        pupil = head.posed({name: 1.0})[eye[0]] - EYE_CENTRE
        np.testing.assert_allclose(
            pupil / np.linalg.norm(pupil), eye_direction(*map(np.float64, turn)), atol=1e-3
        )


def test_variable_rate_keys_stand_at_their_own_times(tmp_path: Path) -> None:
    table = variable_rate(120)
    write_fbx(table, tmp_path / "a.fbx")
    seen = check(table, tmp_path / "a.fbx", tmp_path)
    assert float(seen["fps"]) == round(table.info.fps)  # no reader drops a fraction of it


def test_frames_without_values_have_no_keys_and_the_clip_keeps_its_length(tmp_path: Path) -> None:
    table = constant_rate(Fraction(25), 60)
    for start, stop in ((0, 4), (20, 40), (57, 60)):
        table.coefficients[start:stop] = np.nan
        table.head[start:stop] = np.nan
    write_fbx(table, tmp_path / "a.fbx")
    seen = check(table, tmp_path / "a.fbx", tmp_path)
    np.testing.assert_allclose(seen["weights"][:, 0], table.coefficients[4], atol=1e-5)
    np.testing.assert_allclose(seen["weights"][:, -1], table.coefficients[56], atol=1e-5)
    objects = find(parse((tmp_path / "a.fbx").read_bytes())[0], "Objects")[2]
    curve = next(node for node in objects if node[0] == "AnimationCurve")
    frames = find(curve[2], "KeyTime")[1][0] * 25 // TICKS_PER_SECOND
    assert list(frames) == [0, *range(4, 20), *range(40, 57), 59]


def test_a_clip_without_any_face_is_a_resting_head_of_the_clips_length(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 45)
    table.coefficients[:] = np.nan
    table.head[:] = np.nan
    write_fbx(table, tmp_path / "a.fbx")
    seen = read_back(tmp_path / "a.fbx", np.arange(45) / 30, tmp_path)
    assert (seen["weights"] == 0).all()
    assert (seen["translation"] == 0).all()
    np.testing.assert_allclose(seen["span"], [0, 44 / 30], atol=1e-9)


def test_one_frame_and_no_frame_are_valid(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 1)
    write_fbx(table, tmp_path / "one.fbx")
    check(table, tmp_path / "one.fbx", tmp_path)
    write_fbx(make_table(np.zeros(0), Fraction(1, 30), Fraction(30)), tmp_path / "none.fbx")
    assert (read_back(tmp_path / "none.fbx", np.zeros(1), tmp_path)["weights"] == 0).all()


def test_structure_is_what_the_strictest_readers_need() -> None:
    data = fbx_bytes(constant_rate(Fraction(24000, 1001), 30))
    nodes, foot = parse(data)
    assert data[:27] == b"Kaydara FBX Binary  \x00\x1a\x00" + struct.pack("<I", 7400)
    assert [node[0] for node in nodes] == TOP_LEVEL
    assert find(nodes, "FileId")[1] == [bytes.fromhex("28b32aebb624ccc2bfc8b02aa92bfcf1")]
    assert find(nodes, "CreationTime")[1] == ["1970-01-01 10:00:00:000"]
    assert data[foot : foot + 20] == bytes.fromhex("fabcab09d0c8d466b176fb831cf7267e") + bytes(4)
    assert len(data) - 140 - foot - 20 in range(1, 17)
    assert (len(data) - 140) % 16 == 0
    assert data[-140:] == struct.pack("<I", 7400) + bytes(120) + bytes.fromhex(
        "f85a8c6adef5d97eece90ce3758f290b"
    )
    objects = find(nodes, "Objects")[2]
    kinds = [node[0] for node in objects]
    for item in find(nodes, "Definitions")[2]:
        if item[0] == "ObjectType" and item[1][0] != "GlobalSettings":
            assert find(item[2], "Count")[1] == [kinds.count(item[1][0])]
    assert all(node[3] for node in objects if node[0] in ("AnimationStack", "AnimationLayer"))
    assert all("\x00\x01" in node[1][1] for node in objects)
    channels = [node for node in objects if node[1][2] == "BlendShapeChannel"]
    assert [node[1][1].split("\x00")[0] for node in channels] == list(ARKIT_NAMES)
    assert all(list(find(node[2], "FullWeights")[1][0]) == [100.0] for node in channels)
    curves = [node for node in objects if node[0] == "AnimationCurve"]
    assert len(curves) == 51 + 6 + 4  # morph targets, head, two angles of each eye
    want = [round(k * TICKS_PER_SECOND * Fraction(1001, 24000)) for k in range(30)]
    for curve in curves:
        assert list(find(curve[2], "KeyTime")[1][0]) == want
        assert list(find(curve[2], "KeyAttrFlags")[1][0]) == [0x6104]
    settings = {p[1][0]: p[1][4] for p in find(find(nodes, "GlobalSettings")[2], "Properties70")[2]}
    assert (settings["TimeMode"], settings["UnitScaleFactor"], settings["UpAxis"]) == (13, 1.0, 1)


def test_the_same_table_gives_the_same_bytes() -> None:
    assert fbx_bytes(constant_rate(Fraction(25), 20)) == fbx_bytes(constant_rate(Fraction(25), 20))


def test_rotation_stays_continuous_through_a_full_turn() -> None:
    table = constant_rate(Fraction(30), 200)
    table.head[:, 0] = np.linspace(0, 2 * np.pi, 200)
    table.head[:, 1] = 0.2 * np.sin(np.linspace(0, 9, 200))
    angles = np.radians(joint_rotation(table.head))
    x, y, z = angles
    assert np.abs(np.diff(angles, axis=1)).max() < 0.8  # a wrong branch would jump by pi
    one, zero = np.ones_like(x), np.zeros_like(x)
    turn_x = np.array([[one, zero, zero], [zero, np.cos(x), -np.sin(x)], [zero, np.sin(x), np.cos(x)]])
    turn_y = np.array([[np.cos(y), zero, np.sin(y)], [zero, one, zero], [-np.sin(y), zero, np.cos(y)]])
    turn_z = np.array([[np.cos(z), -np.sin(z), zero], [np.sin(z), np.cos(z), zero], [zero, zero, one]])
    whole = np.einsum("ijn,jkn,kln->nil", turn_z, turn_y, turn_x)
    np.testing.assert_allclose(whole, matrices(table), atol=1e-6)


def test_a_gap_keeps_its_rotation_keys_so_that_readers_agree() -> None:
    table = constant_rate(Fraction(30), 20)
    table.head[5:15] = np.nan
    motion = clip_motion(table)
    assert np.isfinite(motion.rotation).all()
    assert np.isnan(motion.translation[:, 5:15]).all()


def test_every_exporter_writes_and_leaves_nothing_else(tmp_path: Path) -> None:
    for name, (export, suffix) in EXPORTERS.items():
        export(constant_rate(Fraction(25), 5), tmp_path / f"{name}{suffix}")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}{suffix}" for name, (_, suffix) in EXPORTERS.items()
    }
