"""Segments to the raw tables of their clip, bit for bit as if the clip had never been cut.

In: a clip, its plan, the results of all segments in order. Out: `CoefficientTable`s. One tracker goes over
the detections of the whole clip, as it would have without cuts; where it expects a face exactly where the
tracker of the segment did, the segment's reading is taken. The few faces for which that is not so (a track
that was followed into the segment by faint detections only, a crowd) are read here, from the video. The
rotation of the clip is decided from the same images as without cuts, and which face is whose, as ever, at the
end. How faces look, and where the picture changes from shot to shot, comes with the segments.

Nothing is taken on trust: neighbouring segments must have decoded the same frames, pixel by pixel, where they
overlap, and all together as many frames as there are. What does not fit is `CannotJoin`.
"""

from __future__ import annotations

import array
import bisect
import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from facecap_batch.capturing.capture_pass import BatchingLimits, lookahead
from facecap_batch.capturing.clip_info import clip_info
from facecap_batch.capturing.context import CaptureContext
from facecap_batch.capturing.crop_reader import CropReader
from facecap_batch.capturing.detector import Detection
from facecap_batch.capturing.orientation import OrientationWatcher
from facecap_batch.capturing.people.matcher import PeopleMatcher
from facecap_batch.capturing.people.shots import change_of
from facecap_batch.capturing.people.tables import Everyone, clip_tables
from facecap_batch.capturing.readings import READ, ReadingBuffer
from facecap_batch.capturing.segments.cut_points import WARM_UP
from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import CannotJoin, SegmentResult
from facecap_batch.capturing.segments.segment import open_segment
from facecap_batch.capturing.tracker import LOOKAHEAD, TrackedBox, Tracker
from facecap_batch.clip import Clip
from facecap_batch.coefficients import CoefficientTable
from facecap_batch.video.damage import add_note


@dataclasses.dataclass(frozen=True, eq=False)
class Joined:
    """The raw tables of a clip, and what its segments were made with."""

    tables: tuple[CoefficientTable, ...]  # their metadata not filled in yet
    notes: tuple[str, ...]  # what was odd about the file
    backends: tuple[str, str]  # of detector and regressor; several are joined by a plus


def join(
    context: CaptureContext,
    clip: Clip,
    plan: SegmentPlan,
    results: Iterable[SegmentResult],
    progress: Callable[[int], None] | None = None,
) -> Joined:
    """Raw tables of the people in `clip`.

    Args:
        context: Networks and settings.
        clip: The clip.
        plan: How it was cut.
        results: Of all its segments in order; two are held at a time.
        progress: Called with 0 as a sign of life: the frames were counted with their segments.

    Raises:
        CannotJoin: The segments do not make up the clip.
        BadVideo: The video cannot be read any more.
    """
    watcher = None if plan.rotation_known else OrientationWatcher(context.detector, context.regressor)
    sequence = _Sequence(context, plan)
    notes: list[str] = []
    backends: list[tuple[str, str]] = []
    video_info = ""
    for result in results:
        if watcher is not None:
            _observe_samples(watcher, result)
        sequence.add(result)
        if progress is not None:
            progress(0)
        for note in result.notes:
            add_note(notes, note)
        backends.append(result.backends)
        video_info = video_info or result.video_info
        if not result.steady or result.video_info != video_info:
            raise CannotJoin(f"segment {result.number} met something odd")
    if watcher is not None and (rotation := watcher.decide()):
        raise CannotJoin("the clip lies on its side", rotation)
    sequence.finish()
    _read_missing(context, clip, plan, sequence, progress)
    with context.open_video(clip) as video:
        info = video.info
    if repr(info) != video_info:
        raise CannotJoin("the file has changed")
    pts = np.array(sequence.pts, np.int64)
    tables = clip_tables(
        context.settings,
        context.regressor,
        clip_info(clip, info, pts, plan.rotation_degrees),
        pts,
        sequence.readings.take(),
        sequence.everyone(),
    )
    detectors, regressors = zip(*backends, strict=True)
    return Joined(
        tables,
        tuple(notes),
        ("+".join(sorted(set(detectors))), "+".join(sorted(set(regressors)))),
    )


def _observe_samples(watcher: OrientationWatcher, result: SegmentResult) -> None:
    """Give the samples of a segment to the watcher of the whole clip."""
    for row, number in enumerate(result.sample_at.tolist()):
        score = float(result.sample_scores[row])
        faces = [] if np.isnan(score) else [Detection(result.sample_boxes[row], score)]
        if rotation := watcher.observe(number, result.samples[row], faces):
            raise CannotJoin("the clip lies on its side", rotation)


@dataclasses.dataclass(frozen=True, eq=False)
class _Known:
    """The readings of one segment."""

    segment: Segment
    rows: np.ndarray  # readings.row_type [R]
    row_of: dict[tuple[int, bytes], int]  # frame and box (float64 [4]) -> row


