"""People told apart: assignment, looks, cuts, closer looks, and which tracks are one person."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facecap_batch.capturing.detector import Detection, Detector
from facecap_batch.capturing.people.appearance import LOOK_SHAPE, SAME_LOOK, MeanLook, look_distances, look_of
from facecap_batch.capturing.people.assignment import assign
from facecap_batch.capturing.people.finder import CloseFaceFinder
from facecap_batch.capturing.people.identities import BRIEF_FRAMES, people_of
from facecap_batch.capturing.people.matcher import PeopleMatcher, Sighting
from facecap_batch.capturing.people.shots import cuts_in
from facecap_batch.capturing.readings import ReadingBuffer
from facecap_batch.capturing.regressor import OutputSizes
from facecap_batch.capturing.tracker import ShotChange, TrackedBox, Tracker
from tests.support.discs import DiscDetector, scene
from tests.support.people import crowd

# --- assignment -------------------------------------------------------------------------------


def cheapest(costs: np.ndarray, unmatched: float) -> float:
    """The least cost of all ways to pair rows with columns, tried one by one."""
    rows, columns = costs.shape
    choices = [*range(columns), *[-1] * rows]
    return min(
        sum(unmatched if column < 0 else costs[row, column] for row, column in enumerate(way))
        for way in set(itertools.permutations(choices, rows))
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_assignment_is_the_cheapest_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    costs = random.random(tuple(random.integers(1, 4, 2)))
    costs[random.random(costs.shape) < 0.2] = np.inf
    unmatched = float(random.uniform(0.2, 1.0))
    pairs = assign(costs, unmatched)
    assert len(set(pairs.values())) == len(pairs)
    total = sum(costs[pair] for pair in pairs.items()) + unmatched * (len(costs) - len(pairs))
    assert total == pytest.approx(cheapest(costs, unmatched))


def test_an_assignment_of_nobody() -> None:
    assert assign(np.zeros((0, 3)), 1.0) == {} == assign(np.zeros((2, 0)), 1.0)


# --- looks ------------------------------------------------------------------------------------


def look(shade: int, x: float = 240, radius: float = 40.0) -> np.ndarray:
    image = crowd((x, 110, radius, shade))
    return look_of(image, np.array([x - radius, 110 - radius, x + radius, 110 + radius], np.float32))


def test_a_person_looks_the_same_elsewhere_and_in_another_size() -> None:
    near = look_distances(
        look(40), np.array([look(40, 150), look(40, 200, 25), look(200), look(90, 200, 25)])
    )
    assert (near[:2] < SAME_LOOK / 2).all() and (near[2:] > SAME_LOOK).all()


def test_what_is_outside_the_picture_does_not_count() -> None:
    whole, cut_off = look(40), look(40, x=5)
    assert np.isfinite(whole).all() and 0 < np.isnan(cut_off[0, :, 0]).sum() < LOOK_SHAPE[1]
    assert look_distances(whole, cut_off[None])[0] < SAME_LOOK / 2
    little = np.full(LOOK_SHAPE, np.nan)
    little[:, :5] = whole[:, :5]
    assert np.isinf(look_distances(whole, little[None])[0])


def test_a_mean_look_is_that_of_what_was_known() -> None:
    mean, other = MeanLook(), MeanLook()
    first, second = np.full(LOOK_SHAPE, 10.0), np.full(LOOK_SHAPE, 40.0)
    second[:, 0] = np.nan
    mean.add(first, 1.0)
    other.add(second, 2.0)
    mean.merge(other)
    np.testing.assert_allclose(mean.value()[1, :2], [[10.0] * 3, [30.0] * 3])
    assert np.isnan(MeanLook().value()).all()


# --- cuts -------------------------------------------------------------------------------------


def texture(seed: int, shift: int = 0) -> np.ndarray:
    """float32 [18, 32, 3]: blobs, moved sideways by `shift`."""
    blobs = np.random.default_rng(seed).uniform(0, 255, (6, 40, 3)).repeat(3, 0).repeat(4, 1)
    return blobs[:, shift : shift + 32].astype(np.float32)


def test_a_cut_is_found_where_it_is() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (19, 18, 32, 3))
    shots = np.array([texture(1)] * 9 + [texture(2)] * 10) + noise
    assert cuts_in(shots.astype(np.float32)) == [9]


def test_a_flash_and_a_black_frame_are_no_cuts() -> None:
    still = [texture(1)] * 19
    for light in (255.0, 0.0):
        pictures = np.array(still)
        pictures[8:11] = light
        assert cuts_in(pictures) == []


def test_a_fast_pan_is_no_cut() -> None:
    pan = np.array([texture(1, 0 if k < 6 else min(6 * (k - 5), 100)) for k in range(19)])
    assert np.abs(np.diff(pan, axis=0)).mean(axis=(1, 2, 3)).max() > 40
    assert cuts_in(pan) == []


def test_a_dissolve_is_no_cut() -> None:
    shares = np.clip((np.arange(19) - 4) / 10, 0, 1)
    assert cuts_in(np.array([(1 - s) * texture(1) + s * texture(2) for s in shares], np.float32)) == []


def test_tracks_end_at_a_cut() -> None:
    """Whoever stands there afterwards, and no box of either shot is used in the other."""
    tracker = Tracker(0.5)
    box = np.array([10, 10, 50, 50], np.float32)
    for step in range(6):
        tracker.update([Detection(box + step, 0.9)], ShotChange(14, 16) if step == 3 else None)
    frames = tracker.boxes_between(2, range(12, 18), 12, 18, 3)
    assert [[box.track for box in boxes] for boxes in frames] == [[0], [0], [], [], [1], [1]]
    assert frames[0][0].box[0] == 12 and frames[-1][0].box[0] == 13


# --- closer looks -----------------------------------------------------------------------------


def test_small_faces_are_looked_at_closely_and_found_once() -> None:
    engine = DiscDetector()
    finder = CloseFaceFinder(Detector(engine, min_top_k=32))
    places = [(60.0, 60.0, 12.0), (284.0, 160.0, 14.0), (500.0, 250.0, 70.0)]
    (found,) = finder.find([scene(569, 320, *places)])
    assert engine.images == 3  # as a whole, and in two pieces
    middles = sorted(tuple((face.box[:2] + face.box[2:]) / 2) for face in found)
    np.testing.assert_allclose(middles, [place[:2] for place in places], atol=3)
    assert all(face.look is not None for face in found)


def test_large_faces_cost_one_look() -> None:
    engine = DiscDetector()
    (found,) = CloseFaceFinder(Detector(engine)).find([scene(569, 320, (150, 160, 60), (420, 160, 70))])
    assert engine.images == 1 and len(found) == 2


# --- identities -------------------------------------------------------------------------------


def sighting(track: int, times: range, shade: float, shot: int = 0, x: float = 0.0) -> Sighting:
    mean = MeanLook()
    mean.add(np.full(LOOK_SHAPE, shade), 1.0)
    box = np.array([x, 0, x + 40, 40], np.float32)
    return Sighting(track, shot, list(times), box, box, mean)


def people(
    *sightings: Sighting, frames: dict[int, range] | None = None, faint: tuple[int, ...] = ()
) -> list[list[int]]:
    """The tracks of each person; a track is read in six frames for each detection, or in `frames`, and the
    detector is hardly sure of those that are `faint`."""
    collected = ReadingBuffer(OutputSizes())
    shot = np.zeros(6 * max(each.times[-1] for each in sightings) + 6, int)
    for each in sightings:
        read = (frames or {}).get(each.track, range(6 * each.times[0], 6 * each.times[-1] + 6))
        shot[read.start : read.stop] = each.shot
        for frame in read:
            row = collected.expect(
                frame, TrackedBox(each.track, each.first_box, 0.4 if each.track in faint else 0.9)
            )
            row["presence"] = 1.0
            row["crop_rect"] = (each.first_box[0], 0, 60)
    readings = collected.take()
    found = people_of(readings, readings["presence"] > 0, sightings, shot)
    return [sorted(set(readings["track"][person.rows].tolist())) for person in found]


def test_a_person_who_comes_back_is_the_same() -> None:
    back = sighting(2, range(30, 40), 55, x=300)
    assert people(sighting(0, range(10), 50), sighting(1, range(40), 200, x=100), back) == [[1], [0, 2]]


def test_nobody_is_two_at_once() -> None:
    twins = [sighting(0, range(30), 50), sighting(1, range(20), 50, x=200), sighting(2, range(40, 50), 51)]
    assert people(*twins) == [[0, 2], [1]]


def test_somebody_else_at_the_same_place_is_somebody_else() -> None:
    assert people(sighting(0, range(20), 50), sighting(1, range(30, 40), 120)) == [[0], [1]]


def test_people_change_places_at_a_cut() -> None:
    first = [sighting(0, range(20), 50), sighting(1, range(20), 200, x=100)]
    second = [sighting(2, range(20, 50), 196, 1), sighting(3, range(20, 50), 53, 1, x=100)]
    assert people(*first, *second) == [[0, 3], [1, 2]]


def test_looks_in_another_light_are_joined_where_nobody_else_can_be_meant() -> None:
    darker = [sighting(2, range(20, 50), 66, 1), sighting(3, range(20, 50), 184, 1, x=100)]
    assert people(sighting(0, range(20), 50), sighting(1, range(20), 200, x=100), *darker) == [[0, 2], [1, 3]]
    rival = sighting(4, range(20, 50), 68, 1, x=200)
    assert [0] in people(sighting(0, range(20), 50), darker[0], rival)


def test_what_reads_the_head_of_another_is_none() -> None:
    assert people(sighting(0, range(30), 50), sighting(1, range(5, 25), 90, x=4)) == [[0]]


def test_what_shows_for_a_moment_is_nobody_and_a_still_is_somebody() -> None:
    moment = {1: range(30, 30 + BRIEF_FRAMES - 1)}
    assert people(sighting(0, range(30), 50), sighting(1, range(5, 6), 200, x=200), frames=moment) == [[0]]
    assert people(sighting(0, range(1), 50)) == [[0]]


def test_a_faint_face_is_somebody_known_or_nobody() -> None:
    first = [sighting(0, range(20), 50), sighting(1, range(20), 200, x=100)]
    second = [sighting(2, range(20, 50), 53, 1, x=100), sighting(3, range(20, 50), 120, 1, x=200)]
    assert people(*first, *second, faint=(2, 3)) == [[0, 2], [1]]
    assert people(*second, faint=(2, 3)) == []
    there = sighting(4, range(10, 50), 200, 0, x=300)
    assert people(*first, there, faint=(4,)) == [[0], [1]]


# --- crossing ---------------------------------------------------------------------------------


def test_people_who_pass_before_one_another_keep_their_tracks() -> None:
    """The one behind is lost for two detections, and both turn back: speed alone would exchange them."""
    looks = np.array([np.full(LOOK_SHAPE, 50.0), np.full(LOOK_SHAPE, 200.0)], np.float32)
    tracker = Tracker(0.5, matcher=PeopleMatcher())
    for step in range(12):
        x = np.array([100 - 10 * abs(step - 6), 100 + 10 * abs(step - 6)])
        seen = [0] if step in (6, 7) else [0, 1]
        tracker.update(
            [
                Detection(np.array([x[k] - 20, 80, x[k] + 20, 120], np.float32), 0.9, looks[k].copy())
                for k in seen
            ]
        )
    last = tracker.boxes_between(10, [60], 60, 66, 5)[0]
    assert sorted((box.track, round(box.box[0] / 10)) for box in last) == [(0, 4), (1, 12)]
