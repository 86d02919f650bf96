"""Capture in pieces: where a clip is cut, and one segment of it to what the join needs.

In: a clip of the manifest and two engines. Out: `SegmentPlan`, and for each segment a `SegmentResult`: when
its frames are shown, what the detector saw, and what the regressor said of the faces that a tracker expects
who knows the segment and its lead alone. Whether the whole clip's tracker expects them at the same places is
found out by the join (`joining`), which reads again what differs.
"""

from __future__ import annotations

import array
import dataclasses
import zlib
from collections.abc import Callable

import numpy as np

from facecap_batch.capturing.detector import FOLLOW_SHARE, Detection, Detector
from facecap_batch.capturing.orientation import SAMPLES, OrientationWatcher, sample_stride
from facecap_batch.capturing.pipeline import (
    BatchingLimits,
    CapturePass,
    DetectedFrame,
    networks,
    open_video,
)
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.capturing.segments.cut_points import (
    WARM_UP,
    cut,
    may_be_long,
    packet_times,
)
from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import SegmentResult
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.capturing.tracker import LOOKAHEAD, TrackedBox
from facecap_batch.clip import Clip
from facecap_batch.engines.batching import Engine
from facecap_batch.errors import BadVideo
from facecap_batch.video.decoder import Video
from facecap_batch.video.frame import Frame


def survey(
    clip: Clip,
    detector: Engine,
    regressor: Engine,
    settings: CaptureSettings,
    segment_s: float,
    key: str,
    progress: Callable[[int], None] | None = None,
) -> SegmentPlan | None:
    """Where to cut `clip`, None where it stays in one piece. Raises EngineMismatch.

    A file that cannot be read is left in one piece, too: capturing it tells what is wrong. `progress` is
    called with 0 as a sign of life.
    """
    finder, reader = networks(detector, regressor, settings)
    try:
        if not may_be_long(clip, segment_s):
            return None
        times = packet_times(clip, progress)
        if times is None or len(times.keyframes) < 2:
            return None
        with open_video(clip, settings) as video:
            detect_every, turn, known = _first_look(video, finder, reader, settings)
        segments = cut(clip, times, detect_every, segment_s)
    except BadVideo:
        return None
    return SegmentPlan(key, detect_every, turn, known, len(times.pts), segments) if segments else None


def _first_look(
    video: Video, finder: Detector, reader: Regressor, settings: CaptureSettings
) -> tuple[int, int, bool]:
    """Frames between detections; the turn as far as the first detections tell it, and whether they do."""
    detect_every = settings.detect_every
    watch = OrientationWatcher(finder, reader)
    for frame in video.frames():
        if frame.index == 0:
            detect_every = BatchingLimits.of(settings, frame.nbytes).detect_every
            if not settings.try_turns:
                return detect_every, 0, True
        if frame.index % detect_every:
            continue
        number = frame.index // detect_every
        image, _ = frame.small(finder.size)
        (faces,) = finder.detect([image], finder.score_threshold * FOLLOW_SHARE)
        turn = watch.observe(number, image, faces)
        if watch.settled:
            return detect_every, turn, True
        if number + 1 == SAMPLES:
            break
    return detect_every, 0, False


def open_segment(clip: Clip, segment: Segment, settings: CaptureSettings) -> Video:
    """The video from the segment's lead on, its frames numbered as in the whole clip. Raises BadVideo."""
    return open_video(clip, settings, segment.start, segment.lead)


def capture_segment(
    clip: Clip,
    cuts: SegmentPlan,
    segment: Segment,
    detector: Engine,
    regressor: Engine,
    settings: CaptureSettings,
    progress: Callable[[int], None] | None = None,
) -> SegmentResult:
    """Decode `segment` of `clip` with its surroundings, detect and read. Raises BadVideo."""
    finder, reader = networks(detector, regressor, settings)
    with open_segment(clip, segment, settings) as video:
        passage = _SegmentPass(finder, reader, settings, cuts, segment, progress)
        passage.run(video)
        return passage.result(video, (detector.backend, regressor.backend))


