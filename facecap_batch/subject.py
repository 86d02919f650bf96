"""The main subject: which of the faces that were read is the clip's track 0, and the clip's table of it.

In: the readings of every track, frame by frame. Out: one `CoefficientTable`. The heaviest track (face area
times squared score, summed over the frames in which the regressor saw it) is the subject; lighter tracks
join it where it is not there, heaviest first, if they are not seen beside it for long: a face that was lost
and found, or a cut to another shot. The other people of a shot are left out.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, ClipInfo, CoefficientTable
from facecap_batch.geometry import unwrap
from facecap_batch.regression import Reading, head_columns
from facecap_batch.tracking import TrackedBox, importance

# A track that is seen together with the subject for more than this share of its frames is somebody else.
MAX_SHARED = 0.2
# A face much smaller than the subject (area) is somebody in the background, or no face.
MIN_AREA_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Readings:
    """Every crop that was read: R rows, several tracks mixed, frames rising within a track."""

    frame: np.ndarray  # int32 [R], index of the frame
    track: np.ndarray  # int32 [R]
    box: np.ndarray  # float32 [R, 4], pixels of the upright frame
    square: np.ndarray  # float64 [R, 3], x0 y0 side of the crop, pixels of the upright frame
    detector_score: np.ndarray  # float32 [R]
    presence: np.ndarray  # float32 [R]
    coefficients: np.ndarray  # float32 [R, 51]
    pose: np.ndarray  # float32 [R, 6], yaw pitch roll u v s inside the crop


class ReadingsBuilder:
    """Collects readings batch by batch; about 300 bytes a row."""

    def __init__(self) -> None:
        self._parts: list[Readings] = []

    def add(
        self,
        frames: list[int],
        boxes: list[TrackedBox],
        squares: list[tuple[float, float, float]],
        said: Reading,
    ) -> None:
        """One batch: frame indices, where faces were expected, which squares were cut, what was said."""
        self._parts.append(
            Readings(
                frame=np.array(frames, np.int32),
                track=np.array([box.track for box in boxes], np.int32),
                box=np.array([box.box for box in boxes], np.float32).reshape(-1, 4),
                square=np.array(squares, np.float64).reshape(-1, 3),
                detector_score=np.array([box.score for box in boxes], np.float32),
                presence=said.presence,
                coefficients=said.coefficients,
                pose=np.concatenate([said.angles, said.place], axis=1),
            )
        )

    def build(self) -> Readings:
        """All rows so far."""
        if not self._parts:
            shapes, three = np.zeros((0, len(ARKIT_NAMES)), np.float32), np.zeros((0, 3), np.float32)
            empty = Reading(shapes, three, three, np.zeros(0, np.float32))
            self.add([], [], [], empty)
        return Readings(
            *(
                np.concatenate([getattr(part, field.name) for part in self._parts])
                for field in dataclasses.fields(Readings)
            )
        )


def main_subject(readings: Readings, present: np.ndarray, count: int) -> np.ndarray:
    """int64 [count]: for every frame the row of `readings` that shows the subject, -1 where none does.

    present: bool [R], rows in which the regressor saw a face.
    """
    chosen = np.full(count, -1, np.int64)
    area = np.prod(readings.box[:, 2:] - readings.box[:, :2], axis=1).astype(np.float64)
    sure = readings.detector_score.astype(np.float64) * readings.presence
    weight = importance(readings.box.astype(np.float64), sure)
    rows_of = {int(t): np.flatnonzero(present & (readings.track == t)) for t in np.unique(readings.track)}
    tracks = sorted(
        (track for track, rows in rows_of.items() if len(rows)),
        key=lambda track: (-weight[rows_of[track]].sum(), track),
    )
    typical = 0.0
    for track in tracks:
        rows = rows_of[track]
        frames = readings.frame[rows]
        free = chosen[frames] < 0
        if typical and (np.mean(~free) > MAX_SHARED or np.median(area[rows]) < MIN_AREA_SHARE * typical):
            continue
        typical = typical or float(np.median(area[rows]))
        chosen[frames[free]] = rows[free]
    return chosen


def subject_table(
    info: ClipInfo, pts: np.ndarray, readings: Readings, presence_threshold: float
) -> CoefficientTable:
    """The table of the main subject: one row per frame of `pts` (int64 [N]), NaN where it was not seen."""
    count = len(pts)
    finite = np.isfinite(readings.coefficients).all(axis=1) & np.isfinite(readings.pose).all(axis=1)
    present = finite & (readings.presence >= presence_threshold)
    rows = main_subject(readings, present, count)
    found = rows >= 0
    rows = rows[found]

    def spread(values: np.ndarray) -> np.ndarray:
        whole = np.full((count, *values.shape[1:]), np.nan, np.float32)
        whole[found] = values
        return whole

    head = head_columns(
        readings.square[rows], readings.pose[rows, :3], readings.pose[rows, 3:], info.width, info.height
    )
    head[:, :3] = unwrap(head[:, :3])
    return CoefficientTable(
        info=info,
        frame_index=np.arange(count, dtype=np.int32),
        pts=pts,
        face_found=found,
        score=spread(readings.detector_score[rows] * readings.presence[rows]),
        box=spread(readings.box[rows]),
        coefficients=spread(readings.coefficients[rows]),
        head=spread(head),
    )
