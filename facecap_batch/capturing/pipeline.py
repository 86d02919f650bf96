"""Capture: one clip to its raw table. Plain Python; knows nothing of Ray, workers or folders.

In: a clip of the manifest and two engines. Out: a `CoefficientTable` with one row for every decoded frame.
The way of a frame: decoded once; every n-th is shown to the detector as a small image; once two detections
more are known the tracker gives its boxes, crops are cut from its full-resolution pixels, and it is let go.
Frames held at any time are bounded by `CaptureSettings.held_bytes`; what is kept of a clip for its whole
length are about 300 bytes per frame and face. Which face is the subject is decided at the end (`subject`).
Only a clip that turns out to lie on its side is decoded again from its beginning.
"""

from __future__ import annotations

import array
import dataclasses
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from facecap_batch.capturing.crop_reader import CropReader
from facecap_batch.capturing.detector import FOLLOW_SHARE, Detection, Detector
from facecap_batch.capturing.orientation import OrientationWatcher
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.capturing.subject import subject_table
from facecap_batch.capturing.tracker import LOOKAHEAD, TrackedBox, Tracker
from facecap_batch.coefficients import ClipInfo, CoefficientTable
from facecap_batch.engines.batching import Engine
from facecap_batch.video.decoder import Video, VideoInfo
from facecap_batch.video.frame import Frame

if TYPE_CHECKING:
    from facecap_batch.clip import Clip


