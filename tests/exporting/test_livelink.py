"""Live Link Face CSV: the columns, orders and numbers that its readers expect."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.livelink import COLUMNS, timecode, write_livelink_csv
from tests.support.animations import constant_rate, variable_rate

HEADER = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,"
    "EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,"
    "EyeWideRight,JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,"
    "MouthSmileLeft,MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,"
    "MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,"
    "MouthLowerDownLeft,MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,"
    "BrowOuterUpLeft,BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,TongueOut,"
    "HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_header() -> None:
    assert ",".join(COLUMNS) == HEADER
    assert len(COLUMNS) == 63


def test_every_value_lands_under_its_own_name(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 40)
    write_livelink_csv(table, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == HEADER
    rows = read(tmp_path / "a.csv")
    assert len(rows) == 40
    for k, name in enumerate(ARKIT_NAMES):
        got = [float(row[name[0].upper() + name[1:]]) for row in rows]
        np.testing.assert_allclose(got, table.coefficients[:, k], atol=1e-9)
    assert {row["BlendShapeCount"] for row in rows} == {"61"}
    assert {row["TongueOut"] for row in rows} == {"0.0000000000"}
    np.testing.assert_allclose([float(row["HeadYaw"]) for row in rows], table.head[:, 0], atol=1e-9)


def test_timecode_counts_sixtieths(tmp_path: Path) -> None:
    write_livelink_csv(constant_rate(Fraction(30), 32), tmp_path / "a.csv")
    stamps = [row["Timecode"] for row in read(tmp_path / "a.csv")]
    assert stamps[:3] == ["00:00:00:00.000", "00:00:00:02.000", "00:00:00:04.000"]
    assert stamps[30] == "00:00:01:00.000"
    assert timecode(Fraction(1001, 30000)) == "00:00:00:02.002"
    assert timecode(Fraction(86400) + Fraction(1, 60)) == "00:00:00:01.000"
    assert timecode(Fraction(3600 * 13 + 59 * 60 + 59) + Fraction(59999, 60000)) == "13:59:59:59.999"


def test_timecode_starts_at_the_timecode_of_the_clip(tmp_path: Path) -> None:
    table = constant_rate(Fraction(25), 3, metadata={"timecode": "10:20:30:05"})
    write_livelink_csv(table, tmp_path / "a.csv")
    assert read(tmp_path / "a.csv")[0]["Timecode"] == "10:20:30:12.000"


def test_variable_rate_uses_the_frames_own_times(tmp_path: Path) -> None:
    table = variable_rate(20)
    write_livelink_csv(table, tmp_path / "a.csv")
    times = table.time_s() - table.time_s()[0]
    for row, expected in zip(read(tmp_path / "a.csv"), times, strict=True):
        hours, minutes, seconds, units = row["Timecode"].split(":")
        assert int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(units) / 60 == pytest.approx(
            expected, abs=2e-5
        )


def test_eye_angles_point_down_and_to_the_subjects_right(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 2)
    table.coefficients[:] = 0
    table.coefficients[0, ARKIT_NAMES.index("eyeLookDownLeft")] = 1
    table.coefficients[1, ARKIT_NAMES.index("eyeLookInLeft")] = (
        1  # the left eye toward the nose: to the right
    )
    table.coefficients[1, ARKIT_NAMES.index("eyeLookOutRight")] = 1
    write_livelink_csv(table, tmp_path / "a.csv")
    down, right = read(tmp_path / "a.csv")
    assert float(down["LeftEyePitch"]) > 0.3 and float(down["RightEyePitch"]) == 0
    assert float(right["LeftEyeYaw"]) > 0.3 and float(right["RightEyeYaw"]) > 0.3


def test_frames_without_a_face_keep_their_line_and_repeat_nothing(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 4)
    table.coefficients[1:3] = np.nan
    table.head[1:3] = np.nan
    write_livelink_csv(table, tmp_path / "a.csv")
    rows = read(tmp_path / "a.csv")
    assert [row["BlendShapeCount"] for row in rows] == ["61", "0", "0", "61"]
    assert rows[1]["JawOpen"] == "" and rows[1]["Timecode"] == "00:00:00:02.000"
    assert None not in rows[1].values()
