"""What every step of a capture shares: both networks, the settings, and who keeps the time.

In: two open engines and `CaptureSettings`. Out: `CaptureContext`, which also opens the videos of clips. A
`StageTimer` is told how long each stage takes; without one nothing is measured and nothing is slower.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, Protocol

from facecap_batch.capturing.detector import FOLLOW_SHARE, Detector
from facecap_batch.capturing.people.finder import CloseFaceFinder, FaceFinder
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.engines.batching import Engine
from facecap_batch.video.decoder import Video
from facecap_batch.video.frame import Frame

# Stages exclude each other. "detect" includes fitting images to the detector's input and what follows its
# network; "orientation" is every further look at a clip that may lie on its side.
Stage = Literal["decode", "small pictures", "detect", "orientation", "crop", "regress"]


class StageTimer(Protocol):
    """Measures the stages of a capture."""

    def during(self, stage: Stage) -> contextlib.AbstractContextManager[None]:
        """A context manager around one piece of work that belongs to `stage`."""
        ...


class NoTimer:
    """Measures nothing."""

    _nothing = contextlib.nullcontext()

    def during(self, stage: Stage) -> contextlib.AbstractContextManager[None]:
        return self._nothing


@dataclasses.dataclass(frozen=True)
class CaptureContext:
    """Both networks, how they are used, and who keeps the time."""

    detector: Detector
    finder: FaceFinder
    regressor: Regressor
    settings: CaptureSettings
    timer: StageTimer

    @staticmethod
    def of(
        detector: Engine,
        regressor: Engine,
        settings: CaptureSettings | None = None,
        timer: StageTimer | None = None,
    ) -> CaptureContext:
        """Both engines with what `settings` (None: the defaults) say of their use. Raises EngineError."""
        settings = settings or CaptureSettings()
        faces = Detector(detector, settings.detect_batch, settings.min_score, settings.detected_faces)
        return CaptureContext(
            faces,
            CloseFaceFinder(faces) if settings.several else FaceFinder(faces),
            Regressor(regressor, settings.regress_batch, settings.landmarks),
            settings,
            timer or NoTimer(),
        )

    @property
    def appear_score(self) -> float:
        """Score of a detection from which a face is followed, 0..1.

        Where several people are wanted, faint ones are, too: who is never sure is nobody at the end
        (`people`).
        """
        share = FOLLOW_SHARE if self.settings.several else 1.0
        return self.detector.score_threshold * share

    def open_video(self, clip: Clip, start: Fraction | None = None, first_index: int = 0) -> Video:
        """The frames of `clip` from `start` on, the first one numbered `first_index`.

        Args:
            clip: Its `path` and its range.
            start: Seconds on the scale of `clip.start`, of a segment: its file's packets were listed; None:
                where the clip begins.
            first_index: Number of the first frame, in the whole clip.

        Raises:
            BadVideo, NoVideoStream, DecoderUnavailable.
        """
        return Video(
            clip.path,
            clip.start if start is None else start,
            clip.end,
            self.settings.decode_threads,
            self.settings.damage,
            self.settings.hwaccel,
            first_index,
            proven=start is not None,
            limits=self.settings.limits,
        )

    def frames(self, video: Video) -> Iterator[Frame]:
        """The frames of `video`, decoding counted as a stage. Raises BadVideo."""
        frames = video.frames()
        while True:
            with self.timer.during("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame
