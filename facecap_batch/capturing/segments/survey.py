"""Whether a clip is cut, and how: its length, its packets, and a first look at its orientation.

In: a clip, the length that a segment should have. Out: a `SegmentPlan`, or None for a clip that stays in one
piece. The cut points come from `cut_points`.
"""

from __future__ import annotations

from collections.abc import Callable

from facecap_batch.capturing.capture_pass import BatchingLimits
from facecap_batch.capturing.context import CaptureContext
from facecap_batch.capturing.orientation import SAMPLES, OrientationWatcher
from facecap_batch.capturing.segments.cut_points import cut, may_be_long, packet_times
from facecap_batch.capturing.segments.plan import SegmentPlan
from facecap_batch.clip import Clip
from facecap_batch.errors import BadVideo
from facecap_batch.video.decoder import Video


def plan_segments(
    context: CaptureContext,
    clip: Clip,
    segment_s: float,
    key: str,
    progress: Callable[[int], None] | None = None,
) -> SegmentPlan | None:
    """Where to cut `clip`.

    Args:
        context: Networks and settings.
        clip: The clip; a file that cannot be read is not cut: capturing it reports what is wrong.
        segment_s: Seconds that a segment should last; shorter clips, and those up to half as long again,
            are not cut.
        key: Digest of the input and configuration, kept in the plan.
        progress: Called with 0 as a sign of life.

    Returns:
        The plan; None where the clip stays in one piece.
    """
    limits = context.settings.limits
    try:
        if not may_be_long(clip, segment_s, limits):
            return None
        times = packet_times(clip, progress, limits)
        if times is None or len(times.keyframes) < 2:
            return None
        with context.open_video(clip) as video:
            detect_every, rotation, known = _first_look(context, video)
            if not video.steady:
                return None
        segments = cut(clip, times, detect_every, segment_s, limits)
    except BadVideo:
        return None
    return SegmentPlan(key, detect_every, rotation, known, len(times.pts), segments) if segments else None


def _first_look(context: CaptureContext, video: Video) -> tuple[int, int, bool]:
    """Frames between detections; the rotation as far as the first detections show it, and whether they do."""
    settings = context.settings
    detect_every = settings.detect_every
    watcher = OrientationWatcher(context.detector, context.regressor)
    for frame in video.frames():
        if frame.index == 0:
            detect_every = BatchingLimits.of(settings, frame.nbytes).detect_every
            if not settings.try_turns:
                return detect_every, 0, True
        if frame.index % detect_every:
            continue
        number = frame.index // detect_every
        image, _ = frame.small(context.finder.image_side)
        (faces,) = context.finder.find([image])
        rotation = watcher.observe(number, image, faces)
        if watcher.settled:
            return detect_every, rotation, True
        if number + 1 == SAMPLES:
            break
    return detect_every, 0, False
