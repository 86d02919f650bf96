"""Faces through time: what the tracker says of every frame, from detections in every sixth."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from facecap_batch.capturing.detector import Detection, iou
from facecap_batch.capturing.readings import ReadingBuffer, fill
from facecap_batch.capturing.regressor import OutputSizes, Regressor, RegressorOutput
from facecap_batch.capturing.subject import main_subject, subject_table
from facecap_batch.capturing.tracker import LOOKAHEAD, TrackedBox, Tracker
from facecap_batch.coefficients import ARKIT_NAMES, ClipInfo
from facecap_batch.video.frame import Crop
from tests.support.discs import DiscRegressor

EVERY = 6


def face(x: float, y: float, size: float = 40.0, score: float = 0.9) -> Detection:
    return Detection(np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32), score)


def follow(
    detections: Sequence[Sequence[Detection]], most: int = 3, persistent: bool = False
) -> list[list[TrackedBox]]:
    """Boxes of every frame, taken as soon as the tracker can give them."""
    tracker = Tracker(appear_score=0.5, persistent=persistent)
    frames: list[list[TrackedBox]] = []

    def emit(step: int, last: bool = False) -> None:
        first = step * EVERY
        count = 1 if last else EVERY
        frames.extend(tracker.boxes_between(step, range(first, first + count), first, first + EVERY, most))

    for step, seen in enumerate(detections):
        tracker.update(seen)
        if step >= LOOKAHEAD:
            emit(step - LOOKAHEAD)
    for step in range(max(0, len(detections) - LOOKAHEAD), len(detections)):
        emit(step, last=step == len(detections) - 1)
    return frames


def centers(frames: Sequence[Sequence[TrackedBox]]) -> np.ndarray:
    return np.array(
        [(boxes[0].box[:2] + boxes[0].box[2:]) / 2 if boxes else [np.nan] * 2 for boxes in frames]
    )


def test_a_steady_walk_is_followed_exactly() -> None:
    frames = follow([[face(50 + 12 * k, 100)] for k in range(8)])
    assert len(frames) == 7 * EVERY + 1
    np.testing.assert_allclose(centers(frames)[:, 0], 50 + 2 * np.arange(43), atol=1e-4)
    assert {boxes[0].track for boxes in frames} == {0}


def test_flicker_of_the_detector_is_smoothed_and_the_ends_stay() -> None:
    flicker = [[face(100 + 4 * (-1) ** k, 100)] for k in range(12)]
    x = centers(follow(flicker))[:, 0]
    assert np.ptp(x[EVERY:-EVERY]) < 2 < np.ptp([d[0].box[0] for d in flicker])
    assert x[0] == 104 and x[-1] == 96


def test_one_missed_detection_is_bridged() -> None:
    frames = follow([[face(60, 60)], [face(66, 60)], [], [face(78, 60)], [face(84, 60)]])
    x = centers(frames)[:, 0]
    np.testing.assert_allclose(x[6:19], np.linspace(66, 78, 13), atol=1.5)
    assert {boxes[0].track for boxes in frames} == {0}


def test_a_face_that_is_lost_or_found_in_motion_keeps_its_speed_where_several_are_followed() -> None:
    walk = [[], *([face(60 + 12 * k, 60)] for k in range(4)), [], []]
    expected = 60 + 2.0 * np.arange(-EVERY + 1, 4 * EVERY)
    x = centers(follow(walk, persistent=True))[1 : 5 * EVERY, 0]
    np.testing.assert_allclose(x, expected, atol=1e-4)
    held = centers(follow(walk))[1 : 5 * EVERY, 0]
    np.testing.assert_allclose(held, np.clip(expected, 60, 96), atol=1e-4)


def test_a_face_that_is_lost_as_it_sets_off_goes_faster_and_one_that_flickers_stays() -> None:
    sets_off = follow([[face(60, 60)], [face(60, 60)], [face(72, 60)], [], []], persistent=True)
    np.testing.assert_allclose(centers(sets_off)[12:18, 0], 72 + 4.0 * np.arange(6), atol=1e-4)
    stops = follow([[face(60, 60)], [face(90, 60)], [face(102, 60)], [], []], persistent=True)
    np.testing.assert_allclose(centers(stops)[12:18, 0], 102, atol=1e-4)
    flickers = follow([[face(60, 60)], [face(63, 60)], [], []], persistent=True)
    np.testing.assert_allclose(centers(flickers)[6:12, 0], 63, atol=1e-4)


def test_two_missed_detections_are_bridged_where_several_are_followed() -> None:
    gap = [[face(60, 60)], [face(60, 60)], [], [], [face(60, 60)], [face(60, 60)]]
    assert all(follow(gap, persistent=True))
    assert [k for k, boxes in enumerate(follow(gap)) if not boxes] == list(range(12, 18))


def test_a_face_that_is_not_found_is_not_expected_where_another_is() -> None:
    behind = [face(60, 60)]
    before = [[face(20 + 20 * k, 60)] for k in range(6)]
    gone = [
        [*there, *hidden]
        for there, hidden in zip(before, [behind, [], [], behind, behind, behind], strict=True)
    ]
    frames = follow(gone, persistent=True)
    for boxes in frames[1 : 3 * EVERY]:
        first = [box for box in boxes if box.track == 0]
        assert len(first) == 1
        assert all(iou(box.box, first[0].box[None])[0] <= 0.1 for box in boxes if box.track == 1)


def test_a_lost_face_leaves_no_stale_box_and_its_track_when_it_returns() -> None:
    frames = follow([[face(60, 60)]] * 3 + [[]] * 4 + [[face(64, 62)]] * 3)
    there = np.array([bool(boxes) for boxes in frames])
    # Held for up to one interval after the last and before the first detection, for the regressor to judge.
    assert there[: 2 * EVERY].all() and there[6 * EVERY + 1 :].all()
    assert not there[3 * EVERY : 6 * EVERY].any()
    assert {box.track for boxes in frames for box in boxes} == {0}


def test_a_face_elsewhere_is_another_track() -> None:
    frames = follow([[face(60, 60)]] * 4 + [[face(300, 200)]] * 4)
    assert {boxes[0].track for boxes in frames[: 3 * EVERY]} == {0}
    assert {boxes[0].track for boxes in frames[5 * EVERY :]} == {1}


def test_a_face_twice_as_far_away_is_another_one() -> None:
    frames = follow([[face(60, 60, 80)]] * 3 + [[face(60, 60, 25)]] * 3)
    assert len({box.track for boxes in frames for box in boxes}) == 2


def test_two_people_who_pass_each_other_keep_their_tracks() -> None:
    seen = [[face(50 + 20 * k, 100, 60), face(350 - 20 * k, 150, 40)] for k in range(16)]
    frames = follow(seen)
    for number, boxes in enumerate(frames):
        x = {box.track: (box.box[0] + box.box[2]) / 2 for box in boxes}
        assert abs(x[0] - (50 + 20 * number / EVERY)) < 2 and abs(x[1] - (350 - 20 * number / EVERY)) < 2


def test_unsure_faces_continue_tracks_and_begin_none() -> None:
    assert not any(follow([[face(60, 60, score=0.3)]] * 5))
    frames = follow([[face(60, 60, score=0.8)]] + [[face(60, 60, score=0.3)]] * 4)
    assert all(frames)
    assert abs(frames[-1][0].score - 0.3) < 1e-6


def test_the_heaviest_come_first_and_no_more_than_asked() -> None:
    seen = [[face(60, 60, 20), face(200, 60, 80), face(300, 150, 50)] for _ in range(5)]
    for boxes in follow(seen, most=2):
        sizes = [box.box[2] - box.box[0] for box in boxes]
        np.testing.assert_allclose(sizes, [80, 50])


def test_a_thing_taken_for_a_face_weighs_less_than_a_sure_face() -> None:
    seen = [[face(60, 60, 40, 0.85), face(200, 60, 44, 0.55)] for _ in range(5)]
    for boxes in follow(seen, most=1):
        assert (boxes[0].box[0] + boxes[0].box[2]) / 2 == 60


def test_memory_of_a_long_clip_is_bounded() -> None:
    tracker = Tracker(0.5)
    for step in range(3000):
        tracker.update([face(60 + step % 5, 60), face(200, 60 + step % 7)])
        assert sum(len(track.steps) for track in tracker._alive) <= 2 * (LOOKAHEAD + 6)
    for step in range(500):
        tracker.update([face(40 + 130 * (step % 3), 60)] if step % 9 == 0 else [])
        assert len(tracker._alive) + len(tracker._ended) <= 6


# --- the main subject -------------------------------------------------------------------------


def readings(*tracks: tuple[range, float]) -> np.ndarray:
    """Tracks of (frames, box size), all seen with certainty."""
    collected = ReadingBuffer(OutputSizes())
    for track, (frames, size) in enumerate(tracks):
        boxes = [TrackedBox(track, np.array([0, 0, size, size]), 1.0) for _ in frames]
        count = len(frames)
        position, hidden = np.zeros((count, 3)), np.zeros((count, 3), bool)
        shapes, angles, extra = (np.zeros((count, columns)) for columns in (51, 3, 0))
        points = np.zeros((count, 0, 2))
        output = RegressorOutput(shapes, angles, position, np.ones(count), hidden, extra, extra, points)
        crop = Crop(np.zeros((1, 1, 3), np.uint8), 0.0, 0.0, 1.0)
        for number, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
            fill(collected.expect(frame, box), crop, output, number)
    return collected.take()


def tracks_chosen(given: np.ndarray, count: int) -> list[int]:
    rows = main_subject(given, np.ones(len(given), bool), count)
    return [int(given["track"][row]) if row >= 0 else -1 for row in rows]


def test_readings_come_out_in_the_order_they_went_in() -> None:
    given = readings((range(0, 5000), 40.0), (range(7, 9), 30.0))
    assert given["frame"].tolist() == [*range(5000), 7, 8]
    assert len(ReadingBuffer(OutputSizes()).take()) == 0


def test_the_subject_is_the_largest_face_over_the_whole_clip() -> None:
    """Also where a smaller one was there first."""
    given = readings((range(0, 100), 40.0), (range(30, 100), 90.0))
    assert tracks_chosen(given, 100) == [-1] * 30 + [1] * 70


def test_a_lost_and_found_face_continues_and_bystanders_do_not() -> None:
    given = readings(
        (range(0, 40), 80.0), (range(50, 100), 85.0), (range(20, 70), 60.0), (range(41, 49), 10.0)
    )
    assert tracks_chosen(given, 100) == [0] * 40 + [-1] * 10 + [1] * 50


def test_a_face_that_is_never_sure_is_nobody() -> None:
    given = readings((range(0, 10), 80.0))
    given["presence"] = 0.3
    assert tracks_chosen(given, 10) == [-1] * 10
    given["presence"][4] = 0.6  # sure once: the faint frames around it belong to a face
    assert tracks_chosen(given, 10) == [0] * 10


def test_frames_in_which_the_regressor_saw_nothing_stay_empty() -> None:
    given = readings((range(0, 10), 80.0))
    present = np.arange(10) % 2 == 0
    rows = main_subject(given, present, 12)
    assert (rows >= 0).tolist() == [True, False] * 5 + [False, False]


def test_coefficients_of_hidden_parts_are_not_said() -> None:
    """Only those, only in those frames; the face is found all the same."""
    given = readings((range(0, 4), 80.0))
    given["hidden"][2] = [True, False, True]  # the left eye and the mouth
    info = ClipInfo("c", "c.mp4", 640, 480, Fraction(30), Fraction(1, 30), 0, False)
    table = subject_table(info, np.arange(4), given, Regressor(DiscRegressor()))
    assert table.face_found.all() and np.isfinite(table.head).all()
    unsaid = {ARKIT_NAMES[k] for k in np.flatnonzero(np.isnan(table.coefficients[2]))}
    assert {"eyeBlinkLeft", "browDownLeft", "jawOpen", "mouthSmileRight", "cheekPuff"} <= unsaid
    assert not unsaid & {"eyeBlinkRight", "browDownRight", "browInnerUp", "noseSneerLeft"}
    assert np.isfinite(np.delete(table.coefficients, 2, axis=0)).all()
