"""One pass through the frames of a clip, or of a segment of it, in one orientation.

In: an open video. Out: the time of every frame, and a row for every face that was read. A frame is decoded
once; every n-th is shown to the detector as a small image; once two more detections are known the tracker
gives its boxes, crops are cut from its full-resolution pixels, and it is released. The frames held at any
time are bounded by `CaptureSettings.held_bytes`.

Where several people are wanted, the pass also notes how every face looks and where the picture is cut. A cut
is known one detection later, so tracker and boxes wait for one detection more.

A `PassObserver` sees what the pass sees; a segment is captured by the same pass, over a `PassRange`.
"""

from __future__ import annotations

import array
import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from facecap_batch.capturing.context import CaptureContext
from facecap_batch.capturing.crop_reader import CropReader
from facecap_batch.capturing.detector import Detection
from facecap_batch.capturing.orientation import OrientationWatcher
from facecap_batch.capturing.people.matcher import PeopleMatcher
from facecap_batch.capturing.people.shots import ShotFinder, change_of
from facecap_batch.capturing.people.tables import Everyone
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.capturing.tracker import LOOKAHEAD, TrackedBox, Tracker
from facecap_batch.video.decoder import Video
from facecap_batch.video.frame import Frame
from facecap_batch.video.orientation import Orientation


def lookahead(settings: CaptureSettings) -> int:
    """Detections after a frame that its boxes may depend on."""
    return LOOKAHEAD + 1 if settings.several else LOOKAHEAD


