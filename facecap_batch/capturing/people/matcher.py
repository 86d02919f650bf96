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
from facecap_batch.capturing.people.appearance import SAME_LOOK, MeanLook, look_distances
from facecap_batch.capturing.people.assignment import assign
from facecap_batch.capturing.tracker import Track, motion_cost

# A pair that costs more is none. Costs are face sizes of motion; a difference of SAME_LOOK costs 1, about
# what a fast face moves between detections. A face that is where it was going to be is not lost for its look
# alone, which changes at the edge of the picture and behind a hand.
MAX_COST = 2.0
MAX_LOOK_COST = 1.6
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
    times: list[int]  # numbers of the detections that saw it, in the whole clip, rising
    first_box: np.ndarray  # float32 [4], pixels of the upright frame
    last_box: np.ndarray
    look: MeanLook


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
        if not tracks or not detections:
            return {}
        looks = np.array([_look(detection) for detection in detections])
        costs = np.array([self._costs(track, step, detections, looks) for track in tracks])
        return {tracks[row].identity: column for row, column in assign(costs, MAX_COST).items()}

    def added(self, track: Track, detections: Sequence[Detection], number: int) -> None:
        detection = detections[number]
        others = [other.box for column, other in enumerate(detections) if column != number]
        covered = bool(others) and bool((iou(detection.box, np.array(others)) > 0).any())
        known = self.sightings.get(track.identity)
        if known is None:
            known = self.sightings[track.identity] = Sighting(
                track=track.identity,
                shot=self._shot,
                times=[],
                first_box=detection.box,
                last_box=detection.box,
                look=MeanLook(),
            )
        known.times.append(self._time)
        known.last_box = detection.box
        known.look.add(_look(detection), COVERED_WEIGHT if covered else 1.0)

    def _costs(
        self, track: Track, step: int, detections: Sequence[Detection], looks: np.ndarray
    ) -> np.ndarray:
        """float64 [D]: the cost of each detection showing the track; infinite where it cannot."""
        moved = [motion_cost(track, step, detection) for detection in detections]
        unlike = look_distances(self.sightings[track.identity].look.value(), looks) / SAME_LOOK
        somebody_else = np.isfinite(unlike) & (unlike > LOST_LOOK) & (track.steps[-1] < step - 1)
        looks_cost = np.minimum(np.where(np.isfinite(unlike), unlike, 1.0), MAX_LOOK_COST)
        costs = np.array([np.inf if cost is None else cost for cost in moved]) + looks_cost
        return np.where(somebody_else, np.inf, costs)


def _look(detection: Detection) -> np.ndarray:
    """The look of a detection that has one."""
    if detection.look is None:
        raise ValueError("faces are told apart by their looks, and this one was detected without")
    return detection.look
