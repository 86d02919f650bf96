"""Decoding: a file, or a range of it, to frames in order of presentation with the container's own pts.

In: a path or URI, an optional range. Out: `VideoInfo` and an iterator of `Frame`. Display rotation is
applied; edit lists, B-frames and variable rates are the container's business and come out as pts. Threads
are always explicit (an automatic count has deadlocked decoders) and the container is closed on every way
out. What a damaged file comes to is decided in `damage`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from facecap_batch.errors import BadVideo
from facecap_batch.video import nvdec
from facecap_batch.video.container import (
    as_fraction,
    close_container,
    declared_frames,
    frame_rate,
    jumps_in_time,
    odd_duration,
    open_container,
    reason,
    seconds,
    seek,
    time_origin,
    video_stream,
)
from facecap_batch.video.damage import DamageLog
from facecap_batch.video.formats.limits import LIMITS, Limits, raise_if_out_of_memory
from facecap_batch.video.formats.recognition import without_frames
from facecap_batch.video.frame import Frame
from facecap_batch.video.info import VideoInfo, video_info
from facecap_batch.video.options import Damage, HardwareDecoding, check_options
from facecap_batch.video.orientation import Orientation, display_orientation
from facecap_batch.video.scaling import FrameScalers
from facecap_batch.video.timing.continuity import runs_on
from facecap_batch.video.timing.frame_times import FrameTimes, Stamps, decoding_order, read_stamps
from facecap_batch.video.timing.packets import PacketStream
from facecap_batch.video.views import Views

# A hole in the timestamps this long is noted: packets may be lost there without any error.
HOLE_S = Fraction(1, 2)
# A seek that lands too late is retried this much earlier, then from the beginning of the file.
SEEK_MARGINS_S = (Fraction(0), Fraction(3), Fraction(15))

# A frame as the decoder leaves it: pts in units of the stream's time base, image, orientation.
TimedFrame = tuple[int, av.VideoFrame, Orientation]
Sign = tuple[str, Fraction | None, int, BaseException | None]  # as `DamageLog.damaged` takes it


class _LastDamaged(Exception):
    """The last picture is damaged: several threads lose the frames that they hold then."""


def probe(path: str | Path) -> VideoInfo:
    """Open `path` and decode its first frame.

    Raises:
        BadVideo: The file cannot be opened, or no frame of it decodes.
        NoVideoStream: It holds no video.
    """
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
    """Frames of `path` with start <= time < end, in order of presentation; arguments as of `Video`."""
    with Video(path, start, end, thread_count, damage, hwaccel) as video:
        yield from video.frames()


class Video:
    """One open video; a context manager that closes it.

    Attributes:
        info: What the container declares, and what the first frame of the range shows.
        notes: What was odd about the file, complete once `frames` has ended.
        steady: False once more than a hole in time was noted.
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
        proven: bool = False,
        limits: Limits = LIMITS,
    ) -> None:
        """Open `path` and decode to the first frame of the range.

        Args:
            path: A local path or a URI.
            start, end: Seconds on the container's time line, the scale of `time_s` (for MPEG-TS and MPEG-PS,
                whose clocks start anywhere, seconds after the first timestamp of the video); None: the
                beginning and the end.
            thread_count: Frames decoded at once, 1..16.
            damage: What happens to a damaged file.
            hwaccel: Whether the GPU decodes.
            first_index: Number of the first frame, for a piece of a clip.
            proven: The caller has listed the file's packets: each has the time at which its frame is shown,
                on one clock. Spares looking for that.
            limits: What pictures and clip may have.

        Raises:
            BadVideo: The file cannot be opened, or no frame in the range decodes; TooLarge of `limits`.
            NoVideoStream: It holds no video.
            DecoderUnavailable: The GPU was asked for by name and is not there.
            ValueError: An argument is none of those accepted.
        """
        check_options(damage, hwaccel, thread_count)
        self.source = str(path)
        self._thread_count = thread_count
        self._hwaccel = hwaccel
        self._damage = DamageLog(self.source, damage)
        self._scalers = FrameScalers()
        self._proven = proven
        self._limits = limits
        self._first_index = first_index
        self._container: Any = None
        self._at_start = start is None
        self._ended_early = False  # stopped at `end`, not at the end of the file
        self._decoded = first_index
        self._last_pts: int | None = None
        self._last_sign: Sign | None = None  # of damage in what may be the last picture
        try:
            self._open()
            origin = time_origin(self._container, self._stream)
            self._start = None if start is None else start + origin
            self._end = None if end is None else end + origin
            self._timed_frames = self._from_first()
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
        return tuple(self._damage.notes)

    @property
    def steady(self) -> bool:
        return self._damage.steady

    def frames(self) -> Iterator[Frame]:
        """The frames of the range, once.

        Raises:
            BadVideo: At the first damage, unless it is to be kept; TooLarge beyond the limits.
        """
        for pts, coded, orientation in self._resumed():
            self._limits.check_frames(self.source, self._decoded - self._first_index + 1)
            if change := self._views.change(coded, orientation):
                for size in ((coded.width, coded.height), self._views.size):
                    self._limits.check_size(self.source, *size)
                self._damage.note(f"{change} at {seconds(pts * self._time_base)}")
            fitted = self._views.fitted(coded)
            if self._separator is not None:
                fitted = self._separator.separated(fitted)
            yield Frame(self._decoded, pts, fitted, orientation, self._scalers)
            self._decoded += 1
            self._last_pts = pts
        self._check_end()

    def _resumed(self) -> Iterator[TimedFrame]:
        """The frames of the range; by one thread where several lost what they held."""
        done = 0
        try:
            for timed in self._timed_frames:
                yield timed
                done += 1
        except _LastDamaged:
            yield from itertools.islice(self._from_start_by_one(), done, None)

    def _from_start_by_one(self) -> Iterator[TimedFrame]:
        """`_from_start`, again and decoded by one thread."""
        self._thread_count = 1
        self._reopen()
        return self._from_start()

    # --- opening --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._container = open_container(self.source, self._hwaccel, self._limits)
        self._stream = video_stream(self._container, self.source)
        context = self._stream.codec_context
        # Threads would only wait for the GPU.
        self._separator = nvdec.PlaneSeparator() if nvdec.in_use(context) else None
        threads = self._thread_count if self._separator is None else 1
        context.thread_count = threads
        context.thread_type = "FRAME" if threads > 1 else "SLICE"
        self._time_base = as_fraction(self._stream.time_base) or Fraction(1, 1000)
        self._fps = frame_rate(self._stream)
        self._first_aspect = as_fraction(context.sample_aspect_ratio)
        self._packets = self._new_packets()

    def _new_packets(self) -> PacketStream:
        return PacketStream(self._container, self._stream, self._damage)

    def _read_stamps(self) -> Stamps:
        """What the packets' time stamps mean; the container stands at its beginning before and after."""
        try:
            head = self._packets.head(timed=False)
            if head and head[0].pts is None and head[0].dts is None:
                head += self._packets.head(timed=True)
        except (av.error.FFmpegError, OSError):
            self._reopen()
            return Stamps()
        stamps = read_stamps(self._container, self._stream, head)
        if stamps is None:
            stamps = decoding_order(self._stream, head)
            self._reopen()
        return stamps

    def _from_first(self) -> Iterator[TimedFrame]:
        """Decode to the first frame of the range, fill in `info`, return all frames, the first included."""
        rest = self._from_start()
        try:
            first = next(rest, None)
        except _LastDamaged:
            rest = self._from_start_by_one()
            first = next(rest, None)
        declared = declared_frames(self._container, self._stream)
        if tag := odd_duration(self._stream):
            self._damage.note_steady(f"the tag DURATION is no time and is ignored: {tag}")
        if first is None:
            raise BadVideo(without_frames(self.source, declared, self._start, self._end))
        if declared is not None and self._start is None and self._end is None:
            self._limits.check_frames(self.source, declared)
        _, coded, orientation = first
        self._views = Views(self._stream, self._first_aspect, coded)
        self._limits.check_size(self.source, *self._views.size)
        shown = orientation.size(*self._views.size)
        self.info = video_info(
            self.source, self._container, self._stream, orientation, shown, coded.format.name
        )
        return itertools.chain([first], rest)

    # --- decoding -------------------------------------------------------------------------------------------

    def _from_start(self) -> Iterator[TimedFrame]:
        """All frames from `start` on; seeks where that helps, else decodes from the beginning."""
        stamps = Stamps() if self._proven else self._read_stamps()
        if self._start is None:
            yield from self._in_range(self._timed(stamps))
            return
        for margin in SEEK_MARGINS_S if self._seeks_well(stamps) else ():
            seek_to = self._start - margin
            if seek_to <= 0 or not self._seek(int(seek_to / self._time_base)):
                break
            frames = self._timed(Stamps())
            first = next(frames, None)
            if first is not None and self._times.certain and first[0] * self._time_base <= self._start:
                yield from self._in_range(itertools.chain([first], frames))
                return
        self._reopen()
        yield from self._in_range(self._timed(stamps))

    def _seeks_well(self, stamps: Stamps) -> bool:
        """True where a time leads to one frame, whichever frames come before it."""
        if self._proven or not stamps.can_seek:
            return self._proven
        return not jumps_in_time(self._container) or runs_on(self.source, self._limits)

    def _seek(self, pts: int) -> bool:
        if not seek(self._container, self._stream, pts):
            return False
        self._packets = self._new_packets()
        return True

    def _reopen(self) -> None:
        self.close()
        self._open()

    def _in_range(self, frames: Iterator[TimedFrame]) -> Iterator[TimedFrame]:
        for pts, coded, orientation in frames:
            time = pts * self._time_base
            if self._end is not None and time >= self._end:
                self._ended_early = True
                return
            if self._start is None or time >= self._start:
                yield pts, coded, orientation

    def _timed(self, stamps: Stamps) -> Iterator[TimedFrame]:
        """Every frame from where the container stands, with its pts."""
        self._times = FrameTimes(stamps, 1 / (self._fps * self._time_base), self._damage)
        previous: int | None = None
        orientation = Orientation()
        for coded in self._decode_all():
            pts = self._times.of(coded)
            if previous is not None and pts <= previous:
                self._damage.note(f"timestamps do not rise at {seconds(pts * self._time_base)}")
            elif previous is not None and (pts - previous) * self._time_base > max(HOLE_S, 5 / self._fps):
                self._damage.note_hole((pts - previous) * self._time_base, previous * self._time_base)
            previous = pts
            # It holds until the next keyframe. To read side data of every frame takes a tenth of decoding.
            if coded.key_frame or coded.rotation:
                orientation = display_orientation(coded)
            yield pts, coded, orientation

    def _decode_all(self) -> Iterator[av.VideoFrame]:
        """Frames from where the container stands to its end."""
        clean = False
        self._last_sign = None
        packets = iter(self._packets)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                raise_if_out_of_memory(error)
                self._damage.damaged(*self._sign(f"reading fails: {reason(error)}", error, None))
                return
            if packet is None:
                break
            if packet.size and self._last_sign is not None:
                self._damage.damaged(*self._last_sign)  # more follows: it was not the last picture
            self._times.sent(packet)
            try:
                frames = packet.decode()
            except EOFError:
                break
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise_if_out_of_memory(error)
                if clean:
                    self._perhaps_last(f"decoding fails: {reason(error)}", error)
                continue  # before the first whole frame: a stream cut into, or the range's lead-in
            for coded in frames:
                if not coded.is_corrupt:
                    clean = True
                elif clean and self._perhaps_last("the decoder marks a picture as damaged", None, coded.pts):
                    continue
                yield coded
        if self._times.last_unshown and self._stream.codec_context.thread_count > 1:
            raise _LastDamaged
        if self._last_sign is not None:
            if not self._times.only_last_unshown:
                self._damage.damaged(*self._last_sign)
            self._damage.note(f"the last picture is damaged and left out: {self._last_sign[0]}")

    # --- damage ---------------------------------------------------------------------------------------------

    def _perhaps_last(self, what: str, cause: BaseException | None, pts: int | None = None) -> bool:
        """Note damage that is to be kept. Else wait for what follows and return True: a last picture that is
        damaged is left out."""
        sign = self._sign(what, cause, pts)
        if self._damage.damage == "keep" or self._last_sign is not None:
            self._damage.damaged(*sign)
            return False
        self._last_sign = sign
        return True

    def _sign(self, what: str, cause: BaseException | None, pts: int | None) -> Sign:
        pts = pts if pts is not None else self._last_pts
        return what, None if pts is None else pts * self._time_base, self._decoded, cause

    def _check_end(self) -> None:
        """Compare what was decoded with what the container promises, where the file's end was reached."""
        if self._ended_early or self._end is not None:
            return
        self._damage.check_ending()
        if self.info.end_s is not None and self._last_pts is not None:
            last_s = self._last_pts * self._time_base
            end_s = max(last_s + 1 / self._fps, self._packets.shown_until or last_s)
            self._damage.check_end(end_s, self.info.end_s, self._decoded, last_s)
        if self._at_start and self.info.frames_declared is not None:
            hidden = self._packets.hidden + self._packets.empty
            self._damage.check_count(self.info.frames_declared - hidden, self._decoded)
