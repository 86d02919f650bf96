"""Segments to the raw table of their clip, bit for bit as if the clip had never been cut.

In: a clip, its cuts, the results of all segments in order. Out: a `CoefficientTable`. One tracker goes over
the detections of the whole clip, as it would have without cuts; where it expects a face exactly where the
segment's own tracker did, what the segment read is taken. The few faces for which that is not so (a track
that was followed into the segment by faint detections only, a crowd) are read here, from the video. The
clip's turn is decided from the same pictures as without cuts, and which face is the subject, as ever, at the
end.

Nothing is believed that is not checked: neighbouring segments must have decoded the same frames, pixel by
pixel, where they overlap, and all together as many frames as there are. What does not fit is `CannotJoin`.
"""

from __future__ import annotations

import array
import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from facecap_batch.capturing.crop_reader import CropReader
from facecap_batch.capturing.detector import Detection, Detector
from facecap_batch.capturing.orientation import OrientationWatcher
from facecap_batch.capturing.pipeline import BatchingLimits, clip_info, networks, open_video
from facecap_batch.capturing.readings import READ, ReadingBuffer
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.capturing.segments.cut_points import WARM_UP
from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import CannotJoin, SegmentResult
from facecap_batch.capturing.segments.segment import open_segment
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.capturing.subject import subject_table
from facecap_batch.capturing.tracker import LOOKAHEAD, TrackedBox, Tracker
from facecap_batch.clip import Clip
from facecap_batch.coefficients import CoefficientTable
from facecap_batch.engines.batching import Engine
from facecap_batch.video.damage import add_note


@dataclasses.dataclass(frozen=True)
class Joined:
    """The raw table of a clip, and what its segments were made with."""

    table: CoefficientTable
    backends: tuple[str, str]  # of detector and regressor; several are joined by a plus


def join(
    clip: Clip,
    cuts: SegmentPlan,
    results: Iterable[SegmentResult],
    detector: Engine,
    regressor: Engine,
    settings: CaptureSettings,
    progress: Callable[[int], None] | None = None,
) -> Joined:
    """Raw table of the main subject of `clip`. Raises CannotJoin, BadVideo.

    `results` are taken one after the other; two are held at a time. `progress` is called with 0 as a sign
    of life: the frames were counted with their segments.
    """
    finder, reader = networks(detector, regressor, settings)
    watch = None if cuts.turn_known else OrientationWatcher(finder, reader)
    sequence = _Sequence(cuts, finder, reader, settings.max_faces)
    notes: list[str] = []
    backends: list[tuple[str, str]] = []
    picture = ""
    for result in results:
        if watch is not None:
            _watch_again(watch, result)
        sequence.add(result)
        if progress is not None:
            progress(0)
        for note in result.notes:
            add_note(notes, note)
        backends.append(result.backends)
        picture = picture or result.picture
        if not result.steady or result.picture != picture:
            raise CannotJoin(f"segment {result.number} met something odd")
    if watch is not None and (turn := watch.decide()):
        raise CannotJoin("the clip lies on its side", turn)
    sequence.finish()
    _read_missing(clip, cuts, sequence, reader, settings, progress)
    with open_video(clip, settings) as video:
        info = video.info
    if repr(info) != picture:
        raise CannotJoin("the file has changed")
    pts = np.array(sequence.pts, np.int64)
    described = clip_info(clip.clip_id, clip.source or clip.path, info, pts, cuts.turn)
    table = subject_table(
        described,
        pts,
        sequence.readings.take(),
        reader.presence_threshold,
        reader.head_frame,
        reader.extra_names,
    )
    detectors, regressors = zip(*backends, strict=True)
    return Joined(
        table.replace(metadata={"notes": "\n".join(notes)}),
        ("+".join(sorted(set(detectors))), "+".join(sorted(set(regressors)))),
    )


def _watch_again(watch: OrientationWatcher, result: SegmentResult) -> None:
    """Show the samples of a segment to the watch that looks at the whole clip."""
    for row, number in enumerate(result.sample_at.tolist()):
        score = float(result.sample_scores[row])
        faces = [] if np.isnan(score) else [Detection(result.sample_boxes[row], score)]
        if turn := watch.observe(number, result.samples[row], faces):
            raise CannotJoin("the clip lies on its side", turn)


@dataclasses.dataclass(frozen=True)
class _Known:
    """What a segment has read."""

    segment: Segment
    rows: np.ndarray  # subject.row_type [R]
    row_of: dict[tuple[int, bytes], int]  # frame and box (float64 [4]) -> row


