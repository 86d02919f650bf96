"""BVH and VMD: other rates, names, and a second reader of VMD."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.mocap.bvh import write_bvh
from facecap_batch.exporting.mocap.mmd_morphs import BLINK, MMD_MORPHS
from facecap_batch.exporting.mocap.vmd import take_vmd, write_vmd
from facecap_batch.exporting.take import take_of
from tests.support.animations import constant_rate, variable_rate, with_tongue
from tests.support.formats.gltf import node_folder
from tests.support.formats.mocap import parse_vmd, read_with_mmd_parser


@pytest.mark.parametrize(("rate", "count"), [(24, 73), (25, 76), (30, 91), (60, 181)])
def test_vmd_has_thirty_frames_a_second_whatever_the_takes_rate(
    rate: int, count: int, tmp_path: Path
) -> None:
    table = constant_rate(Fraction(rate), count)  # three seconds
    column = ARKIT_NAMES.index("mouthPucker")
    table.coefficients[:, column] = np.linspace(0, 1, count)
    write_vmd(table, tmp_path / "a.vmd")
    keys = dict(parse_vmd((tmp_path / "a.vmd").read_bytes()).morphs["う"])
    assert sorted(keys) == list(range(91))
    for frame in range(91):
        assert keys[frame] == pytest.approx(frame / 90, abs=1e-6)


def test_a_second_reader_sees_the_same(tmp_path: Path) -> None:
    folder = node_folder("mmd-parser")
    if folder is None:
        pytest.skip("npm's mmd-parser is not in FACECAP_NODE_DIR")
    write_vmd(constant_rate(Fraction(30), 20), tmp_path / "a.vmd")
    ours, theirs = (
        parse_vmd((tmp_path / "a.vmd").read_bytes()),
        read_with_mmd_parser(tmp_path / "a.vmd", folder),
    )
    assert theirs.morphs.keys() == ours.morphs.keys() and theirs.bones.keys() == ours.bones.keys()
    for name, keys in ours.morphs.items():
        assert [(frame, pytest.approx(weight)) for frame, weight in keys] == theirs.morphs[name]
    for name, keys in ours.bones.items():
        for (frame, (x, y, z, w)), (their_frame, turn) in zip(keys, theirs.bones[name], strict=True):
            assert frame == their_frame
            assert turn == pytest.approx((-x, -y, z, w), abs=1e-6)


def test_keys_of_a_morph_that_rests_are_left_out(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 100)
    table.coefficients[:] = 0.0
    table.coefficients[50, ARKIT_NAMES.index("mouthPucker")] = 0.7
    write_vmd(table, tmp_path / "a.vmd")
    morphs = parse_vmd((tmp_path / "a.vmd").read_bytes()).morphs
    assert morphs["う"] == [(0, 0), (49, 0), (50, pytest.approx(0.7)), (51, 0), (99, 0)]
    assert morphs["お"] == [(0, 0), (99, 0)]


def test_a_blink_is_one_morph_and_a_wink_another(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 1)
    table.coefficients[:] = 0.0
    table.coefficients[0, [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]] = 0.9, 0.25
    write_vmd(table, tmp_path / "a.vmd")
    morphs = parse_vmd((tmp_path / "a.vmd").read_bytes()).morphs
    assert morphs[BLINK] == [(0, pytest.approx(0.25))]
    assert morphs["ウィンク２"] == [(0, pytest.approx(0.65))] and morphs["ｳｨﾝｸ２右"] == [(0, 0)]


def test_other_names_flow_through_and_names_that_do_not_fit_are_told() -> None:
    take = take_of(constant_rate(Fraction(30), 3))
    renamed = dataclasses.replace(take, channels=("まばたき", "Aa"), weights=take.weights[:, :2])
    assert set(parse_vmd(take_vmd(renamed)).morphs) == {"まばたき", "Aa"}
    for name, why in (("mouthLowerDownLeft", "15 bytes"), ("🙂", "Shift-JIS")):
        with pytest.raises(ValueError, match=why):
            take_vmd(dataclasses.replace(take, channels=(name,), weights=take.weights[:, :1]))


def test_a_tongue_is_a_morph_where_the_regressor_has_one(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 2)
    write_vmd(with_tongue(table, np.array([0.0, 0.5])), tmp_path / "a.vmd")
    assert parse_vmd((tmp_path / "a.vmd").read_bytes()).morphs["ぺろっ"][-1] == (1, 0.5)


def test_the_documented_morphs_are_those_in_use() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    for morph in MMD_MORPHS:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {morph.name} |")]
        assert morph.meaning in row
        for name in morph.terms:
            assert name.removesuffix("Left").removesuffix("Right") in row


def test_bvh_keeps_the_frames_of_a_constant_rate_and_samples_a_variable_one(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30000, 1001), 7)
    write_bvh(table, tmp_path / "a.bvh")
    lines = (tmp_path / "a.bvh").read_text().splitlines()
    motion = lines.index("MOTION")
    assert lines[motion + 1 : motion + 3] == ["Frames: 7", f"Frame Time: {1001 / 30000!r}"]
    for row, line in enumerate(lines[motion + 3 :]):
        x, y, z, yaw, pitch, roll = map(float, line.split()[:6])
        np.testing.assert_allclose([x, y, z], table.head[row, 3:], atol=1e-5)
        np.testing.assert_allclose(np.radians([yaw, pitch, roll]), table.head[row, :3], atol=1e-6)
    table = variable_rate(30)
    write_bvh(table, tmp_path / "b.bvh")
    lines = (tmp_path / "b.bvh").read_text().splitlines()
    rate = round(table.info.fps)
    count = int((table.time_s()[-1] - table.time_s()[0]) * rate) + 1
    assert f"Frames: {count}" in lines and f"Frame Time: {1 / rate!r}" in lines


def test_angles_of_a_bvh_go_on_past_a_half_turn(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 60)
    table.head[:, 0] = np.linspace(0, 2 * np.pi, 60)
    table.head[:, 1:3] = 0.1
    write_bvh(table, tmp_path / "a.bvh")
    yaw = [float(line.split()[3]) for line in (tmp_path / "a.bvh").read_text().splitlines()[-60:]]
    np.testing.assert_allclose(yaw, np.linspace(0, 360, 60), atol=1e-3)
