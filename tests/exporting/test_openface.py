"""OpenFace-like CSV: its header, its axes and signs, and what scripts made for OpenFace rely on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.exporting.tables.action_units import ACTION_UNITS, columns_of
from facecap_batch.exporting.tables.openface import write_openface_csv
from tests.support.animations import constant_rate
from tests.support.formats.text import openface_frame

# FeatureExtraction of OpenFace 2.2 with -pose -gaze -2Dfp -aus (RecorderCSV.cpp), eye landmarks left out.
UNITS = "01 02 04 05 06 07 09 10 12 14 15 17 20 23 25 26"
HEADER = [
    *["frame", "face_id", "timestamp", "confidence", "success"],
    *["gaze_0_x", "gaze_0_y", "gaze_0_z", "gaze_1_x", "gaze_1_y", "gaze_1_z", "gaze_angle_x", "gaze_angle_y"],
    *["pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"],
    *(f"x_{k}" for k in range(68)),
    *(f"y_{k}" for k in range(68)),
    *(f"AU{unit}_r" for unit in (UNITS + " 45").split()),
    *(f"AU{unit}_c" for unit in (UNITS + " 28 45").split()),
]


def still(**changed: float) -> CoefficientTable:
    """Three frames of a frontal face at rest half a metre away, but for what is `changed` in the second."""
    table = constant_rate(Fraction(30), 3)
    table.coefficients[:] = 0.0
    table.head[:] = [0, 0, 0, 0, 0, -50]
    for name, value in changed.items():
        if name.startswith("head"):
            table.head[1, ["headYaw", "headPitch", "headRoll", "headX", "headY", "headZ"].index(name)] = value
        else:
            table.coefficients[1, ARKIT_NAMES.index(name)] = value
    return table


def row(table: CoefficientTable, tmp_path: Path) -> dict[str, float]:
    write_openface_csv(table, tmp_path / "a.csv")
    return dict(openface_frame(tmp_path / "a.csv").iloc[1])


def test_the_header_is_openfaces(tmp_path: Path) -> None:
    table = still()
    points = np.random.default_rng(0).uniform(0, 480, (3, 71, 2)).astype(np.float32)
    write_openface_csv(table.replace(landmarks=points), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[0].split(",") == HEADER
    frame = openface_frame(tmp_path / "a.csv")
    for axis, name in enumerate("xy"):
        seen = frame[[f"{name}_{k}" for k in range(68)]].to_numpy()
        np.testing.assert_allclose(seen, points[:, :68, axis], atol=1e-3)
    write_openface_csv(table, tmp_path / "b.csv")
    assert list(openface_frame(tmp_path / "b.csv").columns) == [
        n for n in HEADER if n[:2] not in ("x_", "y_")
    ]


@pytest.mark.parametrize(
    ("change", "column", "sign"),
    [
        ("headPitch", "pose_Rx", 1),  # the face looks down
        ("headYaw", "pose_Ry", -1),  # ours: toward the image's right edge; OpenFace's: toward its left
        ("headRoll", "pose_Rz", -1),  # ours: counterclockwise in the image
    ],
)
def test_signs_of_the_head(change: str, column: str, sign: int, tmp_path: Path) -> None:
    seen = row(still(**{change: 0.3}), tmp_path)
    assert seen[column] == pytest.approx(0.3 * sign, abs=1e-6)
    assert all(abs(seen[name]) < 1e-6 for name in ("pose_Rx", "pose_Ry", "pose_Rz") if name != column)


def test_millimetres_from_the_camera(tmp_path: Path) -> None:
    seen = row(still(headX=2.0, headY=3.0), tmp_path)
    assert [seen[f"pose_T{axis}"] for axis in "xyz"] == pytest.approx([20.0, -30.0, 500.0])


def test_gaze_of_eye_0_is_the_subjects_right_eye(tmp_path: Path) -> None:
    ahead = row(still(), tmp_path)
    assert [ahead[f"gaze_0_{axis}"] for axis in "xyz"] == pytest.approx([0, 0, -1])
    assert (ahead["gaze_angle_x"], ahead["gaze_angle_y"]) == (0, 0)
    one = row(still(eyeLookOutRight=1.0), tmp_path)  # toward the subject's right, the image's left
    assert one["gaze_0_x"] == pytest.approx(-np.sin(np.radians(32)), abs=1e-5)
    assert one["gaze_1_x"] == 0
    both = row(still(eyeLookOutLeft=1.0, eyeLookInRight=1.0), tmp_path)
    assert both["gaze_angle_x"] == pytest.approx(np.radians(32), abs=1e-5)
    down = row(still(eyeLookDownLeft=1.0, eyeLookDownRight=1.0), tmp_path)
    assert down["gaze_angle_y"] == pytest.approx(np.radians(25), abs=1e-5)


def test_frames_are_counted_from_1_and_lost_ones_are_openfaces_zeros(tmp_path: Path) -> None:
    table = still(mouthSmileLeft=0.5)
    table.coefficients[2] = np.nan
    table.head[2] = np.nan
    table.score[2] = np.nan
    table.face_found[2] = False
    table.coefficients[1, ARKIT_NAMES.index("eyeBlinkRight")] = np.nan
    write_openface_csv(table.replace(track=1), tmp_path / "a.csv")
    frame = openface_frame(tmp_path / "a.csv")
    assert list(frame["frame"]) == [1, 2, 3] and set(frame["face_id"]) == {1}
    assert list(frame["success"]) == [1, 1, 0] and list(frame["confidence"]) == [1, 1, 0]
    assert not frame.iloc[2].drop(["frame", "face_id", "timestamp"]).any()
    assert frame["AU12_r"][1] == 2.5 and frame["AU12_c"][1] == 1
    assert np.isnan(frame["AU45_r"][1]) and np.isnan(frame["AU45_c"][1])
    good = frame[(frame["success"] == 1) & (frame["confidence"] > 0.8)]  # what every script does first
    assert len(good) == 2


def test_every_shape_of_the_table_is_one_of_ours() -> None:
    for unit in ACTION_UNITS:
        for shape in (*unit.shapes, *filter(None, [unit.less])):
            assert columns_of(shape)
    with pytest.raises(KeyError):
        columns_of("mouthSmirk")


def test_the_documented_table_is_the_one_in_use() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "for-researchers.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| AU")}
    assert list(rows) == [unit.code for unit in ACTION_UNITS]
    for unit in ACTION_UNITS:
        named = rows[unit.code].split("|")
        assert named[2].strip() == unit.name
        for shape in (*unit.shapes, *filter(None, [unit.less])):
            assert f"`{shape}" in named[3]
