"""Decoding: a file or a time range of it to frames in order of presentation, each with the container's own
pts.

In: a path or URI, an optional range. Out: `VideoInfo` and an iterator of `Frame`. Display rotation is
applied; edit lists, B-frames and variable rates are the container's business and come out as pts. Threads
are always explicit (an automatic count has deadlocked decoders) and the container is closed on every way
out.

Damage. A damaged file may decode without a murmur, so three signs are looked for: errors of demuxer and
decoder, pictures the decoder itself marks as corrupt after the first clean one, and frames or time missing
at the end against what the container says. Any of them raises `BadVideo` with the place; with
``damage="keep"`` whatever decodes is delivered and the signs are listed in `Video.notes`. Smaller
differences in the frame count are always noted.
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
import av.logging
import numpy as np

from facecap_batch.errors import BadVideo, NoVideoStream
from facecap_batch.frames import Frame, Orientation, Scalers

Damage = Literal["refuse", "keep"]

OPEN_TIMEOUT_S = 60.0  # to open a URI; local files answer at once
READ_TIMEOUT_S = 120.0  # between two packets of a URI
# Missing at the end of a file before it is called cut off: audio tails and rounding stay below.
CUT_OFF_S = Fraction(1, 2)
CUT_OFF_SHARE = Fraction(1, 50)
MAX_NOTES = 20
# A hole in the timestamps this long is noted: packets may be lost there without any error.
HOLE_S = Fraction(1, 2)
# A seek that lands too late is retried this much earlier, then from the beginning of the file.
SEEK_MARGINS_S = (Fraction(0), Fraction(3), Fraction(15))
# The clocks of these start anywhere (hours, in a recording of a broadcast): ranges count from the first
# timestamp.
_ARBITRARY_ORIGIN = {"mpegts", "mpeg"}
_ATTACHED_PICTURE = 1024  # AV_DISPOSITION_ATTACHED_PIC: the cover of an audio file is no video

av.logging.set_level(None)  # FFmpeg's own lines say less than our errors and would break progress displays


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself, and what its first frame shows."""

    source: str
    width: int  # pixels, upright
    height: int  # pixels, upright
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
) -> Iterator[Frame]:
    """Frames of `path` with start <= time < end, in order of presentation; see `Video`."""
    with Video(path, start, end, thread_count, damage) as video:
        yield from video.frames()


