"""What one segment yields for the join, and why segments may not make their clip.

In: nothing but arrays. Out: `SegmentResult`, written by one worker and read by the one that joins; and
`CannotJoin`. Imports no decoder and no image library.
"""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class SegmentResult:
    """What one segment yields. D detections (looked-at frames), F faces in them, P pictures, R crops read."""

    number: int
    picture: str  # what the video says of itself and its first frame shows; the same in every segment
    steady: bool  # nothing odd was met; see `Video.steady`
    notes: tuple[str, ...]
    backends: tuple[str, str]  # of detector and regressor
    pts: np.ndarray  # int64 [N], of every frame decoded, the lead and the look ahead included
    looked: np.ndarray  # int32 [D], frames shown to the detector
    digests: np.ndarray  # uint32 [D], of the pixels where the neighbours decode the same frames, else 0
    face_at: np.ndarray  # int32 [F], rising, 0..D-1
    face_boxes: np.ndarray  # float32 [F, 4], pixels of the upright frame
    face_scores: np.ndarray  # float64 [F]
    sample_at: np.ndarray  # int64 [P], numbers of detections as `OrientationWatcher.observe` counts them
    samples: np.ndarray  # uint8 [P, h, w, 3] RGB, the small pictures of these detections
    sample_boxes: np.ndarray  # float32 [P, 4], the best face there, pixels of the small picture
    sample_scores: np.ndarray  # float64 [P], its score; NaN where there is none
    rows: np.ndarray  # subject.row_type [R], of the segment's own frames
    boxes: np.ndarray  # float64 [R, 4], the boxes of `rows` unrounded


class CannotJoin(Exception):
    """These segments do not make the clip. With a `turn`, it should be cut again, turned; else left whole."""

    def __init__(self, reason: str, turn: int = 0) -> None:
        super().__init__(reason)
        self.turn = turn  # degrees counterclockwise
