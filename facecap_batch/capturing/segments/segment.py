"""Capture of one segment of a clip, to what the join needs.

In: a clip, its plan, one of its segments. Out: a `SegmentResult`: the times of its frames, what the detector
found, and the readings of the faces that a tracker expects which has seen only this segment and its preroll.
Whether the tracker of the whole clip expects the same boxes is checked by `join`, which reads again what
differs.
"""

from __future__ import annotations

import array
import zlib
from collections.abc import Callable

import numpy as np

from facecap_batch.capturing.capture_pass import CapturePass, DetectedFrame, PassRange, lookahead
from facecap_batch.capturing.context import CaptureContext
from facecap_batch.capturing.detector import Detection
from facecap_batch.capturing.orientation import sample_stride
from facecap_batch.capturing.segments.cut_points import WARM_UP
from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import SegmentResult
from facecap_batch.capturing.tracker import TrackedBox
from facecap_batch.clip import Clip
from facecap_batch.video.decoder import Video
from facecap_batch.video.frame import Frame


def open_segment(context: CaptureContext, clip: Clip, segment: Segment) -> Video:
    """The video from the segment's preroll on, its frames numbered as in the whole clip. Raises BadVideo."""
    return context.open_video(clip, segment.start, segment.preroll_start)


def capture_segment(
    context: CaptureContext,
    clip: Clip,
    plan: SegmentPlan,
    segment: Segment,
    progress: Callable[[int], None] | None = None,
) -> SegmentResult:
    """Decode `segment` of `clip` with its surroundings, detect and read. Raises BadVideo."""
    # The boxes of the last core frame depend on no later detection.
    after = lookahead(context.settings)
    last = None if segment.end is None else segment.end + (after - 1) * plan.detect_every
    recorder = _SegmentRecorder(plan, segment, after)
    capture_pass = CapturePass(
        context,
        plan.rotation_degrees,
        progress=progress,
        frames=PassRange(segment.first, segment.end, last, plan.detect_every),
        observer=recorder,
    )
    with open_segment(context, clip, segment) as video:
        capture_pass.run(video)
        backends = (context.detector.engine.backend, context.regressor.engine.backend)
        return recorder.result(video, capture_pass, backends)


class _SegmentRecorder:
    """Keeps of a pass through a segment what the join needs besides the readings."""

    def __init__(self, plan: SegmentPlan, segment: Segment, lookahead: int) -> None:
        """`lookahead`: detections after a frame that its boxes may depend on."""
        self._plan, self._segment, self._lookahead = plan, segment, lookahead
        self._detected: list[tuple[int, list[Detection]]] = []  # frame, faces in its pixels
        self._digests: list[int] = []
        self._samples: list[tuple[int, DetectedFrame]] = []
        self._boxes = array.array("d")

    def before_detection(self, frame: Frame) -> None:
        self._digests.append(zlib.crc32(frame.rgb().data) if self._is_shared(frame.index) else 0)

    def after_detection(self, detected: DetectedFrame) -> None:
        number = self._segment.preroll_start // self._plan.detect_every + len(self._detected)
        self._detected.append((detected.frame_index, detected.in_frame()))
        wanted = not self._plan.rotation_known and number % sample_stride(number) == 0
        if wanted and self._segment.is_core(detected.frame_index):
            self._samples.append((number, detected))

    def before_crop(self, box: TrackedBox) -> None:
        self._boxes.extend(box.box)

    def _is_shared(self, index: int) -> bool:
        """True for frames that a neighbour decodes, too."""
        segment, every = self._segment, self._plan.detect_every
        with_earlier = segment.number > 0 and index < segment.first + self._lookahead * every
        with_later = segment.end is not None and index >= segment.end - WARM_UP * every
        return with_earlier or with_later

    def result(self, video: Video, capture_pass: CapturePass, backends: tuple[str, str]) -> SegmentResult:
        """Everything that was found, once the pass has run through `video`."""
        faces = [(at, face) for at, (_, found) in enumerate(self._detected) for face in found]
        looks = [face.look for _, face in faces if face.look is not None]
        if not video.steady:  # it will not be joined, and its samples may have several shapes
            self._samples = []
        best = [max(sample.faces, key=lambda face: face.score, default=None) for _, sample in self._samples]
        images = [sample.image for _, sample in self._samples]
        return SegmentResult(
            number=self._segment.number,
            video_info=repr(video.info),
            steady=video.steady,
            notes=video.notes,
            backends=backends,
            pts=capture_pass.pts(),
            detected=np.array([index for index, _ in self._detected], np.int32),
            digests=np.array(self._digests, np.uint32),
            face_at=np.array([at for at, _ in faces], np.int32),
            face_boxes=np.array([face.box for _, face in faces], np.float32).reshape(-1, 4),
            face_scores=np.array([face.score for _, face in faces], np.float64),
            face_looks=np.array(looks, np.float32) if looks else np.zeros(0, np.float32),
            sample_at=np.array([number for number, _ in self._samples], np.int64),
            samples=np.array(images, np.uint8) if images else np.zeros((0, 0, 0, 3), np.uint8),
            sample_boxes=np.array([np.zeros(4) if face is None else face.box for face in best], np.float32),
            sample_scores=np.array([np.nan if face is None else face.score for face in best], np.float64),
            rows=capture_pass.take_readings(),
            boxes=np.array(self._boxes, np.float64).reshape(-1, 4),
            cuts=capture_pass.everyone().cuts,
        )
