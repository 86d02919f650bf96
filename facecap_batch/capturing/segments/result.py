"""What one segment yields for the join, and why segments may not make up their clip.

In: nothing but arrays. Out: `SegmentResult`, written by one worker and read by the one that joins; and
`CannotJoin`. Imports no decoder and no image library.
"""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentResult:
    """What one segment yields.

    N frames decoded, D of them detected, F faces in these, S samples for the orientation, R crops read, C
    shots that begin.
    """

    number: int
    video_info: str  # what the container reports, as text; the same in every segment
    steady: bool  # nothing odd was met; see `Video.steady`
    notes: tuple[str, ...]
    backends: tuple[str, str]  # of detector and regressor
    pts: np.ndarray  # int64 [N], of every frame decoded, preroll and lookahead included
    detected: np.ndarray  # int32 [D], index of every detected frame
    digests: np.ndarray  # uint32 [D], of the pixels where the neighbours decode the same frames, else 0
    face_at: np.ndarray  # int32 [F], rising, 0..D-1
    face_boxes: np.ndarray  # float32 [F, 4], pixels of the upright frame
    face_scores: np.ndarray  # float64 [F]
    face_looks: np.ndarray  # float32 [F, ...], as `Detection.look`; none where faces are not told apart
    sample_at: np.ndarray  # int64 [S], numbers of detections as `OrientationWatcher.observe` counts them
    samples: np.ndarray  # uint8 [S, h, w, 3] RGB, the small images of these detections
    sample_boxes: np.ndarray  # float32 [S, 4], the best face there, pixels of the small image
    sample_scores: np.ndarray  # float64 [S], its score; NaN where there is none
    rows: np.ndarray  # readings.row_type [R], of the core frames
    boxes: np.ndarray  # float64 [R, 4], the boxes of `rows` unrounded
    cuts: np.ndarray  # int64 [C], rising, first frames of shots; none where they are not looked for


class CannotJoin(Exception):
    """These segments do not make up the clip.

    With a rotation the clip has to be captured again, turned by it; without one it stays in one piece.
    """

    def __init__(self, reason: str, rotation_degrees: int = 0) -> None:
        super().__init__(reason)
        self.rotation_degrees = rotation_degrees  # counterclockwise