class Video:
    """One open video; a context manager that closes it.

    `start` and `end` are seconds on the container's time line, the scale of `time_s` (for MPEG-TS and MPEG-
    PS, whose clocks start anywhere, seconds after the first timestamp of the video); None means the
    beginning and the end. `thread_count` 1..16 decodes several frames at once. Raises BadVideo on
    construction when the file cannot be opened or holds no decodable frame in the range, NoVideoStream when
    it holds no video.
    """

    def __init__(
        self,
        path: str | Path,
        start: Fraction | None = None,
        end: Fraction | None = None,
        thread_count: int = 2,
        damage: Damage = "refuse",
    ) -> None:
        if not 1 <= thread_count <= 16:
            raise ValueError(f"thread_count must be 1..16, not {thread_count}: 0 (automatic) can deadlock")
        self.source = str(path)
        self._thread_count = thread_count
        self._damage = damage
        self._notes: list[str] = []
        self._scalers = Scalers()
        self._container: Any = None
        self._discarded = 0  # packets that an edit list hides
        self._at_start = start is None
        self._ended_early = False  # stopped at `end`, not at the end of the file
        self._decoded = 0
        self._last_pts: int | None = None
        try:
            self._open()
            origin = self._origin()
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
            container.close()

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
        address = _address(self.source)
        try:
            self._container = av.open(
                address, metadata_errors="replace", timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S)
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise BadVideo(f"{self.source}: cannot be opened as a video: {_reason(error)}") from error
        streams = [
            stream
            for stream in self._container.streams.video
            if not int(getattr(stream.disposition, "value", stream.disposition)) & _ATTACHED_PICTURE
        ]
        if not streams:
            held = (
                ", ".join(sorted({stream.type for stream in self._container.streams})) or "an empty container"
            )
            raise NoVideoStream(f"{self.source}: holds no video stream, only {held}; give a video of a face")
        best = self._container.streams.best("video")
        self._stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
        context = self._stream.codec_context
        if context is None:
            raise BadVideo(
                f"{self.source}: no decoder for its video codec; re-encode it, for example to H.264"
            )
        context.thread_count = self._thread_count
        context.thread_type = "FRAME" if self._thread_count > 1 else "SLICE"
        self._time_base = _fraction(self._stream.time_base) or Fraction(1, 1000)
        rate = _fraction(self._stream.average_rate) or _fraction(getattr(self._stream, "guessed_rate", None))
        self._fps = rate if rate and rate > 0 else Fraction(25)

    def _origin(self) -> Fraction:
        names = set(self._container.format.name.split(","))
        if names & _ARBITRARY_ORIGIN and self._stream.start_time is not None:
            return self._stream.start_time * self._time_base
        return Fraction(0)

    def _first_picture(self) -> Iterator[tuple[int, Any]]:
        """Decode to the first frame of the range, fill in `info`, return all frames, the first included."""
        rest = self._from_start()
        first = next(rest, None)
        if first is None:
            declared = self._declared_frames()
            if self._start is None and self._end is None:
                what = f"no frame can be decoded (the container speaks of {declared or 0})"
            else:
                what = f"no frame between {_seconds(self._start)} and {_seconds(self._end)}"
            raise BadVideo(
                f"{self.source}: {what}; check the file with a player and the range in the manifest"
            )
        picture = first[1]
        orientation = _orientation(picture)
        width, height = orientation.size(picture.width, picture.height)
        self.info = VideoInfo(
            source=self.source,
            width=width,
            height=height,
            fps=self._fps,
            time_base=self._time_base,
            orientation=orientation,
            codec=self._stream.codec_context.name,
            pixel_format=picture.format.name,
            frames_declared=self._declared_frames(),
            end_s=self._declared_end(),
        )

        def chained() -> Iterator[tuple[int, Any]]:
            yield first
            for pts, later in rest:
                yield pts, self._of_same_size(later, picture)

        return chained()

    def _of_same_size(self, picture: Any, first: Any) -> Any:
        """Streams may change size on the way; boxes are in pixels of the first frame."""
        if (picture.width, picture.height) == (first.width, first.height):
            return picture
        self._note(f"the picture changes size at {_seconds(picture.pts and picture.pts * self._time_base)}")
        return self._scalers.same_size.reformat(
            picture, width=first.width, height=first.height, format=first.format.name
        )

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
                self._note(f"timestamps do not rise at {_seconds(pts * self._time_base)}")
            elif previous is not None and (pts - previous) * self._time_base > max(HOLE_S, 5 / self._fps):
                hole = (pts - previous) * self._time_base
                self._note(f"no frames for {_seconds(hole)} at {_seconds(previous * self._time_base)}")
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
                self._damaged(f"reading fails: {_reason(error)}", error)
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
                    self._damaged(f"decoding fails: {_reason(error)}", error)
                continue  # before the first whole picture: a stream cut into, or the range's lead-in
            for picture in pictures:
                if not picture.is_corrupt:
                    clean = True
                elif clean:
                    self._damaged("the decoder marks a picture as damaged", None, picture.pts)
                yield picture

    # --- damage ---------------------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        kind = text.split(" at ")[0]
        if len(self._notes) < MAX_NOTES and not any(note.startswith(kind) for note in self._notes):
            self._notes.append(text)

    def _damaged(self, what: str, cause: BaseException | None, pts: int | None = None) -> None:
        place = pts if pts is not None else self._last_pts
        at = "at its beginning" if place is None else f"at {_seconds(place * self._time_base)}"
        message = f"{what} {at}, frame {self._decoded}"
        if self._damage == "keep":
            self._note(message)
            return
        raise BadVideo(
            f"{self.source}: damaged: {message}; copy or export the file again, repair it (for example "
            "re-encode it), or allow damaged clips to keep what decodes"
        ) from cause

    def _declared_frames(self) -> int | None:
        """Frames the container speaks of, edit lists applied; None where it does not say."""
        if "mov" in self._container.format.name.split(","):
            entries = len(getattr(self._stream, "index_entries", ()))
            return entries or self._stream.frames or None
        return self._stream.frames or None

    def _declared_end(self) -> Fraction | None:
        """Seconds at which the container says its video ends, where that can be trusted."""
        stream, container = self._stream, self._container
        names = set(container.format.name.split(","))
        start = Fraction(stream.start_time or 0) * self._time_base
        if "mov" in names:
            entries = getattr(stream, "index_entries", None)
            if entries is not None and len(entries):
                return (
                    entries[len(entries) - 1].timestamp * self._time_base
                )  # decode time: never past the last pts
            return None
        if "avi" in names:
            return start + stream.frames / self._fps if stream.frames else None
        if "matroska" in names:
            tag = _clock(stream.metadata.get("DURATION", ""))
            if tag is not None:
                return tag
            alone = len(container.streams) == 1
            return Fraction(container.duration, 1_000_000) if alone and container.duration else None
        return None

    def _check_end(self) -> None:
        if self._ended_early:
            return
        last = None if self._last_pts is None else self._last_pts * self._time_base + 1 / self._fps
        end = self.info.end_s
        whole = self._at_start
        if end is not None and last is not None and self._end is None:
            missing = end - last
            if missing > max(CUT_OFF_S, CUT_OFF_SHARE * end):
                self._damaged(f"cut off: the container promises video to {_seconds(end)} but it ends", None)
        if whole and self._end is None and self.info.frames_declared is not None:
            expected = self.info.frames_declared - self._discarded
            if self._decoded != expected:
                self._note(f"the container speaks of {expected} frames, {self._decoded} were decoded")


def _chain(first: tuple[int, Any], rest: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    yield first
    yield from rest


def _address(source: str) -> str:
    """What FFmpeg is given: local paths as such, whatever characters they hold. Raises BadVideo."""
    if "://" in source:
        return source
    path = Path(source)
    if path.is_dir():
        raise BadVideo(f"{source}: is a folder, not a video; list its files in the manifest, one a row")
    try:
        if not path.exists():
            raise BadVideo(f"{source}: there is no such file; check the path in the manifest")
        if path.stat().st_size == 0:
            raise BadVideo(f"{source}: the file is empty; copy it again")
    except (OSError, ValueError) as error:
        raise BadVideo(f"{source}: cannot be read: {error}") from error
    return f"file:{source}"


def _orientation(picture: Any) -> Orientation:
    with contextlib.suppress(KeyError, ValueError, TypeError):
        matrix = picture.side_data.get("DISPLAYMATRIX")
        if matrix is not None:
            return Orientation.from_display_matrix(np.frombuffer(bytes(matrix), np.int32, 9))
    return Orientation()


def _fraction(value: Any) -> Fraction | None:
    return Fraction(value.numerator, value.denominator) if value else None


def _clock(text: str) -> Fraction | None:
    """Seconds of ``HH:MM:SS.fraction``."""
    parts = text.split(":")
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds


def _seconds(value: Fraction | None) -> str:
    return "an unknown time" if value is None else f"{float(value):.3f} s"


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)
