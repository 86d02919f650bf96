"""Which face goes to which track where people are told apart: by place, size and looks, the best for all.

In: the tracks of a tracker and the detections of one frame after the other. Out: pairs for the tracker, and a
`Sighting` of every track: when it was seen, where, in which shot, and how the face looks on average. Looks
decide where people pass one another, and keep a track from going over to somebody who stands where a face was
lost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.capturing.detector import Detection, iou
from facecap_batch.capturing.people.appearance import SAME_LOOK, look_distance
from facecap_batch.capturing.people.assignment import assign
from facecap_batch.capturing.tracker import Track, motion_cost

# What a difference of SAME_LOOK costs, in face sizes of motion: as much as a face moves between detections.
LOOK_WEIGHT = 1.0
# A pair that costs more is none. A face that was seen last time seldom costs more than 1.
MAX_COST = 2.0
# Looks this far apart, in SAME_LOOK, are somebody else's once the face was lost: a hand in front of a face
# changes its look as much, but then it is still found.
LOST_LOOK = 1.5
# Weight of the look of a face whose box overlaps another's: it counts only where there is no other.
COVERED_WEIGHT = 0.001


@dataclasses.dataclass(eq=False)
class Sighting:
    """What is known of one track."""

    track: int
    shot: int
    first_time: int  # number of the detection that saw it first, in the whole clip
    first_box: np.ndarray  # float32 [4], pixels of the upright frame
    last_time: int
    last_box: np.ndarray
    look_sum: np.ndarray  # float64 [LOOK_SIZE], of weighted looks
    look_weight: float

    def look(self) -> np.ndarray:
        """float64 [LOOK_SIZE]: the mean look."""
        mean: np.ndarray = self.look_sum / self.look_weight
        return mean


class PeopleMatcher:
    """Matches faces by place, size and looks; one for a whole clip, also where its trackers change."""

    def __init__(self) -> None:
        self.sightings: dict[int, Sighting] = {}  # by number of the track
        self._time = -1  # number of the detection
        self._shot = 0

    def cut(self) -> None:
        self._shot += 1

    def match(self, tracks: Sequence[Track], step: int, detections: Sequence[Detection]) -> dict[int, int]:
        self._time += 1
        costs = np.array(
            [[self._cost(track, step, detection) for detection in detections] for track in tracks], np.float64
        ).reshape(len(tracks), len(detections))
        return {tracks[row].identity: column for row, column in assign(costs, MAX_COST).items()}

    def added(self, track: Track, detections: Sequence[Detection], number: int) -> None:
        detection = detections[number]
        others = [other.box for column, other in enumerate(detections) if column != number]
        covered = bool(others) and bool((iou(detection.box, np.array(others)) > 0).any())
        weight = COVERED_WEIGHT if covered else 1.0
        look = weight * _look(detection).astype(np.float64)
        known = self.sightings.get(track.identity)
        if known is None:
            self.sightings[track.identity] = Sighting(
                track=track.identity,
                shot=self._shot,
                first_time=self._time,
                first_box=detection.box,
                last_time=self._time,
                last_box=detection.box,
                look_sum=look,
                look_weight=weight,
            )
            return
        known.last_time, known.last_box = self._time, detection.box
        known.look_sum += look
        known.look_weight += weight

    def _cost(self, track: Track, step: int, detection: Detection) -> float:
        moved = motion_cost(track, step, detection)
        if moved is None:
            return np.inf
        unlike = look_distance(self.sightings[track.identity].look(), _look(detection)) / SAME_LOOK
        if track.steps[-1] < step - 1 and unlike > LOST_LOOK:
            return np.inf
        return moved + LOOK_WEIGHT * unlike


def _look(detection: Detection) -> np.ndarray:
    """The look of a detection that has one."""
    if detection.look is None:
        raise ValueError("faces are told apart by their looks, and this one was detected without")
    return detection.look
