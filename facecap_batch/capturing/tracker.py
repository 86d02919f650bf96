"""Faces through time: detections in every n-th frame to a box for every frame.

In: the detections of one frame after the other, in order. Out: tracks, and for each frame the box of every
track that may be visible in it. Boxes are smoothed over neighbouring detections (zero phase) and interpolated
between them; before the first and after the last detection of a face its box is held for one interval, and
across a single missed detection it is interpolated: the regressor decides whether the face is really there.
Longer losses leave no box, never a stale one; a face found again nearby continues its track.

Where several people are wanted, a face goes on at its speed for that interval: who passes behind somebody is
seen up to a frame that no detection falls on. Two missed detections are bridged, too, as small faces need it.
A box that lies between no two detections is left out where another face is: that one would be read.

A frame's boxes depend on the detections up to `LOOKAHEAD` after it and on nothing later, so a clip of any
length is followed in bounded memory and the same boxes come out however frames are batched.

Which face goes to which track is decided by a `Matcher`. Where the picture is known to be cut, every track
ends and none is continued.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from facecap_batch.capturing.detector import Detection, iou

LOOKAHEAD = 2  # detections after a frame that its boxes may depend on
# Weight of each neighbour when a detected box is smoothed; removes a detector's flicker, keeps a nod.
SMOOTHING = 0.2
# Detections in a row that may miss a face before its track ends.
MAX_MISSED = 5
# A face moves less than this many box sizes between two detections, beyond keeping its speed, and no more
# than doubles in size. Which face goes to which track where several are in reach is decided by distance.
MAX_STEP = 1.2
MAX_GROWTH = 2.0
# A face that moves by less than this share of its size between two detections stands: detectors flicker.
STANDING = 0.1
# A box that no detections hold on both sides is left out where this much of it (intersection over union) is
# another face's.
COVERED = 0.1
MAX_SPEEDING = 2.0  # times its speed is the most that is expected of a face after its last detection


@dataclasses.dataclass(frozen=True, eq=False)
class TrackedBox:
    """Where a track is in one frame."""

    track: int
    box: np.ndarray  # float64 [4], x0 y0 x1 y1, pixels
    score: float  # of the detector, interpolated


def importance(box: np.ndarray, score: np.ndarray | float) -> np.ndarray:
    """How much one frame speaks for a face being the subject: area of `box` [..., 4] times squared score.

    Squared, because a false detection is often as large as a face, but seldom as sure.
    """
    weight: np.ndarray = np.prod(box[..., 2:] - box[..., :2], axis=-1) * np.square(score)
    return weight


class Track:
    """One face: its boxes by number of detection."""

    def __init__(self, identity: int) -> None:
        self.identity = identity
        self.steps: list[int] = []  # numbers of the detections that saw it, rising
        self.boxes: list[np.ndarray] = []  # float64 [4]
        self.scores: list[float] = []
        self.best_score = 0.0
        self.weight = 0.0  # sum of `importance`, square pixels
        self.first_frame = 0  # first frame of its shot, as far as that is known
        self.end_frame: int | None = None  # first frame of the next shot; None: none is known

    def add(self, step: int, detection: Detection) -> None:
        box = detection.box.astype(np.float64)
        self.steps.append(step)
        self.boxes.append(box)
        self.scores.append(detection.score)
        self.best_score = max(self.best_score, detection.score)
        self.weight += float(importance(box, detection.score))

    def may_be_in(self, frame: int) -> bool:
        """False for frames of another shot."""
        return frame >= self.first_frame and (self.end_frame is None or frame < self.end_frame)

    def seen(self, step: int) -> int | None:
        """Index in `boxes` of detection number `step`, None where the face was not found in it."""
        # Only the newest few are ever needed.
        for position in range(len(self.steps) - 1, -1, -1):
            if self.steps[position] == step:
                return position
            if self.steps[position] < step:
                return None
        return None

    def smoothed(self, position: int) -> np.ndarray:
        """The box at `position`, averaged with the detections just before and after where both saw it."""
        step, box = self.steps[position], self.boxes[position]
        before, after = self.seen(step - 1), self.seen(step + 1)
        if before is None or after is None:
            return box
        smooth: np.ndarray = (1 - 2 * SMOOTHING) * box + SMOOTHING * (self.boxes[before] + self.boxes[after])
        return smooth

    def onward(self, position: int) -> np.ndarray:
        """float64 [4], pixels: how far the face goes in the interval after `position`, its last detection, at
        the speed and with the acceleration that led there."""
        step, box = self.steps[position], self.boxes[position]
        before, earlier = self.seen(step - 1), self.seen(step - 2)
        if before is None:
            return np.zeros(4)
        moved = _moved(self.boxes[before], box)
        if earlier is None or not moved.any():
            return moved
        # It may stop or double its speed, and does not turn round.
        gain = 2 - float(moved @ _moved(self.boxes[earlier], self.boxes[before])) / float(moved @ moved)
        return moved * min(max(gain, 0.0), MAX_SPEEDING)

    def forget_before(self, step: int) -> None:
        """Drop detections that no box can depend on any more; the last is kept, to find the face again."""
        while len(self.steps) > 1 and self.steps[1] < step:
            del self.steps[0], self.boxes[0], self.scores[0]


@dataclasses.dataclass(frozen=True)
class ShotChange:
    """Where the picture is cut between two detections."""

    end: int  # first frame that is not of the earlier detection's shot
    begin: int  # first frame of the later detection's shot; later than `end` where a short shot lies between


class Matcher(Protocol):
    """Decides which face goes to which track."""

    def match(self, tracks: Sequence[Track], step: int, detections: Sequence[Detection]) -> dict[int, int]:
        """Number of a track -> index of the detection that shows it, of those that go together."""
        ...

    def added(self, track: Track, detections: Sequence[Detection], number: int) -> None:
        """Detection `number` of one frame was added to `track`, an old or a new one."""
        ...

    def cut(self) -> None:
        """The next detections are of another shot."""
        ...


class NearestMatcher:
    """The nearest pair goes together, then the nearest of the rest, and so on."""

    def match(self, tracks: Sequence[Track], step: int, detections: Sequence[Detection]) -> dict[int, int]:
        pairs = sorted(
            (cost, track.identity, number)
            for track in tracks
            for number, detection in enumerate(detections)
            if (cost := motion_cost(track, step, detection)) is not None
        )
        taken: dict[int, int] = {}
        for _, identity, number in pairs:
            if identity not in taken and number not in taken.values():
                taken[identity] = number
        return taken

    def added(self, track: Track, detections: Sequence[Detection], number: int) -> None:
        return

    def cut(self) -> None:
        return


class Tracker:
    """Follows every face of a clip. Detections come in by `update`, boxes go out by `boxes_between`."""

    def __init__(
        self,
        appear_score: float,
        first_track: int = 0,
        matcher: Matcher | None = None,
        persistent: bool = False,
    ) -> None:
        """
        Args:
            appear_score: A face must be this sure once for its track to count, 0..1.
            first_track: Number of the first track.
            matcher: None: by distance alone.
            persistent: Whether a face is expected on where none is found: at its speed for the interval
                before its first and after its last detection, and across two missed ones; else its box is
                held for that interval, and one missed detection is bridged.
        """
        self._appear_score = appear_score
        self._matcher = matcher or NearestMatcher()
        self._persistent = persistent
        self._alive: list[Track] = []
        self._ended: list[Track] = []  # kept while boxes may still be needed
        self._count = first_track
        self.steps = 0  # detections seen so far

    @property
    def next_track(self) -> int:
        """Number that the next new face will get."""
        return self._count

    def update(self, detections: Sequence[Detection], change: ShotChange | None = None) -> None:
        """Take the detections of the next detected frame, best first.

        `change`: where the picture is cut since the detections before; None: it is not.
        """
        step = self.steps
        self.steps += 1
        if change is not None:
            self._matcher.cut()
            for track in self._alive:
                track.end_frame = change.end
            self._ended += self._alive
            self._alive = []
        taken = self._matcher.match(self._alive, step, detections)
        for track in self._alive:
            if track.identity in taken:
                self._add(track, step, detections, taken[track.identity])
        for number in sorted(set(range(len(detections))) - set(taken.values())):
            if detections[number].score >= self._appear_score:
                track = Track(self._count)
                track.first_frame = 0 if change is None else change.begin
                self._count += 1
                self._add(track, step, detections, number)
                self._alive.append(track)
        self._ended = [t for t in self._ended if t.steps[-1] >= step - LOOKAHEAD - 2]
        self._ended += [t for t in self._alive if step - t.steps[-1] > MAX_MISSED]
        self._alive = [t for t in self._alive if step - t.steps[-1] <= MAX_MISSED]
        for track in self._alive:
            track.forget_before(step - LOOKAHEAD - 3)

    def _add(self, track: Track, step: int, detections: Sequence[Detection], number: int) -> None:
        track.add(step, detections[number])
        self._matcher.added(track, detections, number)

    def boxes_between(
        self, step: int, frames: Sequence[int], first: int, last: int, most: int
    ) -> list[list[TrackedBox]]:
        """Boxes in each of `frames`, heaviest track first.

        Args:
            step: Number of the detection that the frames begin with.
            frames: Indices of frames, from detection `step` up to but excluding the next one.
            first: Frame of detection `step`.
            last: Frame of detection `step` + 1; `first` where the clip ends with detection `step`.
            most: How many tracks, at most.
        """
        tracks = sorted(self._alive + self._ended, key=lambda t: (-t.weight, t.identity))
        paths = [
            (track, path) for track in tracks if (path := _Path.of(track, step, self._persistent)) is not None
        ]
        length = max(1, last - first)
        boxes_of = []
        for frame in frames:
            here = [path for track, path in paths if track.may_be_in(frame)]
            boxes = [path.at((frame - first) / length) for path in here]
            if self._persistent:
                boxes = _uncovered(boxes, [path.is_held for path in here])
            boxes_of.append(boxes[:most])
        return boxes_of


@dataclasses.dataclass(frozen=True, eq=False)
class _Path:
    """A track through one interval: from `box0` at time 0 to `box1` at time 1, in intervals."""

    track: int
    time0: float
    time1: float
    box0: np.ndarray
    box1: np.ndarray
    score0: float
    score1: float
    is_held: bool  # between two detections, of which at most one is missed

    @staticmethod
    def of(track: Track, step: int, persistent: bool) -> _Path | None:
        """The path between detections `step` and `step` + 1; None where the face is not expected."""
        ends = [track.seen(step + offset) for offset in (-1, 0, 1, 2)]
        before, start, stop, after = ends
        if start is not None:
            to, time = (stop, 1.0) if stop is not None else (after, 2.0)
            if to is None:
                to = start
            pair, times = (start, to), (0.0, time)
        elif stop is not None:
            if before is None:
                before = stop
            pair, times = (before, stop), (-1.0, 1.0)
        elif persistent and before is not None and after is not None:
            pair, times = (before, after), (-1.0, 2.0)
        else:
            return None
        first, second = pair
        held = first != second and (start is not None or stop is not None)
        box0, box1 = track.smoothed(first), track.smoothed(second)
        if persistent and first == second == start:
            box1 = box1 + (times[1] - times[0]) * track.onward(first)
        elif persistent and first == second and after is not None:
            box0 = box0 - (times[1] - times[0]) * _moved(track.boxes[first], track.boxes[after])
        return _Path(track.identity, *times, box0, box1, track.scores[first], track.scores[second], held)

    def at(self, time: float) -> TrackedBox:
        share = (time - self.time0) / (self.time1 - self.time0)
        box = (1 - share) * self.box0 + share * self.box1
        return TrackedBox(self.track, box, float((1 - share) * self.score0 + share * self.score1))


def _center(box: np.ndarray) -> np.ndarray:
    center: np.ndarray = (box[:2] + box[2:]) / 2
    return center


def _uncovered(boxes: Sequence[TrackedBox], held: Sequence[bool]) -> list[TrackedBox]:
    """`boxes` of one frame without those that are not `held` and lie on one that is."""
    sure = np.array([each.box for each, is_held in zip(boxes, held, strict=True) if is_held]).reshape(-1, 4)
    return [
        each
        for each, is_held in zip(boxes, held, strict=True)
        if is_held or not (iou(each.box, sure) > COVERED).any()
    ]


def _moved(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """float64 [4], pixels: by how much a box moved; 0 where the face stands."""
    way = _center(after) - _center(before)
    stands = np.hypot(*way) < STANDING * np.sqrt(np.prod(after[2:] - after[:2]))
    moved: np.ndarray = np.zeros(4) if stands else np.tile(way, 2)
    return moved


def motion_cost(track: Track, step: int, detection: Detection) -> float | None:
    """How unlike the track `detection` is, 0 for the same box; None where it cannot be the same face."""
    last, box = track.boxes[-1], detection.box.astype(np.float64)
    size0, size1 = np.sqrt(np.prod(last[2:] - last[:2])), np.sqrt(np.prod(box[2:] - box[:2]))
    growth = abs(np.log(size1 / size0))
    missed = step - track.steps[-1] - 1
    center, before = _center(box), _center(last)
    distance = np.hypot(*(center - before))
    if len(track.steps) > 1 and track.steps[-2] == track.steps[-1] - 1:
        ahead = before + (before - _center(track.boxes[-2])) * (1 + missed)
        distance = min(distance, np.hypot(*(center - ahead)))
    moved = float(distance / max(size0, size1))
    reach = MAX_STEP * (1 + 0.5 * missed)
    if growth > np.log(MAX_GROWTH) * (1 + 0.25 * missed):
        return None
    if moved > reach and iou(last, box[None])[0] < 0.1:
        return None
    return moved + 0.5 * float(growth)
