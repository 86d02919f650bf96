"""Which frames a sheet picks, on a take made of known movements."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, SHAPE_NAMES, ClipInfo, CoefficientTable
from facecap_batch.exporting.preview.channels import all_lines, moving_lines, strongest_lines
from facecap_batch.exporting.preview.telling import most_different, spread_frames, telling_frames
from tests.support.animations import with_tongue

FRAMES, FPS = 200, 25


def take(**bumps: tuple[int, float]) -> CoefficientTable:
    """A face at rest in front of the camera, with channels that rise at a frame to a height and fall."""
    coefficients = np.full((FRAMES, 51), 0.02, np.float32)
    for name, (frame, height) in bumps.items():
        rise = np.clip(1 - np.abs(np.arange(FRAMES) - frame) / 4, 0, None)
        coefficients[:, ARKIT_NAMES.index(name)] += ((height - 0.02) * rise).astype(np.float32)
    return CoefficientTable(
        info=ClipInfo("take", "take.mp4", 640, 360, Fraction(FPS), Fraction(1, FPS), 0, False),
        frame_index=np.arange(FRAMES, dtype=np.int32),
        pts=np.arange(FRAMES, dtype=np.int64),
        face_found=np.ones(FRAMES, bool),
        score=np.full(FRAMES, 0.95, np.float32),
        box=np.tile(np.float32([60, 30, 110, 80]), (FRAMES, 1)),
        coefficients=coefficients,
        head=np.tile(np.float32([0, 0, 0, 0, 0, -60]), (FRAMES, 1)),
    )


def both(name: str, frame: int, height: float) -> dict[str, tuple[int, float]]:
    return {f"{name}Left": (frame, height), f"{name}Right": (frame, height)}


def reasons(table: CoefficientTable, count: int = 12) -> dict[int, str]:
    return {each.row: each.reason for each in telling_frames(table, count)}


@pytest.fixture
def performance() -> CoefficientTable:
    table = take(
        **both("mouthSmile", 30, 0.8),
        **both("eyeBlink", 60, 0.9),
        jawOpen=(90, 0.7),
        browInnerUp=(120, 0.6),
        **both("browOuterUp", 120, 0.6),
    )
    table.head[150, 0] = 0.5
    table.score[170] = 0.41
    for values in (table.score, table.box, table.coefficients, table.head):
        values[180:185] = np.nan
    table.face_found[180:185] = False
    return table


def test_every_kind_is_found_with_its_reason(performance: CoefficientTable) -> None:
    found = reasons(performance)
    assert found[30] == "widest smile 0.80" and found[60] == "blink 0.90"
    assert found[90] == "jaw most open 0.70" and found[120] == "brows most raised 0.60"
    assert found[150] == "largest turn 29 deg" and found[170] == "worst confidence 0.41"
    assert found[182] == "no face seen for 5 frames"
    assert list(found) == sorted(found) and len(found) <= 12
    assert {reason for row, reason in found.items() if row not in (30, 60, 90, 120, 150, 170, 182)} <= {
        "unlike the others"
    }
    assert found == reasons(performance)


def test_eyes_that_stay_closed_are_no_blink() -> None:
    """A blink opens again; the peak of a shorter one is chosen over eyes shut for long."""
    table = take(**both("eyeBlink", 60, 0.7))
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        table.coefficients[100:, ARKIT_NAMES.index(name)] = 0.95
    assert reasons(table)[60] == "blink 0.70"


def test_one_frame_may_have_two_reasons_and_few_frames_have_the_first() -> None:
    table = take(**both("mouthSmile", 30, 0.8), jawOpen=(30, 0.5))
    assert reasons(table, 3)[30] == "widest smile 0.80, jaw most open 0.50"
    assert list(reasons(table, 1)) == [30]


def test_confidence_of_frames_without_a_face_does_not_count() -> None:
    table = take(jawOpen=(30, 0.5))
    table.face_found[100] = False
    table.score[100] = 0.01
    assert not any("0.01" in reason for reason in reasons(table).values())


def test_nothing_moves_and_nobody_is_there() -> None:
    still = reasons(take())
    assert set(still.values()) <= {"worst confidence 0.95", "unlike the others"} and len(still) <= 2
    empty = take()
    empty.face_found[:] = False
    for values in (empty.score, empty.box, empty.coefficients, empty.head):
        values[:] = np.nan
    assert telling_frames(empty, 5) == spread_frames(empty, 5)
    assert [each.row for each in spread_frames(empty, 5)] == [0, 50, 100, 149, 199]
    assert telling_frames(empty.rows(0, 0), 5) == []


def test_a_turn_is_seen_from_the_camera() -> None:
    """A head at the side that looks into the camera is not turned."""
    table = take()
    table.head[80] = np.arctan2(-30, 60), 0, 0, 30, 0, -60
    table.head[120, 0] = 0.2
    assert reasons(table)[120] == "largest turn 11 deg"


def test_further_frames_are_far_from_those_chosen() -> None:
    faces = np.zeros((6, 51), np.float32)
    faces[1:, 0] = 0.5, 0.5, 0, 0, 1
    usable = np.ones(6, bool)
    assert most_different(faces, usable, 2, (0,)) == [1, 5]
    assert most_different(faces, usable, 9, (0, 1)) == [5]


def test_lines_pair_sides_and_only_moving_ones_are_shown() -> None:
    lines = all_lines(ARKIT_NAMES)
    covered = sorted({index for line in lines for index in (line.left, line.right)})
    assert covered == list(range(51)) and len({line.name for line in lines}) == len(lines)
    for line in lines:
        left, right = ARKIT_NAMES[line.left], ARKIT_NAMES[line.right]
        assert left == right or left.replace("Left", "Right") == right
    table = take(mouthSmileLeft=(30, 0.5), jawOpen=(60, 0.3), jawLeft=(60, 0.2), browDownLeft=(3, 0.09))
    table.coefficients[:, ARKIT_NAMES.index("cheekPuff")] = np.nan
    shown = moving_lines(table.coefficients, 30)
    assert [line.name for line in shown] == ["jaw aside", "jawOpen", "mouthSmile"]
    assert [line.name for line in moving_lines(table.coefficients, 2)] == ["jawOpen", "mouthSmile"]
    assert [line.name for line in strongest_lines(table.coefficients[60], 9)] == ["jaw aside", "jawOpen"]
    assert moving_lines(np.full((4, 51), np.nan, np.float32), 30) == ()


def test_the_tongue_is_a_line_of_the_mouth_where_a_clip_has_it() -> None:
    assert [line.name for line in all_lines(SHAPE_NAMES) if line.group == "mouth"][-1] == "tongueOut"
    still_face = take(jawOpen=(60, 0.05))
    table = with_tongue(still_face, np.linspace(0, 0.8, len(still_face)))
    assert [line.name for line in moving_lines(table.coefficients, 9)] == ["tongueOut"]
    assert [line.name for line in strongest_lines(table.coefficients[-1], 9)] == ["tongueOut"]