class _Sequence:
    """The whole clip's tracker, and its readings taken from those of the segments."""

    def __init__(self, cuts: SegmentPlan, finder: Detector, reader: Regressor, max_faces: int) -> None:
        self._cuts, self._max_faces = cuts, max_faces
        self._tracker = Tracker(finder.score_threshold)
        self._looked: list[int] = []  # frame of each detection
        self._emitted = 0  # detections whose frames have their rows
        self._before: SegmentResult | None = None
        self._known: collections.deque[_Known] = collections.deque()
        self.pts = array.array("q")
        self.readings = ReadingBuffer(len(reader.extra_names))
        # By number of segment: faces that it did not read, and their rows.
        self.missing: dict[int, list[tuple[int, TrackedBox, np.void]]] = collections.defaultdict(list)

    def add(self, result: SegmentResult) -> None:
        """Go through the next segment. Raises CannotJoin."""
        segment = self._cuts.segments[result.number]
        if self._before is not None:
            self._compare(self._before, result, segment)
        self._before = result
        last = None if segment.end is None else segment.end - segment.lead
        self.pts.extend(result.pts[segment.first - segment.lead : last].tolist())
        keys = zip(result.rows["frame"].tolist(), map(bytes, result.boxes), strict=True)
        self._known.append(_Known(segment, result.rows, {key: row for row, key in enumerate(keys)}))
        for index, faces in _detections(result, segment):
            self._looked.append(index)
            self._tracker.update(faces)
            if self._tracker.steps > self._emitted + LOOKAHEAD:
                self._emit()

    def finish(self) -> None:
        """All segments are in. Raises CannotJoin."""
        if len(self.pts) != self._cuts.frames:
            raise CannotJoin(f"{len(self.pts)} frames were decoded, not {self._cuts.frames}")
        while self._emitted < len(self._looked):
            self._emit()

    def _compare(self, before: SegmentResult, result: SegmentResult, segment: Segment) -> None:
        """Neighbours must have decoded the same frames where they overlap."""
        offset = segment.lead - self._cuts.segments[before.number].lead
        shared = (WARM_UP + LOOKAHEAD - 1) * self._cuts.detect_every + 1
        if len(before.pts) != offset + shared or not np.array_equal(before.pts[offset:], result.pts[:shared]):
            raise CannotJoin(f"segments {before.number} and {result.number} number their frames differently")
        here = result.looked < segment.lead + shared
        there = before.looked >= segment.lead
        for name in ("looked", "digests"):
            if not np.array_equal(getattr(result, name)[here], getattr(before, name)[there]):
                raise CannotJoin(f"segments {before.number} and {result.number} decode different pictures")

    def _emit(self) -> None:
        """Rows for the frames from the oldest detection without them up to the next one."""
        number, first = self._emitted, self._looked[self._emitted]
        self._emitted += 1
        last = self._emitted == len(self._looked)
        following = first if last else self._looked[self._emitted]
        frames = [first] if last else range(first, following)
        places = self._tracker.boxes_between(number, frames, first, following, self._max_faces)
        while self._known[0].segment.end is not None and first >= self._known[0].segment.end:
            self._known.popleft()
        known = self._known[0]
        for frame, boxes in zip(frames, places, strict=True):
            for box in boxes:
                row = self.readings.expect(frame, box)
                source = known.row_of.get((frame, bytes(box.box)))
                if source is None:
                    self.missing[known.segment.number].append((frame, box, row))
                else:
                    _copy(known.rows[source], row)


def _detections(result: SegmentResult, segment: Segment) -> Iterator[tuple[int, list[Detection]]]:
    """Frame and faces of every detection in the segment's own frames."""
    starts = np.searchsorted(result.face_at, np.arange(len(result.looked) + 1))
    for at, index in enumerate(result.looked.tolist()):
        if index >= segment.first and (segment.end is None or index < segment.end):
            faces = range(starts[at], starts[at + 1])
            yield index, [Detection(result.face_boxes[k], float(result.face_scores[k])) for k in faces]


def _read_missing(
    clip: Clip,
    cuts: SegmentPlan,
    sequence: _Sequence,
    reader: Regressor,
    settings: CaptureSettings,
    progress: Callable[[int], None] | None,
) -> None:
    """Read the faces that no segment has read."""
    for number, missing in sequence.missing.items():
        wanted = collections.defaultdict(list)
        for frame, box, row in missing:
            wanted[frame].append((box, row))
        rows = []
        crops = CropReader(reader, settings.refine_above, settings.regress_batch)
        with open_segment(clip, cuts.segments[number], settings) as video:
            for decoded in video.frames():
                if progress is not None:
                    progress(0)
                crops.most_waiting = BatchingLimits.of(settings, decoded.nbytes).regress_batch
                for box, row in wanted.pop(decoded.index, ()):
                    if decoded.pts != sequence.pts[decoded.index]:
                        raise CannotJoin(f"segment {number} is numbered differently when it is read again")
                    crops.add(decoded.rotated(cuts.turn), box)
                    rows.append(row)
                if not wanted:
                    break
        crops.finish()
        for source, row in zip(crops.readings.take(), rows, strict=True):
            _copy(source, row)


def _copy(source: np.void, row: np.void) -> None:
    for name in READ:
        row[name] = source[name]