@dataclasses.dataclass(frozen=True)
class BatchingLimits:
    """How often the pass detects and reads, so that no more frames than allowed are held."""

    detect_every: int  # frames
    regress_batch: int  # crops

    @staticmethod
    def of(settings: CaptureSettings, frame_bytes: int) -> BatchingLimits:
        """Detect more often, and regress sooner, where only few frames of `frame_bytes` may be held."""
        frames = max(1, settings.held_bytes // max(1, frame_bytes))
        waiting = frames * 3 // 4 // (lookahead(settings) + 1 + settings.detect_batch)
        return BatchingLimits(
            max(1, min(settings.detect_every, waiting)), max(1, min(settings.regress_batch, frames // 4))
        )


@dataclasses.dataclass(frozen=True, eq=False)
class DetectedFrame:
    """What the detector found in one frame."""

    frame_index: int
    image: np.ndarray  # uint8 [h, w, 3] RGB, the small image that was looked at
    scale: float  # small pixels per pixel of the upright frame
    faces: list[Detection]  # best first, pixels of the small image

    def in_frame(self) -> list[Detection]:
        """The faces in pixels of the upright frame."""
        return [face.scaled(1 / self.scale) for face in self.faces]


@dataclasses.dataclass(frozen=True)
class PassRange:
    """Which frames a pass reads, numbered as in the whole clip."""

    first: int = 0  # first frame whose faces are read
    end: int | None = None  # first frame whose faces are not read any more; None: all are
    last_decoded: int | None = None  # the pass ends after this frame; None: with the video
    detect_every: int | None = None  # frames from one detection to the next; None: as the settings allow

    def is_core(self, frame_index: int) -> bool:
        """True for a frame whose faces are read."""
        return frame_index >= self.first and (self.end is None or frame_index < self.end)


class PassObserver(Protocol):
    """Sees what a pass sees, in the order of frames."""

    def before_detection(self, frame: Frame) -> None:
        """`frame` (upright) is going to be given to the detector."""
        ...

    def after_detection(self, detected: DetectedFrame) -> None:
        """The detector has given its result for a frame."""
        ...

    def before_crop(self, box: TrackedBox) -> None:
        """The face at `box` is going to be cut out of its frame and read."""
        ...


class NoObserver:
    """Sees nothing."""

    def before_detection(self, frame: Frame) -> None:
        return

    def after_detection(self, detected: DetectedFrame) -> None:
        return

    def before_crop(self, box: TrackedBox) -> None:
        return


class CapturePass:
    """One pass through a clip's frames, in one orientation; `run` it once."""

    def __init__(
        self,
        context: CaptureContext,
        rotation_degrees: int = 0,
        orientation_watcher: OrientationWatcher | None = None,
        progress: Callable[[int], None] | None = None,
        frames: PassRange | None = None,
        observer: PassObserver | None = None,
    ) -> None:
        """
        Args:
            context: Networks, settings, timer.
            rotation_degrees: By which every frame is turned counterclockwise, beyond what the file asks for.
            orientation_watcher: Decides whether another pass is needed; None: this pass is the last.
            progress: Called with the number of frames finished so far.
            frames: What to read; None: everything.
            observer: Sees what the pass sees.
        """
        self._context, self._settings = context, context.settings
        self._rotation_degrees = rotation_degrees
        self._watcher, self._progress = orientation_watcher, progress
        self._range, self._observer = frames or PassRange(), observer or NoObserver()
        self._matcher = PeopleMatcher() if context.settings.several else None
        self._tracker = self._new_tracker(0)
        self._shots = self._new_shots()
        self._undecided: list[Detection] | None = None  # the newest faces, before which may be a cut
        self._cuts = array.array("q")  # first frames of shots
        self._intervals: deque[list[Frame]] = deque()  # each begins with a detected frame
        self._emitted = 0  # number of the first interval in `_intervals`
        self._watched = 0  # detections that the watcher has seen
        self._view: tuple[int, int, Orientation] | None = None  # of the frames held
        self._to_detect: list[tuple[int, np.ndarray, float]] = []  # frame index, small image, its scale
        self._detect_every = self._range.detect_every or self._settings.detect_every
        self._done = 0
        self._pts = array.array("q")
        self._crops = CropReader(context, self._settings.regress_batch)

    def run(self, video: Video) -> int:
        """Take every frame of the range.

        Returns:
            0, or, as soon as it is known, by how many degrees counterclockwise the clip has to be turned: the
            pass is then of no use. Raises BadVideo.
        """
        for frame in self._context.frames(video):
            if rotation := self._take(frame):
                return rotation
            if frame.index == self._range.last_decoded:
                self._detect()
                self._crops.finish()
                return 0
        return self._end()

    def pts(self) -> np.ndarray:
        """int64 [N]: pts of every frame decoded."""
        return np.array(self._pts, np.int64)

    def everyone(self) -> Everyone:
        """The tracks and the cuts of the frames so far; nothing where people are not told apart."""
        sightings = () if self._matcher is None else tuple(self._matcher.sightings.values())
        return Everyone(sightings, np.array(self._cuts, np.int64))

    def take_readings(self) -> np.ndarray:
        """Every face read, `readings.row_type` [R]; to be called once, after `run`."""
        return self._crops.readings.take()

    def _end(self) -> int:
        """The last frame was taken: settle and read what is left; return as `run`."""
        rotation = self._detect_last()
        if not rotation and self._watcher is not None:
            with self._context.timer.during("orientation"):
                rotation = self._watcher.decide()
        if rotation:
            return rotation
        self._settle()
        self._crops.finish()
        return 0

    def _settle(self) -> None:
        """No more detections follow that the frames held depend on: emit them all."""
        if self._shots is not None:
            self._follow(self._shots.finish(self._held()))
        while self._intervals:
            self._emit()

    def _detect_last(self) -> int:
        """Detect the last frame held, so that nothing is extrapolated, and all that wait; return as `run`."""
        if len(self._intervals[-1]) > 1:
            self._begin_interval(self._intervals[-1].pop())
        return self._detect()

    def _change_view(self, frame: Frame) -> int:
        """Nothing is followed from the frames so far to `frame`, whose pixels mean something else; return as
        `run`."""
        if self._view is not None:
            if rotation := self._detect_last():
                return rotation
            self._settle()
            self._tracker = self._new_tracker(self._tracker.next_track)
            self._shots = self._new_shots()
            self._emitted = 0
        self._view = frame.view
        return 0

    def _take(self, frame: Frame) -> int:
        """Detect or hold one frame; return the rotation needed as soon as it is known, else 0."""
        frame = frame.rotated(self._rotation_degrees)
        if not self._pts:
            limits = BatchingLimits.of(self._settings, frame.nbytes)
            self._detect_every = self._range.detect_every or limits.detect_every
            self._crops.max_waiting = limits.regress_batch
        self._pts.append(frame.pts)
        changed = frame.view != self._view
        if changed and (rotation := self._change_view(frame)):
            return rotation
        if frame.index % self._detect_every and not changed:
            self._intervals[-1].append(frame)
            return 0
        if len(self._to_detect) >= self._settings.detect_batch and (rotation := self._detect()):
            return rotation
        self._begin_interval(frame)
        return 0

    def _begin_interval(self, frame: Frame) -> None:
        self._intervals.append([frame])
        with self._context.timer.during("small pictures"):
            image, scale = frame.small(self._context.finder.image_side)
        self._to_detect.append((frame.index, image, scale))
        self._observer.before_detection(frame)

    def _detect(self) -> int:
        """Give the waiting images to the detector; emit every interval whose boxes are now settled."""
        waiting, self._to_detect = self._to_detect, []
        with self._context.timer.during("detect"):
            found = self._context.finder.find([image for _, image, _ in waiting])
        for (index, image, scale), faces in zip(waiting, found, strict=True):
            if rotation := self._record(DetectedFrame(index, image, scale, faces)):
                return rotation
            if self._tracker.steps > self._emitted + LOOKAHEAD:
                self._emit()
        return 0

    def _record(self, detected: DetectedFrame) -> int:
        """Take note of one detection; return the rotation needed as soon as it is known, else 0."""
        self._observer.after_detection(detected)
        if self._watcher is not None:
            with self._context.timer.during("orientation"):
                rotation = self._watcher.observe(self._watched, detected.image, detected.faces)
            self._watched += 1
            if rotation:
                return rotation
        if self._shots is None:
            self._tracker.update(detected.in_frame())
            return 0
        self._follow(self._shots.add(detected.frame_index, detected.image, self._held()))
        self._undecided = detected.in_frame()
        return 0

    def _follow(self, cuts: Sequence[int]) -> None:
        """Give the tracker the detection that is undecided, before which are `cuts`."""
        if self._undecided is None:
            return
        faces, self._undecided = self._undecided, None
        self._cuts.extend(cuts)
        self._tracker.update(faces, change_of(cuts))

    def _held(self) -> Iterator[Frame]:
        return itertools.chain.from_iterable(self._intervals)

    def _new_tracker(self, first_track: int) -> Tracker:
        return Tracker(
            self._context.appear_score, first_track, self._matcher, persistent=self._settings.several
        )

    def _new_shots(self) -> ShotFinder | None:
        return ShotFinder(self._context.finder.image_side) if self._settings.several else None

    def _emit(self) -> None:
        """Cut the crops of the oldest interval and release its frames."""
        frames = self._intervals.popleft()
        first = frames[0].index
        following = self._intervals[0][0].index if self._intervals else first
        boxes_of = self._tracker.boxes_between(
            self._emitted, [frame.index for frame in frames], first, following, self._settings.tracked_faces
        )
        self._emitted += 1
        for frame, boxes in zip(frames, boxes_of, strict=True):
            if not self._range.is_core(frame.index):
                continue
            for box in boxes:
                self._observer.before_crop(box)
                self._crops.add(frame, box)
        self._done += len(frames)
        if self._progress is not None:
            self._progress(self._done)
