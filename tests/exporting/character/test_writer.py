"""A take in a character's own file, read back by pygltflib."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, LOOK_COLUMNS, CoefficientTable
from facecap_batch.exporting.character.file import BadCharacter, read_character
from facecap_batch.exporting.character.writer import write_on_character
from facecap_batch.exporting.rigs.reading import parse_rig, read_rig
from facecap_batch.geometry import eye_turns, matrix_from_euler
from tests.support.animations import constant_rate, variable_rate
from tests.support.characters import (
    BODY_REST,
    EYE_REST,
    HEAD_REST,
    character_bytes,
    vrm0,
    vrm1,
    write_character,
)
from tests.support.gltf_readers import Played, matrix, played

CC4 = tuple(dict.fromkeys(channel.name for channel in read_rig("cc4").used()))


def animated(path: Path, table: CoefficientTable, rig: str = "arkit") -> Played:
    out = path.with_name(f"out{path.suffix}")
    write_on_character(table, out, read_character(path), read_rig(rig))
    return played(out)


def column(table: CoefficientTable, name: str) -> np.ndarray:
    return table.coefficients[:, ARKIT_NAMES.index(name)]


@pytest.mark.parametrize(
    "table",
    [
        constant_rate(Fraction(30000, 1001), 50),
        constant_rate(Fraction(25), 1),
        variable_rate(40),
    ],
    ids=["29.97", "one-frame", "variable"],
)
def test_every_mapped_channel_moves_as_said_at_exact_times(table: CoefficientTable, tmp_path: Path) -> None:
    path = write_character(tmp_path / "cc4.glb", CC4)
    seen = animated(path, table, "cc4")
    assert seen.name == "take_01" and seen.extras["fps"] == str(table.info.fps)
    start = int(table.pts[0])
    exact = [float((int(pts) - start) * table.info.time_base) for pts in table.pts]
    np.testing.assert_array_equal(seen.seconds, np.array(exact, np.float32))
    assert len(seen.weights) == len(CC4)
    for channel in read_rig("cc4").used():
        if channel.name == "Tongue_Out":
            np.testing.assert_array_equal(seen.weights["Tongue_Out"], 0.0)  # no regressor's output, at rest
            continue
        ((name, _),) = channel.terms
        np.testing.assert_allclose(seen.weights[channel.name], column(table, name), atol=1e-6)


def test_head_and_eyes_turn_in_the_world_as_the_capture_says(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 60)
    seen = animated(write_character(tmp_path / "a.glb", ARKIT_NAMES), table)
    body, head, eye = matrix(np.array(BODY_REST)), matrix(seen.rotations["Head"]), seen.rotations
    rest = body @ matrix(np.array(HEAD_REST))
    turned = body @ head
    expected = matrix_from_euler(table.head[:, :3])
    np.testing.assert_allclose(turned, expected @ rest, atol=1e-6)
    # The left eye at eyeLookOut looks to the subject's left, +x; both look where `gaze` says.
    turns = eye_turns(table.coefficients[:, LOOK_COLUMNS])
    for number, name in enumerate(("LeftEye", "RightEye")):
        whole = turned @ matrix(eye[name])
        forward = whole @ np.linalg.inv(rest @ matrix(np.array(EYE_REST))) @ np.array([0.0, 0.0, 1.0])
        yaw, pitch = turns[:, number, 0], turns[:, number, 1]
        local = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=-1)
        np.testing.assert_allclose(forward, (expected @ local[..., None])[..., 0], atol=1e-6)


def test_a_character_that_faces_backward_turns_to_its_own_left(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 40)
    names = ("jawOpen", "eyeBlinkLeft")
    seen = animated(write_character(tmp_path / "a.vrm", names, **vrm0({"a": [(0, 1.0)]})), table)
    turned = matrix(np.array(BODY_REST)) @ matrix(seen.rotations["Head"])
    half_turn = np.diag([-1.0, 1.0, -1.0])
    np.testing.assert_allclose(
        turned, half_turn @ matrix_from_euler(table.head[:, :3]) @ half_turn, atol=1e-6
    )


def test_vrm_expressions_move_what_they_bind(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 40)
    shapes = ("mouth_a", "lid_l", "lid_r", "smile")
    binds = {
        "aa": [(0, 0.8)],
        "blinkLeft": [(1, 1.0)],
        "blinkRight": [(2, 1.0)],
        "blink": [(1, 1.0), (2, 1.0)],
    }
    path = write_character(tmp_path / "a.vrm", shapes, **vrm1(binds, {"happy_2": [(3, 1.0)]}))
    seen = animated(path, table, "vrm")
    np.testing.assert_allclose(seen.weights["lid_l"], column(table, "eyeBlinkLeft"), atol=1e-6)  # not twice
    expected = column(table, "jawOpen") - column(table, "mouthClose")
    expected = expected - 0.8 * column(table, "mouthFunnel") - 0.6 * column(table, "mouthPucker")
    np.testing.assert_allclose(seen.weights["mouth_a"], 0.8 * np.clip(expected, 0, 1), atol=1e-6)
    assert (seen.weights["smile"] == 0).all()
    older = write_character(
        tmp_path / "b.vrm", shapes, **vrm0({"a": [(0, 0.8)], "blink": [(1, 1.0), (2, 1.0)]})
    )
    seen = animated(older, table, "vrm")
    np.testing.assert_allclose(seen.weights["mouth_a"], 0.8 * np.clip(expected, 0, 1), atol=1e-6)
    both = 0.5 * (column(table, "eyeBlinkLeft") + column(table, "eyeBlinkRight"))
    np.testing.assert_allclose(seen.weights["lid_r"], both, atol=1e-6)


def test_gaps_are_bridged_and_what_is_never_known_rests(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 40)
    table.coefficients[10:20] = np.nan
    table.head[10:20] = np.nan
    table.coefficients[:, ARKIT_NAMES.index("cheekPuff")] = np.nan
    seen = animated(write_character(tmp_path / "a.glb", ARKIT_NAMES), table)
    jaw = column(table, "jawOpen")
    np.testing.assert_allclose(seen.weights["jawOpen"][9:21], np.linspace(jaw[9], jaw[20], 12), atol=1e-6)
    assert (seen.weights["cheekPuff"] == 0).all() and len(seen.seconds) == 40
    assert np.isfinite(seen.rotations["Head"]).all()
    nobody = constant_rate(Fraction(30), 12)
    nobody.coefficients[:] = np.nan
    nobody.head[:] = np.nan
    seen = animated(write_character(tmp_path / "b.glb", ARKIT_NAMES), nobody)
    assert seen.seconds[-1] == np.float32(11 / 30)
    np.testing.assert_allclose(
        matrix(seen.rotations["Head"]), np.tile(matrix(np.array(HEAD_REST)), (12, 1, 1)), atol=1e-6
    )


def test_the_rest_of_the_file_stays_as_it_was(tmp_path: Path) -> None:
    from facecap_batch.exporting.gltf.binary import glb_parts

    table = constant_rate(Fraction(30), 5)
    path = write_character(tmp_path / "a.glb", ("jawOpen", "smirk"), extras={"author": "somebody"})
    document, binary = glb_parts(path.read_bytes())
    seen = animated(path, table)
    after, numbers = glb_parts((tmp_path / "out.glb").read_bytes())
    assert {**after, "animations": 0, "accessors": 0, "bufferViews": 0, "buffers": 0} == {
        **document, "animations": 0, "accessors": 0, "bufferViews": 0, "buffers": 0,
    }  # fmt: skip
    assert after["accessors"][: len(document["accessors"])] == document["accessors"]
    assert numbers.startswith(binary)
    assert (seen.weights["smirk"] == 0).all()
    # A second take stands beside the first one, before it; the same take again replaces itself.
    second = constant_rate(Fraction(30), 7, clip_id="take_02")
    again = tmp_path / "out2.glb"
    write_on_character(second, again, read_character(tmp_path / "out.glb"), read_rig("arkit"))
    assert played(again).animations == ["take_02", "take_01"] and len(played(again).seconds) == 7
    write_on_character(second, again, read_character(again), read_rig("arkit"))
    assert played(again).animations == ["take_02", "take_01"]


def test_a_matrix_of_a_bone_is_taken_apart(tmp_path: Path) -> None:
    from facecap_batch.exporting.gltf.binary import glb_bytes, glb_parts

    document, binary = glb_parts(character_bytes(("jawOpen",)))
    angle = np.radians(-45.0)
    turn = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = np.array(turn) * 2.0, (0, 1.5, 0)
    head = document["nodes"][0]
    del head["rotation"], head["translation"]
    head["matrix"] = whole.T.reshape(-1).tolist()
    path = tmp_path / "a.glb"
    path.write_bytes(glb_bytes(document, binary))
    table = constant_rate(Fraction(30), 20)
    seen = animated(path, table)
    node = glb_parts((tmp_path / "out.glb").read_bytes())[0]["nodes"][0]
    assert "matrix" not in node and node["translation"] == [0, 1.5, 0]
    np.testing.assert_allclose(node["scale"], 2.0, atol=1e-9)
    turned = matrix(np.array(BODY_REST)) @ matrix(seen.rotations["Head"])
    np.testing.assert_allclose(turned, matrix_from_euler(table.head[:, :3]), atol=1e-6)


def test_who_has_nothing_of_the_rig_is_told_what_to_do(tmp_path: Path) -> None:
    character = read_character(write_character(tmp_path / "a.glb", ("Jaw_Open", "Eye_Blink_L")))
    with pytest.raises(BadCharacter, match=r"2 are alike.*rigs check"):
        write_on_character(constant_rate(Fraction(30), 3), tmp_path / "o.glb", character, read_rig("arkit"))
    assert not (tmp_path / "o.glb").exists()
    rig = parse_rig(b'[channels]\nJaw_Open = "jawOpen"\n[bones]\nhead = "Haed"\n', "my.toml")
    with pytest.raises(BadCharacter, match=r"bones\.head: no node 'Haed'; did you mean 'Head'"):
        write_on_character(constant_rate(Fraction(30), 3), tmp_path / "o.glb", character, rig)