def capture_clip(
    clip: Clip,
    detector: Engine,
    regressor: Engine,
    settings: CaptureSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> CoefficientTable:
    """Raw table of the main subject of `clip`.

    `progress` is called with the number of frames finished so far, every `detect_every` frames or so. `score`
    is the detector's (interpolated) times the regressor's presence; rows in which the subject was not seen
    hold NaN, as do the coefficients of parts that something hides. The metadata hold `notes`: what was odd
    about the file, one a line, empty if nothing was. Raises BadVideo, NoVideoStream,
    DecoderUnavailable, EngineMismatch.
    """
    settings = settings or CaptureSettings()
    finder, reader = networks(detector, regressor, settings)
    watch = OrientationWatcher(finder, reader) if settings.try_turns else None
    turn = 0
    while True:
        with open_video(clip, settings) as video:
            passage = CapturePass(finder, reader, settings, watch, turn, progress)
            found = passage.run(video)
            if not found:
                pts = np.array(passage.pts, np.int64)
                info = clip_info(clip.clip_id, clip.source or clip.path, video.info, pts, turn)
                table = subject_table(
                    info,
                    pts,
                    passage.crops.readings.take(),
                    reader.presence_threshold,
                    reader.head_frame,
                    reader.extra_names,
                )
                return table.replace(metadata={"notes": "\n".join(video.notes)})
        turn, watch = found, None


def open_video(
    clip: Clip, settings: CaptureSettings, start: Fraction | None = None, first_index: int = 0
) -> Video:
    """The frames of `clip` from `start` on (None: from its own start), the first one numbered `first_index`.

    Raises BadVideo, NoVideoStream, DecoderUnavailable.
    """
    return Video(
        clip.path,
        clip.start if start is None else start,
        clip.end,
        settings.decode_threads,
        settings.damage,
        settings.hwaccel,
        first_index,
    )


def networks(detector: Engine, regressor: Engine, settings: CaptureSettings) -> tuple[Detector, Regressor]:
    """Both engines with what `settings` say of their use. Raises EngineMismatch."""
    finder = Detector(detector, settings.detect_batch)
    if settings.min_score is not None:
        finder.score_threshold = settings.min_score
    return finder, Regressor(regressor, settings.regress_batch)


def clip_info(clip_id: str, source: str, video: VideoInfo, pts: np.ndarray, turn: int = 0) -> ClipInfo:
    """What is recorded of a clip with frames at `pts`, turned by `turn` degrees beyond what its file asks."""
    sideways = turn in (90, 270)
    steps = np.diff(pts)
    # Steps of a constant rate differ by at most one unit, the rounding to the time base.
    variable = bool(len(steps) and steps.max() - steps.min() > 1)
    return ClipInfo(
        clip_id=clip_id,
        source=source,
        width=video.height if sideways else video.width,
        height=video.width if sideways else video.height,
        fps=video.fps if variable else _constant_rate(video, pts),
        time_base=video.time_base,
        rotation=video.orientation.rotated(turn).rotation,
        variable_rate=variable,
    )


def _constant_rate(video: VideoInfo, pts: np.ndarray) -> Fraction:
    """Frames per second of evenly spaced frames: the container's word where the frames bear it out.

    A container's average also counts how long its last frame is held, and frames that an edit list hides.
    """
    span = int(pts[-1] - pts[0]) if len(pts) > 1 else 0
    if span <= 0:
        return video.fps
    promised = (len(pts) - 1) / (video.fps * video.time_base)
    return video.fps if abs(promised - span) <= 1 else (len(pts) - 1) / (span * video.time_base)


@dataclasses.dataclass(frozen=True)
class BatchingLimits:
    """How often is detected and read, so that no more frames than allowed are held."""

    detect_every: int  # frames
    regress_batch: int  # crops

    @staticmethod
    def of(settings: CaptureSettings, frame_bytes: int) -> BatchingLimits:
        """Detect more often, and regress sooner, where so few frames may be held that waiting is too dear."""
        frames = max(1, settings.held_bytes // max(1, frame_bytes))
        waiting = frames * 3 // 4 // (LOOKAHEAD + 1 + settings.detect_batch)
        return BatchingLimits(
            max(1, min(settings.detect_every, waiting)), max(1, min(settings.regress_batch, frames // 4))
        )


@dataclasses.dataclass(frozen=True)
class DetectedFrame:
    """What the detector saw in one frame."""

    frame_index: int
    image: np.ndarray  # uint8 [h, w, 3] RGB, the small picture that was looked at
    scale: float  # small pixels per pixel of the upright frame
    faces: list[Detection]  # best first, pixels of the small picture

    def in_frame(self) -> list[Detection]:
        """The faces in pixels of the upright frame."""
        return [face.scaled(1 / self.scale) for face in self.faces]


class CapturePass:
    """One way through a clip's frames, in one orientation."""

    def __init__(
        self,
        finder: Detector,
        reader: Regressor,
        settings: CaptureSettings,
        watch: OrientationWatcher | None,
        turn: int,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._finder, self._settings = finder, settings
        self._watch, self._turn, self._progress = watch, turn, progress
        self._tracker = Tracker(finder.score_threshold)
        self._intervals: deque[list[Frame]] = deque()  # each begins with a detected frame
        self._emitted = 0  # number of the first interval in `_intervals`
        self._to_detect: list[tuple[int, np.ndarray, float]] = []  # frame index, small image, its scale
        self._every = settings.detect_every
        self._done = 0
        self.pts = array.array("q")
        self.crops = CropReader(reader, settings.refine_above, settings.regress_batch)

    def run(self, video: Video) -> int:
        """Take every frame; return 0, or, once it is known, the turn in which the clip should be taken."""
        for frame in video.frames():
            if turn := self._take(frame):
                return turn
        return self._end()

    def _end(self) -> int:
        """The last frame was taken: settle and read what is left; return as `run`."""
        if len(self._intervals[-1]) > 1:
            self._begin_interval(self._intervals[-1].pop())  # the last frame: nothing is extrapolated
        turn = self._detect()
        if not turn and self._watch is not None:
            turn = self._watch.decide()
        if turn:
            return turn
        while self._intervals:
            self._emit()
        self.crops.finish()
        return 0

    def _take(self, frame: Frame) -> int:
        """Detect or hold one frame; return the turn as soon as it is known, else 0."""
        frame = frame.rotated(self._turn)
        if not self.pts:
            self._set_pace(BatchingLimits.of(self._settings, frame.nbytes))
        self.pts.append(frame.pts)
        if frame.index % self._every:
            self._intervals[-1].append(frame)
            return 0
        if len(self._to_detect) >= self._settings.detect_batch and (turn := self._detect()):
            return turn
        self._begin_interval(frame)
        return 0

    def _set_pace(self, pace: BatchingLimits) -> None:
        self._every, self.crops.most_waiting = pace.detect_every, pace.regress_batch

    def _begin_interval(self, frame: Frame) -> None:
        self._intervals.append([frame])
        self._to_detect.append((frame.index, *frame.small(self._finder.size)))

    def _detect(self) -> int:
        """Show the waiting images to the detector; emit every interval whose boxes are now settled."""
        waiting, self._to_detect = self._to_detect, []
        threshold = self._finder.score_threshold * FOLLOW_SHARE
        found = self._finder.detect([image for _, image, _ in waiting], threshold)
        for (index, image, scale), faces in zip(waiting, found, strict=True):
            if turn := self._saw(DetectedFrame(index, image, scale, faces)):
                return turn
            if self._tracker.steps > self._emitted + LOOKAHEAD:
                self._emit()
        return 0

    def _saw(self, looked: DetectedFrame) -> int:
        """Take note of one detection; return the turn as soon as it is known, else 0."""
        if self._watch is not None:
            turn = self._watch.observe(self._tracker.steps, looked.image, looked.faces)
            if turn:
                return turn
        self._tracker.update(looked.in_frame())
        return 0

    def _emit(self) -> None:
        """Cut the crops of the oldest interval and let its frames go."""
        frames = self._intervals.popleft()
        first = frames[0].index
        following = self._intervals[0][0].index if self._intervals else first
        places = self._tracker.boxes_between(
            self._emitted, [frame.index for frame in frames], first, following, self._settings.max_faces
        )
        self._emitted += 1
        for frame, boxes in zip(frames, places, strict=True):
            for box in boxes:
                self._crop(frame, box)
        self._done += len(frames)
        if self._progress is not None:
            self._progress(self._done)

    def _crop(self, frame: Frame, box: TrackedBox) -> None:
        self.crops.add(frame, box)
