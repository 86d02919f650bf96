"""Decoding: a file, or a range of it, to frames in order of presentation with the container's own pts.

In: a path or URI, an optional range. Out: `VideoInfo` and an iterator of `Frame`. Display rotation is
applied; edit lists, B-frames and variable rates are the container's business and come out as pts. Threads
are always explicit (an automatic count has deadlocked decoders) and the container is closed on every way
out.

Damage. A damaged file may decode without a murmur, so three signs are looked for: errors of demuxer and
decoder, pictures the decoder itself marks as corrupt after the first clean one, and time missing at the end
against what the container says. Any of them raises `BadVideo` with the place; with
``damage="keep"`` whatever decodes is delivered and the signs are listed in `Video.notes`. Smaller
differences in the frame count are always noted. Decoders of HEVC and VP9 conceal flipped bytes without a
sign: of such a file only the counts can be compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import av
import numpy as np

from facecap_batch.errors import BadVideo
from facecap_batch.video import nvdec
from facecap_batch.video.container import (
    as_fraction,
    close_container,
    declared_end,
    declared_frames,
    frame_rate,
    open_container,
    pixel_aspect,
    reason,
    seconds,
    time_origin,
    video_stream,
)
from facecap_batch.video.frame import Frame, Orientation, Scalers
from facecap_batch.video.nvdec import HardwareDecoding
from facecap_batch.video.square_pixels import PictureSize

Damage = Literal["refuse", "keep"]

# Missing at the end of a file before it is called cut off: audio tails and rounding stay below.
CUT_OFF_S = Fraction(1, 2)
CUT_OFF_SHARE = Fraction(1, 50)
MAX_NOTES = 20
# A hole in the timestamps this long is noted: packets may be lost there without any error.
HOLE_S = Fraction(1, 2)
# A seek that lands too late is retried this much earlier, then from the beginning of the file.
SEEK_MARGINS_S = (Fraction(0), Fraction(3), Fraction(15))


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself, and what its first frame shows."""

    source: str
    width: int  # pixels, upright and square
    height: int  # pixels, upright and square
    fps: Fraction  # frames per second, the container's average rate
    time_base: Fraction  # seconds per pts unit
    orientation: Orientation  # as the file's display matrix wants it
    codec: str
    pixel_format: str
    frames_declared: int | None  # None where the container does not say
    end_s: Fraction | None  # seconds, container time, where the container says its video ends


def probe(path: str | Path) -> VideoInfo:
    """Open `path` and decode its first frame. Raises BadVideo or NoVideoStream."""
    with Video(path) as video:
        return video.info


def decode(
    path: str | Path,
    start: Fraction | None = None,
    end: Fraction | None = None,
    thread_count: int = 2,
    damage: Damage = "refuse",
    hwaccel: HardwareDecoding = "none",
) -> Iterator[Frame]:
    """Frames of `path` with start <= time < end, in order of presentation; see `Video`."""
    with Video(path, start, end, thread_count, damage, hwaccel) as video:
        yield from video.frames()