class _SegmentPass(CapturePass):
    """The way through a segment: read are its own frames, remembered is what the join needs."""

    def __init__(
        self,
        finder: Detector,
        reader: Regressor,
        settings: CaptureSettings,
        cuts: SegmentPlan,
        segment: Segment,
        progress: Callable[[int], None] | None,
    ) -> None:
        super().__init__(finder, reader, settings, None, cuts.turn, progress)
        self._cuts, self._segment = cuts, segment
        self._looked: list[tuple[int, list[Detection]]] = []  # frame, faces in its pixels
        self._digests: list[int] = []
        self._samples: list[tuple[int, DetectedFrame]] = []
        self._boxes = array.array("d")

    def run(self, video: Video) -> int:
        """Take every frame up to the detections that the last own frame's boxes depend on."""
        end = self._segment.end
        stop = None if end is None else end + (LOOKAHEAD - 1) * self._cuts.detect_every
        for frame in video.frames():
            self._take(frame)
            if frame.index == stop:
                self._detect()
                self.crops.finish()
                return 0
        return self._end()

    def _set_pace(self, pace: BatchingLimits) -> None:
        super()._set_pace(dataclasses.replace(pace, detect_every=self._cuts.detect_every))

    def _begin_interval(self, frame: Frame) -> None:
        super()._begin_interval(frame)
        self._digests.append(zlib.crc32(frame.rgb().data) if self._is_shared(frame.index) else 0)

    def _saw(self, looked: DetectedFrame) -> int:
        number = self._segment.lead // self._cuts.detect_every + len(self._looked)
        self._looked.append((looked.frame_index, looked.in_frame()))
        wanted = not self._cuts.turn_known and number % sample_stride(number) == 0
        if wanted and self._is_own(looked.frame_index):
            self._samples.append((number, looked))
        return super()._saw(looked)

    def _crop(self, frame: Frame, box: TrackedBox) -> None:
        if self._is_own(frame.index):
            self._boxes.extend(box.box)
            super()._crop(frame, box)

    def _is_own(self, index: int) -> bool:
        return index >= self._segment.first and (self._segment.end is None or index < self._segment.end)

    def _is_shared(self, index: int) -> bool:
        """True for frames that a neighbour decodes, too."""
        segment, every = self._segment, self._cuts.detect_every
        with_earlier = segment.number > 0 and index < segment.first + LOOKAHEAD * every
        with_later = segment.end is not None and index >= segment.end - WARM_UP * every
        return with_earlier or with_later

    def result(self, video: Video, backends: tuple[str, str]) -> SegmentResult:
        """Everything that was found, once `run` has ended."""
        faces = [(at, face) for at, (_, found) in enumerate(self._looked) for face in found]
        best = [max(looked.faces, key=lambda face: face.score, default=None) for _, looked in self._samples]
        images = [looked.image for _, looked in self._samples]
        return SegmentResult(
            number=self._segment.number,
            picture=repr(video.info),
            steady=video.steady,
            notes=video.notes,
            backends=backends,
            pts=np.array(self.pts, np.int64),
            looked=np.array([index for index, _ in self._looked], np.int32),
            digests=np.array(self._digests, np.uint32),
            face_at=np.array([at for at, _ in faces], np.int32),
            face_boxes=np.array([face.box for _, face in faces], np.float32).reshape(-1, 4),
            face_scores=np.array([face.score for _, face in faces], np.float64),
            sample_at=np.array([number for number, _ in self._samples], np.int64),
            samples=np.array(images, np.uint8) if images else np.zeros((0, 0, 0, 3), np.uint8),
            sample_boxes=np.array([np.zeros(4) if face is None else face.box for face in best], np.float32),
            sample_scores=np.array([np.nan if face is None else face.score for face in best], np.float64),
            rows=self.crops.readings.take(),
            boxes=np.array(self._boxes, np.float64).reshape(-1, 4),
        )
