"""A worker's steps for a long clip: how it is cut, one segment, the join.

In: items as `workflow` hands them out. Out: what lies in the clip's folder below ``segments/``, and
`SegmentPlan` wherever the clip must go on in another way than it began: rotated, or in one piece.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.segments.plan import SegmentPlan
from facecap_batch.capturing.segments.result import CannotJoin
from facecap_batch.coefficients import CoefficientTable
from facecap_batch.errors import BadVideo
from facecap_batch.output.ownership.claim import Claim
from facecap_batch.output.segment_store import SegmentFolder, SegmentRecord, plan_key
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.planner import JoinItem, SegmentItem, WorkItem
from facecap_batch.storage.publish import writing


def cuts_of(
    item: WorkItem,
    config: RunConfig,
    claim: Claim,
    face_capture: FaceCapture,
    progress: Callable[[int], None] | None,
    segment_s: float,
) -> SegmentPlan | None:
    """How the clip is cut, as was decided before or is now; None where it is not."""
    folder = SegmentFolder(claim.output, item.clip.clip_id)
    key = plan_key(item.input_key, config.capture_fingerprint(), segment_s)
    cuts = folder.plan(key)
    if cuts is None:
        cuts = face_capture.plan_segments(item.clip, segment_s, key, progress)
        if cuts is not None:
            _begin(folder, cuts, claim)
    return cuts


def do_segment(
    item: SegmentItem,
    claim: Claim,
    face_capture: FaceCapture,
    progress: Callable[[int], None] | None,
) -> SegmentRecord | SegmentPlan:
    """Capture one segment; where its video is damaged the clip goes on in one piece, which reports
    the damage as a whole."""
    started = time.monotonic()
    folder = SegmentFolder(claim.output, item.clip.clip_id)
    try:
        result = face_capture.capture_segment(item.clip, item.cuts, item.segment, progress)
    except BadVideo:
        return _begin(folder, item.cuts.uncut(), claim)
    with writing(folder.path):
        claim.check()
        return folder.put(result, item.cuts, item.segment, time.monotonic() - started)


def do_join(
    item: JoinItem,
    claim: Claim,
    face_capture: FaceCapture,
    progress: Callable[[int], None] | None,
) -> tuple[CoefficientTable, ...] | SegmentPlan:
    """The clip's raw tables; other cuts where its segments do not make one."""
    folder = SegmentFolder(claim.output, item.clip.clip_id)
    try:
        results = (folder.result(segment.number) for segment in item.cuts.segments)
        return face_capture.join(item.clip, item.cuts, results, progress)
    except CannotJoin as reason:
        return _begin(
            folder,
            item.cuts.rotated(reason.rotation_degrees) if reason.rotation_degrees else item.cuts.uncut(),
            claim,
        )
    except BadVideo:
        return _begin(folder, item.cuts.uncut(), claim)


def _begin(folder: SegmentFolder, cuts: SegmentPlan, claim: Claim) -> SegmentPlan:
    with writing(folder.path):
        claim.check()
        folder.begin(cuts)
    return cuts
