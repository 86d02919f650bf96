"""Capture: a clip to its raw table. Plain Python; knows nothing of Ray, workers or folders.

In: a clip and two open engines. Out: a `CoefficientTable` for each person who is wanted (by default one),
the main subject's with one row for every decoded frame; their metadata name what made them. What is kept of
a clip for its whole length are about 300 bytes per frame and face, 900 with landmarks; which face is whose is
decided at the end (`subject`, `people`). Only a clip that turns out to lie on its side is decoded again from
its beginning. A long clip can be captured in segments instead, with the same result bit for bit:
`plan_segments`, `capture_segment` for each, `join`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from facecap_batch.capturing.capture_pass import CapturePass
from facecap_batch.capturing.clip_info import clip_info
from facecap_batch.capturing.context import CaptureContext, StageTimer
from facecap_batch.capturing.orientation import OrientationWatcher
from facecap_batch.capturing.people.tables import clip_tables
from facecap_batch.capturing.segments.join import join
from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import SegmentResult
from facecap_batch.capturing.segments.segment import capture_segment
from facecap_batch.capturing.segments.survey import plan_segments
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.coefficients import CoefficientTable
from facecap_batch.engines.batching import Engine
from facecap_batch.engines.provenance import engine_metadata
from facecap_batch.errors import MEMORY_ADVICE, OutOfMemory

Progress = Callable[[int], None]


class FaceCapture:
    """Captures clips with one detector and one regressor."""

    def __init__(
        self,
        detector: Engine,
        regressor: Engine,
        settings: CaptureSettings | None = None,
        metadata: Mapping[str, str] | None = None,
        timer: StageTimer | None = None,
    ) -> None:
        """
        Args:
            detector: Open engine that finds faces.
            regressor: Open engine that reads crops of faces.
            settings: None: the defaults.
            metadata: Written into every raw table, beside what the engines' cards give.
            timer: Measures the stages; None: nothing is measured.

        Raises:
            EngineError: The engines do not have the outputs that are needed, or that the settings want.
        """
        self._context = CaptureContext.of(detector, regressor, settings, timer)
        self._engines = (detector, regressor)
        self._metadata = {**engine_metadata(self._engines), **(metadata or {})}

    @property
    def context(self) -> CaptureContext:
        """Both networks and the settings, for who looks at single frames."""
        return self._context

    @property
    def backend(self) -> str:
        """The backend that runs the regressor."""
        return self._engines[1].backend

    def capture(self, clip: Clip, progress: Progress | None = None) -> CoefficientTable:
        """Raw table of the main subject of `clip`: the first of `capture_tracks`."""
        return self.capture_tracks(clip, progress)[0]

    def capture_tracks(self, clip: Clip, progress: Progress | None = None) -> tuple[CoefficientTable, ...]:
        """Raw tables of the people in `clip`, as many as the settings want, the main subject first.

        Args:
            clip: What to capture.
            progress: Called with the number of frames finished so far, about every `detect_every` frames.

        Returns:
            Of the main subject one row per frame, of others the frames between their first and their last
            one. `score` is the detector's (interpolated) times the regressor's presence; rows
            in which the subject was not seen hold NaN, as do the coefficients of hidden parts of the face.
            The metadata hold the engines, the regressor's gains, and `notes`: what was odd about the file,
            one a line, empty if nothing was.

        Raises:
            BadVideo, NoVideoStream, DecoderUnavailable, OutOfMemory.
        """
        try:
            return self._capture_tracks(clip, progress)
        except MemoryError as error:
            raise OutOfMemory(
                f"{clip.path}: not enough memory to capture it: {error or 'none is left'}; {MEMORY_ADVICE}"
            ) from error

    def _capture_tracks(self, clip: Clip, progress: Progress | None) -> tuple[CoefficientTable, ...]:
        context = self._context
        watcher = (
            OrientationWatcher(context.detector, context.regressor) if context.settings.try_turns else None
        )
        rotation = 0
        while True:
            with context.open_video(clip) as video:
                capture_pass = CapturePass(context, rotation, watcher, progress)
                needed = capture_pass.run(video)
                if not needed:
                    pts = capture_pass.pts()
                    info = clip_info(clip, video.info, pts, rotation)
                    everyone = capture_pass.everyone()
                    readings = capture_pass.take_readings()
                    tables = clip_tables(context.settings, context.regressor, info, pts, readings, everyone)
                    return self._described(clip, tables, video.notes)
            rotation, watcher = needed, None

    def plan_segments(
        self, clip: Clip, segment_s: float, key: str, progress: Progress | None = None
    ) -> SegmentPlan | None:
        """Where to cut `clip`; None where it stays in one piece. See `survey.plan_segments`."""
        return plan_segments(self._context, clip, segment_s, key, progress)

    def capture_segment(
        self, clip: Clip, plan: SegmentPlan, segment: Segment, progress: Progress | None = None
    ) -> SegmentResult:
        """Decode one segment of `clip` with its surroundings, detect and read. Raises BadVideo."""
        return capture_segment(self._context, clip, plan, segment, progress)

    def join(
        self,
        clip: Clip,
        plan: SegmentPlan,
        results: Iterable[SegmentResult],
        progress: Progress | None = None,
    ) -> tuple[CoefficientTable, ...]:
        """Raw tables of `clip` from the results of all its segments, as `capture_tracks` gives them.

        The metadata name the backends that captured the segments. See `join.join`.

        Raises:
            CannotJoin, BadVideo.
        """
        joined = join(self._context, clip, plan, results, progress)
        roles = (f"{engine.card.role}_backend" for engine in self._engines)
        return self._described(
            clip, joined.tables, joined.notes, dict(zip(roles, joined.backends, strict=True))
        )

    def _described(
        self,
        clip: Clip,
        tables: Iterable[CoefficientTable],
        notes: Iterable[str],
        backends: Mapping[str, str] | None = None,
    ) -> tuple[CoefficientTable, ...]:
        """`tables` with metadata that say what they were made from and with."""
        of_clip = {"actor": clip.actor or "", "timecode": clip.timecode or ""}
        metadata = {
            "notes": "\n".join(notes),
            **self._metadata,
            **(backends or {}),
            **{name: value for name, value in of_clip.items() if value},
        }
        return tuple(table.replace(metadata=metadata) for table in tables)