class Video:
    """One open video; a context manager that closes it.

    `start` and `end` are seconds on the container's time line, the scale of `time_s` (for MPEG-TS and MPEG-
    PS, whose clocks start anywhere, seconds after the first timestamp of the video); None means the
    beginning and the end. `thread_count` 1..16 decodes several frames at once; `hwaccel` says whether the GPU
    decodes; `first_index` is the number of the first frame, for a piece of a clip. Raises BadVideo on
    construction when the file cannot be opened or holds no decodable frame in the range, NoVideoStream when
    it holds no video, DecoderUnavailable when the GPU was asked for by name and is not there.
    """

    def __init__(
        self,
        path: str | Path,
        start: Fraction | None = None,
        end: Fraction | None = None,
        thread_count: int = 2,
        damage: Damage = "refuse",
        hwaccel: HardwareDecoding = "none",
        first_index: int = 0,
    ) -> None:
        if not 1 <= thread_count <= 16:
            raise ValueError(f"thread_count must be 1..16, not {thread_count}: 0 (automatic) can deadlock")
        self.source = str(path)
        self._thread_count = thread_count
        self._hwaccel = hwaccel
        self._damage = damage
        self._notes: list[str] = []
        self._scalers = Scalers()
        self._container: Any = None
        self._discarded = 0  # packets that an edit list hides
        self._at_start = start is None
        self._ended_early = False  # stopped at `end`, not at the end of the file
        self.steady = True  # False once more than a hole in time was noted
        self._decoded = first_index
        self._last_pts: int | None = None
        try:
            self._open()
            origin = time_origin(self._container, self._stream)
            self._start = None if start is None else start + origin
            self._end = None if end is None else end + origin
            self._pictures = self._first_picture()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the decoder; harmless when repeated."""
        container, self._container = self._container, None
        if container is not None:
            close_container(container)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd about the file, complete once `frames` has ended."""
        return tuple(self._notes)

    def frames(self) -> Iterator[Frame]:
        """The frames of the range, once. Raises BadVideo at the first damage unless it is to be kept."""
        orientation = self.info.orientation
        for pts, picture in self._pictures:
            yield Frame(self._decoded, pts, picture, orientation, self._scalers)
            self._decoded += 1
            self._last_pts = pts
        self._check_end()

    # --- opening --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._container = open_container(self.source, self._hwaccel)
        self._stream = video_stream(self._container, self.source)
        context = self._stream.codec_context
        # Threads would only wait for the GPU.
        self._planes = nvdec.Planes() if nvdec.in_use(context) else None
        threads = self._thread_count if self._planes is None else 1
        context.thread_count = threads
        context.thread_type = "FRAME" if threads > 1 else "SLICE"
        self._time_base = as_fraction(self._stream.time_base) or Fraction(1, 1000)
        self._fps = frame_rate(self._stream)

    def _first_picture(self) -> Iterator[tuple[int, Any]]:
        """Decode to the first frame of the range, fill in `info`, return all frames, the first included."""
        rest = self._from_start()
        first = next(rest, None)
        if first is None:
            declared = declared_frames(self._container, self._stream)
            if self._start is None and self._end is None:
                what = f"no frame can be decoded (the container speaks of {declared or 0})"
            else:
                what = f"no frame between {seconds(self._start)} and {seconds(self._end)}"
            raise BadVideo(
                f"{self.source}: {what}; check the file with a player and the range in the manifest"
            )
        picture = first[1]
        orientation = _orientation(picture)
        size = PictureSize(picture, pixel_aspect(self._stream))
        width, height = orientation.size(size.width, size.height)
        self.info = VideoInfo(
            source=self.source,
            width=width,
            height=height,
            fps=self._fps,
            time_base=self._time_base,
            orientation=orientation,
            codec=self._stream.codec_context.name,
            pixel_format=picture.format.name,
            frames_declared=declared_frames(self._container, self._stream),
            end_s=declared_end(self._container, self._stream),
        )

        def chained() -> Iterator[tuple[int, Any]]:
            for pts, each in _chain(first, rest):
                if not size.is_coded(each):
                    self._note(f"the picture changes size at {seconds(pts * self._time_base)}")
                same = size.of(each)
                yield pts, same if self._planes is None else self._planes.apart(same)

        return chained()

    # --- decoding -------------------------------------------------------------------------------------------

    def _from_start(self) -> Iterator[tuple[int, Any]]:
        """All frames from `start` on; seeks where that helps, else decodes from the beginning."""
        if self._start is None:
            yield from self._in_range(self._timed(self._decode_all()))
            return
        target = self._start
        for margin in SEEK_MARGINS_S:
            place = target - margin
            if place <= 0 or not self._seek(int(place / self._time_base)):
                break
            pictures = self._timed(self._decode_all())
            first = next(pictures, None)
            if first is not None and first[0] * self._time_base <= target:
                yield from self._in_range(pictures, first)
                return
        self._reopen()
        yield from self._in_range(self._timed(self._decode_all()))

    def _seek(self, pts: int) -> bool:
        try:
            self._container.seek(pts, stream=self._stream, backward=True, any_frame=False)
        except (av.error.FFmpegError, OSError):
            return False
        return True

    def _reopen(self) -> None:
        self.close()
        self._discarded = 0
        self._open()

    def _in_range(
        self, pictures: Iterator[tuple[int, Any]], first: tuple[int, Any] | None = None
    ) -> Iterator[tuple[int, Any]]:
        if first is not None:
            pictures = _chain(first, pictures)
        for pts, picture in pictures:
            time = pts * self._time_base
            if self._end is not None and time >= self._end:
                self._ended_early = True
                return
            if self._start is None or time >= self._start:
                yield pts, picture

    def _timed(self, pictures: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        """Every picture with a pts; one that has none follows its predecessor by the average step."""
        step = 1 / (self._fps * self._time_base)
        expected: Fraction | None = None
        previous: int | None = None
        for picture in pictures:
            pts = picture.pts
            if pts is None:
                self._note("some frames have no timestamp; they are placed by the average rate")
                expected = Fraction(0) if expected is None else expected
                pts = round(expected)
                expected += step
            else:
                expected = pts + step
            if previous is not None and pts <= previous:
                self._note(f"timestamps do not rise at {seconds(pts * self._time_base)}")
            elif previous is not None and (pts - previous) * self._time_base > max(HOLE_S, 5 / self._fps):
                hole = (pts - previous) * self._time_base
                place = seconds(previous * self._time_base)
                add_note(self._notes, f"no frames for {seconds(hole)} at {place}")
            previous = pts
            yield pts, picture

    def _decode_all(self) -> Iterator[Any]:
        """Pictures from where the container stands to its end."""
        clean = False
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                self._damaged(f"reading fails: {reason(error)}", error)
                return
            if packet is None:
                return
            self._discarded += bool(getattr(packet, "is_discard", False))
            try:
                pictures = packet.decode()
            except EOFError:
                return
            except (av.error.FFmpegError, OSError, ValueError) as error:
                if clean or not packet.size:
                    self._damaged(f"decoding fails: {reason(error)}", error)
                continue  # before the first whole picture: a stream cut into, or the range's lead-in
            for picture in pictures:
                if not picture.is_corrupt:
                    clean = True
                elif clean:
                    self._damaged("the decoder marks a picture as damaged", None, picture.pts)
                yield picture

    # --- damage ---------------------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        self.steady = False
        add_note(self._notes, text)

    def _damaged(self, what: str, cause: BaseException | None, pts: int | None = None) -> None:
        place = pts if pts is not None else self._last_pts
        at = "at its beginning" if place is None else f"at {seconds(place * self._time_base)}"
        message = f"{what} {at}, frame {self._decoded}"
        if self._damage == "keep":
            self._note(message)
            return
        raise BadVideo(
            f"{self.source}: damaged: {message}; copy or export the file again, repair it (for example "
            "re-encode it), or allow damaged clips to keep what decodes"
        ) from cause

    def _check_end(self) -> None:
        if self._ended_early:
            return
        last = None if self._last_pts is None else self._last_pts * self._time_base + 1 / self._fps
        end = self.info.end_s
        whole = self._at_start
        if end is not None and last is not None and self._end is None:
            missing = end - last
            if missing > max(CUT_OFF_S, CUT_OFF_SHARE * end):
                self._damaged(f"cut off: the container promises video to {seconds(end)} but it ends", None)
        if whole and self._end is None and self.info.frames_declared is not None:
            expected = self.info.frames_declared - self._discarded
            if self._decoded != expected:
                self._note(f"the container speaks of {expected} frames, {self._decoded} were decoded")


def add_note(notes: list[str], text: str) -> None:
    """Append `text`, one of its kind, to at most `MAX_NOTES`."""
    kind = text.split(" at ")[0]
    if len(notes) < MAX_NOTES and not any(note.startswith(kind) for note in notes):
        notes.append(text)


def _chain(first: tuple[int, Any], rest: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    yield first
    yield from rest


def _orientation(picture: Any) -> Orientation:
    with contextlib.suppress(KeyError, ValueError, TypeError):
        matrix = picture.side_data.get("DISPLAYMATRIX")
        if matrix is not None:
            return Orientation.from_display_matrix(np.frombuffer(bytes(matrix), np.int32, 9))
    return Orientation()
