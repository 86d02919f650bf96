"""Whether two detectors find the same faces at the same positions.

In: what each found in the same images, after non-maximum suppression. Out: a `FaceParity`: faces that both
have, that one lacks, and how far their boxes are apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.capturing.detector import Detection, iou

SAME_FACE_IOU = 0.5


@dataclasses.dataclass(frozen=True)
class FaceLimit:
    """How far two detectors may be apart."""

    corner: float  # largest difference of a box's edge, pixels of the image
    share: float  # the same as a share of the box's longer side; the larger of the two counts
    score: float  # difference of a score; a face that close to the threshold may be missing
    lost: float  # share of the faces that may be missing or extra


# fp32: a tenth of a pixel. bf16, int8: a quarter of a face, where scores change so much that another of its
# anchors is the surest; that moves a crop by less than what it is cut again for
# (`CaptureSettings.refine_above`). fp16 lies between.
FACE_LIMITS = {
    "fp32": FaceLimit(corner=0.1, share=0.0, score=1e-4, lost=0.0),
    "fp16": FaceLimit(corner=0.1, share=0.02, score=0.05, lost=0.01),
    "bf16": FaceLimit(corner=0.1, share=0.25, score=0.05, lost=0.01),
    "int8": FaceLimit(corner=0.1, share=0.25, score=0.2, lost=0.03),
}


@dataclasses.dataclass(frozen=True)
class FaceParity:
    """The faces of a reference and of another detector."""

    images: int
    faces: int  # of the reference
    matched: int
    missing: int  # only the reference has, too sure to be on the threshold's edge
    extra: int  # only the other has, likewise
    max_corner: float  # pixels of the image, of matched faces
    mean_corner: float
    max_share: float  # of the face's longer side
    max_score: float  # difference of the scores
    worst_item: int  # the image with the largest difference

    def within(self, limit: FaceLimit) -> bool:
        """Whether it stays inside `limit`."""
        return (
            self.missing + self.extra <= limit.lost * self.faces
            and (self.max_corner <= limit.corner or self.max_share <= limit.share)
            and self.max_score <= limit.score
        )


def face_limit_of(precision: str) -> FaceLimit:
    """What is allowed at "fp32", "fp16", "bf16" or "int8"."""
    return FACE_LIMITS[precision]


def compare_faces(
    expected: Sequence[Sequence[Detection]],
    found: Sequence[Sequence[Detection]],
    threshold: float,
    margin: float,
    most: int,
) -> FaceParity:
    """Match the faces of each image, best first, and measure them.

    A face that only one has is not counted where its score lies less than `margin` above what the other would
    have kept it for: `threshold`, or its last face's score where it has the `most` that are kept.
    """
    faces = matched = missing = extra = worst = 0
    corners: list[float] = []
    max_share = max_score = 0.0
    for item, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
        faces += len(ours)
        left = list(theirs)
        for face in ours:
            overlap = iou(face.box, np.stack([other.box for other in left])) if left else np.zeros(0)
            if not left or overlap.max() < SAME_FACE_IOU:
                missing += face.score >= _least(theirs, threshold, most) + margin
                continue
            other = left.pop(int(overlap.argmax()))
            matched += 1
            corner = float(np.abs(face.box - other.box).max())
            if not corners or corner > max(corners):
                worst = item
            corners.append(corner)
            side = float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))
            max_share = max(max_share, corner / side)
            max_score = max(max_score, abs(face.score - other.score))
        extra += sum(other.score >= _least(ours, threshold, most) + margin for other in left)
    return FaceParity(
        images=len(expected),
        faces=faces,
        matched=matched,
        missing=missing,
        extra=extra,
        max_corner=max(corners, default=0.0),
        mean_corner=float(np.mean(corners)) if corners else 0.0,
        max_share=max_share,
        max_score=max_score,
        worst_item=worst,
    )


def _least(kept: Sequence[Detection], threshold: float, most: int) -> float:
    """The score from which a face would have been among `kept`."""
    return kept[-1].score if len(kept) >= most else threshold