class _Sequence:
    """The whole clip's tracker, and its readings taken from those of the segments."""

    def __init__(self, context: CaptureContext, plan: SegmentPlan) -> None:
        self._plan, self._settings = plan, context.settings
        self._matcher = PeopleMatcher() if context.settings.several else None
        self._tracker = Tracker(
            context.appear_score, matcher=self._matcher, persistent=context.settings.several
        )
        self._cuts = array.array("q")  # first frames of shots
        self._decided = 0  # of `_cuts`, those that the tracker knows
        self._detected: list[int] = []  # frame of each detection
        self._emitted = 0  # detections whose frames have their rows
        self._before: SegmentResult | None = None
        self._known: collections.deque[_Known] = collections.deque()
        self.pts = array.array("q")
        self.readings = ReadingBuffer(context.regressor.sizes)
        # By number of segment: faces that it did not read, and their rows.
        self.missing: dict[int, list[tuple[int, TrackedBox, np.void]]] = collections.defaultdict(list)

    def add(self, result: SegmentResult) -> None:
        """Go through the next segment. Raises CannotJoin."""
        segment = self._plan.segments[result.number]
        if self._before is not None:
            self._compare(self._before, result, segment)
        self._before = result
        last = None if segment.end is None else segment.end - segment.preroll_start
        self.pts.extend(result.pts[segment.first - segment.preroll_start : last].tolist())
        keys = zip(result.rows["frame"].tolist(), map(bytes, result.boxes), strict=True)
        self._known.append(_Known(segment, result.rows, {key: row for row, key in enumerate(keys)}))
        self._cuts.extend(cut for cut in result.cuts.tolist() if segment.is_core(cut))
        for index, faces in _detections(result, segment):
            self._detected.append(index)
            before = self._decided
            self._decided = bisect.bisect_right(self._cuts, index)
            self._tracker.update(faces, change_of(self._cuts[before : self._decided]))
            if self._tracker.steps > self._emitted + LOOKAHEAD:
                self._emit()

    def finish(self) -> None:
        """All segments are in. Raises CannotJoin."""
        if len(self.pts) != self._plan.frames:
            raise CannotJoin(f"{len(self.pts)} frames were decoded, not {self._plan.frames}")
        while self._emitted < len(self._detected):
            self._emit()

    def everyone(self) -> Everyone:
        """The tracks and the cuts of the whole clip; nothing where people are not told apart."""
        sightings = () if self._matcher is None else tuple(self._matcher.sightings.values())
        return Everyone(sightings, np.array(self._cuts, np.int64))

    def _compare(self, before: SegmentResult, result: SegmentResult, segment: Segment) -> None:
        """Neighbours must have decoded the same frames where they overlap."""
        offset = segment.preroll_start - self._plan.segments[before.number].preroll_start
        shared = (WARM_UP + lookahead(self._settings) - 1) * self._plan.detect_every + 1
        if len(before.pts) != offset + shared or not np.array_equal(before.pts[offset:], result.pts[:shared]):
            raise CannotJoin(f"segments {before.number} and {result.number} number their frames differently")
        here = result.detected < segment.preroll_start + shared
        there = before.detected >= segment.preroll_start
        for name in ("detected", "digests"):
            if not np.array_equal(getattr(result, name)[here], getattr(before, name)[there]):
                raise CannotJoin(f"segments {before.number} and {result.number} decode different images")

    def _emit(self) -> None:
        """Rows for the frames from the oldest detection without them up to the next one."""
        number, first = self._emitted, self._detected[self._emitted]
        self._emitted += 1
        last = self._emitted == len(self._detected)
        following = first if last else self._detected[self._emitted]
        frames = [first] if last else range(first, following)
        boxes_of = self._tracker.boxes_between(number, frames, first, following, self._settings.tracked_faces)
        while self._known[0].segment.end is not None and first >= self._known[0].segment.end:
            self._known.popleft()
        known = self._known[0]
        for frame, boxes in zip(frames, boxes_of, strict=True):
            for box in boxes:
                row = self.readings.expect(frame, box)
                source = known.row_of.get((frame, bytes(box.box)))
                if source is None:
                    self.missing[known.segment.number].append((frame, box, row))
                else:
                    _copy(known.rows[source], row)


def _detections(result: SegmentResult, segment: Segment) -> Iterator[tuple[int, list[Detection]]]:
    """Frame and faces of every detection in the core frames of the segment."""
    starts = np.searchsorted(result.face_at, np.arange(len(result.detected) + 1))
    for at, index in enumerate(result.detected.tolist()):
        if segment.is_core(index):
            faces = range(starts[at], starts[at + 1])
            yield (
                index,
                [
                    Detection(
                        result.face_boxes[k],
                        float(result.face_scores[k]),
                        result.face_looks[k] if len(result.face_looks) else None,
                    )
                    for k in faces
                ],
            )


def _read_missing(
    context: CaptureContext,
    clip: Clip,
    plan: SegmentPlan,
    sequence: _Sequence,
    progress: Callable[[int], None] | None,
) -> None:
    """Read the faces that no segment has read."""
    for number, missing in sequence.missing.items():
        wanted = collections.defaultdict(list)
        for frame, box, row in missing:
            wanted[frame].append((box, row))
        rows = []
        crops = CropReader(context, context.settings.regress_batch)
        with open_segment(context, clip, plan.segments[number]) as video:
            for decoded in video.frames():
                if progress is not None:
                    progress(0)
                crops.max_waiting = BatchingLimits.of(context.settings, decoded.nbytes).regress_batch
                for box, row in wanted.pop(decoded.index, ()):
                    if decoded.pts != sequence.pts[decoded.index]:
                        raise CannotJoin(f"segment {number} is numbered differently when it is read again")
                    crops.add(decoded.rotated(plan.rotation_degrees), box)
                    rows.append(row)
                if not wanted:
                    break
        crops.finish()
        for source, row in zip(crops.readings.take(), rows, strict=True):
            _copy(source, row)


def _copy(source: np.void, row: np.void) -> None:
    for name in READ:
        row[name] = source[name]
