"""Which tracks are one person: across absences and cuts, by looks.

In: the readings of every track and what its tracker knows of it. Out: people, the main subject first, each
with the readings that show that person. A track that is never sure is no face unless it looks like somebody
who was seen surely, one that reads the same head as another is none of its own, and what shows for a moment
only is nobody. Tracks are joined nearest looks first, as long as the mean looks agree and no two of a person
were seen at one time. Everything is decided at the end of a clip, from the same numbers whether it was
captured in one piece or in segments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from facecap_batch.capturing.detector import iou
from facecap_batch.capturing.people.appearance import SAME_LOOK, MeanLook, look_distances
from facecap_batch.capturing.people.matcher import Sighting
from facecap_batch.capturing.subject import SURE_ONCE
from facecap_batch.capturing.tracker import importance

# Of the frames of a track: read with the same head as a heavier one in more than this share, it is a double.
DOUBLE_SHARE = 0.5
# Of what shows in fewer frames, and in a smaller share of its shots, most is no face: two that pass each
# other look like one in between.
BRIEF_FRAMES = 8
BRIEF_SHARE = 0.5
# Crops overlap (intersection over union) by this much where they show one head.
SAME_HEAD = 0.5
# A face that is found where another was lost in the same shot may look less alike: looks count by this much.
SAME_PLACE = 0.3  # overlap of the boxes (intersection over union)
SAME_PLACE_FACTOR = 0.7
# Looks that are farther apart than SAME_LOOK, but not than this, are one person's where everyone else who
# could be meant is so many times as far.
CLEAR_LOOK = 23.0
CLEAR_RATIO = 1.25


@dataclasses.dataclass(frozen=True, eq=False)
class Person:
    """One person of a clip."""

    rows: np.ndarray  # int64 [R], of the readings that show the person, by rising frames, one a frame
    weight: float  # sum of `importance`


def people_of(
    readings: np.ndarray, present: np.ndarray, sightings: Iterable[Sighting], shot: np.ndarray
) -> list[Person]:
    """The people of a clip, the main subject first: the person of most importance, then the others by it.

    Args:
        readings: `readings.row_type` [R].
        present: bool [R], readings in which the regressor saw a face.
        sightings: Of every track.
        shot: int [N], number of each frame's shot.
    """
    sure = readings["detector_score"].astype(np.float64) * readings["presence"]
    weight = importance(readings["box"].astype(np.float64), sure)
    tracks = _without_doubles(_faces(readings, present, sure, weight, sightings), readings)
    groups = _joined([track for track in tracks if track.sure])
    _add_faint(groups, [track for track in tracks if not track.sure])
    people = []
    for group in groups:
        rows = np.concatenate([track.rows for track in group])
        # Where two tracks of one person meet, both may have been read in a few frames: the surer one counts.
        order = np.lexsort((rows, -sure[rows], readings["frame"][rows]))
        rows = rows[order]
        first = np.diff(readings["frame"][rows], prepend=-1) > 0
        people.append(Person(rows[first], float(weight[rows[first]].sum())))
    people.sort(key=lambda person: (-person.weight, int(person.rows[0])))
    return [person for person in people if not _is_brief(readings["frame"][person.rows], shot)]


@dataclasses.dataclass(frozen=True, eq=False)
class _FaceTrack:
    """A track that shows a face, or what may be one."""

    sighting: Sighting
    rows: np.ndarray  # int64 [R], of readings in which the regressor saw it, by rising frames
    weight: float
    sure: bool  # of a face once


def _faces(
    readings: np.ndarray,
    present: np.ndarray,
    sure: np.ndarray,
    weight: np.ndarray,
    sightings: Iterable[Sighting],
) -> list[_FaceTrack]:
    """The tracks in which the regressor saw a face: those that are sure of it first, heavy ones first."""
    rows = np.flatnonzero(present)
    rows = rows[np.argsort(readings["track"][rows], kind="stable")]
    edges = np.flatnonzero(np.diff(readings["track"][rows])) + 1
    rows_of = {int(readings["track"][part[0]]): part for part in np.split(rows, edges) if len(part)}
    read = [(sighting, rows_of[sighting.track]) for sighting in sightings if sighting.track in rows_of]
    found = [
        _FaceTrack(sighting, own, float(weight[own].sum()), bool(sure[own].max() >= SURE_ONCE))
        for sighting, own in read
    ]
    return sorted(found, key=lambda track: (not track.sure, -track.weight, track.sighting.track))


def _without_doubles(tracks: Sequence[_FaceTrack], readings: np.ndarray) -> list[_FaceTrack]:
    """`tracks` without those that read the head of an earlier one."""
    kept: list[_FaceTrack] = []
    for track in tracks:
        if not any(_is_double(track, other, readings) for other in kept):
            kept.append(track)
    return kept


def _is_double(track: _FaceTrack, other: _FaceTrack, readings: np.ndarray) -> bool:
    """True where `other` reads the head of `track` in most of its frames."""
    if not _meet(track.sighting, other.sighting):
        return False
    frames, of_other = readings["frame"][track.rows], readings["frame"][other.rows]
    _, here, there = np.intersect1d(frames, of_other, assume_unique=True, return_indices=True)
    first, second = (
        np.column_stack([rect[:, :2], rect[:, :2] + rect[:, 2:]])
        for rect in (readings["crop_rect"][track.rows[here]], readings["crop_rect"][other.rows[there]])
    )
    overlaps = [iou(a, b[None])[0] for a, b in zip(first, second, strict=True)]
    return float(np.sum(np.array(overlaps) >= SAME_HEAD)) > DOUBLE_SHARE * len(frames)


def _is_brief(frames: np.ndarray, shot: np.ndarray) -> bool:
    """True for a face that shows in too few frames to be somebody."""
    of_shots = int(np.isin(shot, shot[frames]).sum())
    return len(frames) < min(BRIEF_FRAMES, BRIEF_SHARE * of_shots)


def _meet(first: Sighting, second: Sighting) -> bool:
    """True where two tracks were seen at one time."""
    if first.times[-1] < second.times[0] or second.times[-1] < first.times[0]:
        return False
    return not set(first.times).isdisjoint(second.times)


def _joined(tracks: Sequence[_FaceTrack]) -> list[list[_FaceTrack]]:
    """Groups of tracks that are one person each."""
    seen = [track.sighting for track in tracks]
    meet = np.array([[_meet(first, second) for second in seen] for first in seen], bool)
    apart = _apart(seen)
    pairs = np.argwhere(np.triu(~meet & (apart < CLEAR_LOOK), 1)).tolist()
    groups = [[number] for number in range(len(tracks))]
    for a, b in sorted(pairs, key=lambda pair: (apart[pair[0], pair[1]], pair)):
        first, second = (next(group for group in groups if number in group) for number in (a, b))
        if first is second or meet[np.ix_(first, second)].any():
            continue
        looks = [_mean_look([seen[number] for number in group]) for group in (first, second)]
        distance = max(apart[a, b], look_distances(looks[0], looks[1][None])[0])
        if distance < SAME_LOOK or (distance < CLEAR_LOOK and _is_clear(a, b, groups, apart, meet)):
            first += second
            groups.remove(second)
    return [[tracks[number] for number in sorted(group)] for group in groups]


def _add_faint(groups: list[list[_FaceTrack]], faint: Sequence[_FaceTrack]) -> None:
    """Add each of the tracks that are never sure to the person that it looks like, if there is one.

    A face that a detector is hardly sure of, turned, dark or painted, is one where somebody who looks like it
    was there before or is afterwards; a thing that never moves the detector more seldom looks like a person.
    """
    for track in faint:
        look = track.sighting.look.value()
        absent = [
            group for group in groups if not any(_meet(track.sighting, other.sighting) for other in group)
        ]
        if not absent:
            continue
        looks = np.array([_mean_look([other.sighting for other in group]) for group in absent])
        apart = np.nan_to_num(look_distances(look, looks), nan=np.inf)
        if apart.min() < SAME_LOOK:
            absent[int(apart.argmin())].append(track)


def _is_clear(a: int, b: int, groups: Sequence[Sequence[int]], apart: np.ndarray, meet: np.ndarray) -> bool:
    """True where neither of two tracks could as well be somebody else who was not seen together with it."""
    for track, other in ((a, b), (b, a)):
        own = next(group for group in groups if track in group)
        for group in groups:
            if group is own or other in group or meet[np.ix_(own, group)].any():
                continue
            if apart[track][list(group)].min() < CLEAR_RATIO * apart[a, b]:
                return False
    return True


def _mean_look(group: Sequence[Sighting]) -> np.ndarray:
    mean = MeanLook()
    for sighting in group:
        mean.merge(sighting.look)
    return mean.value()


def _apart(seen: Sequence[Sighting]) -> np.ndarray:
    """float64 [T, T]: distances of looks, less where one face was found where the other was lost."""
    looks = np.array([sighting.look.value() for sighting in seen])
    apart = np.array([look_distances(look, looks) for look in looks]).reshape(len(seen), len(seen))
    for a, b in np.argwhere(np.triu(apart < SAME_LOOK / SAME_PLACE_FACTOR, 1)):
        early, late = sorted((seen[a], seen[b]), key=lambda sighting: sighting.times[0])
        if early.shot == late.shot and iou(early.last_box, late.first_box[None])[0] >= SAME_PLACE:
            apart[a, b] = apart[b, a] = SAME_PLACE_FACTOR * apart[a, b]
    return apart
