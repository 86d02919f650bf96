"""The packets of a video stream in decoding order, without empty ones, on one clock.

In: an open container and its video stream, from where the container stands. Out: packets for the decoder.
Recordings that were joined byte by byte (recorders, savers of HLS, `cat`) begin their clock anew, or let it
jump: from there on all times are shifted, so that the take goes on one frame after the last one. Samples of
size 0 mark frames that the recorder dropped: they are skipped.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from facecap_batch.errors import BadVideo
from facecap_batch.video.container import as_fraction, demuxed, formats, frame_rate, jumps_in_time, seconds
from facecap_batch.video.damage import DamageLog
from facecap_batch.video.formats.encryption import ENCRYPTED

# A longer step of the clock is no pause. FFmpeg's limits: transport streams are cut and joined all the time,
# every other container means what it says unless that is absurd.
MAX_STEP_JOINED_S = Fraction(10)
MAX_STEP_S = Fraction(30 * 3600)
# A fall of the decoding times below this share of a frame is a rounding of the muxer.
GLITCH_SHARE = Fraction(1, 2)
MAX_REORDERED = 16  # frames; H.264 and HEVC allow no more between decoding and presentation
MAX_HEAD_PACKETS = 1024  # packets without a time, before a stream is taken to have none
MAX_HEAD_BYTES = 64 * 2**20


class PacketStream:
    """Packets of one stream; iterate it once.

    Attributes:
        empty: Samples of size 0 so far.
        hidden: Packets so far that an edit list hides.
        joins: How often the clock began anew or jumped so far.
        shown_until: Seconds until which the packets so far are shown, by their own durations; None where
            they have no times.
    """

    def __init__(self, container: Any, stream: Any, log: DamageLog) -> None:
        """`container` stands where the packets are to begin; `log` takes the notes."""
        self._packets = demuxed(container, stream)
        self._log = log
        self._time_base = as_fraction(stream.time_base) or Fraction(1, 1000)
        self._frame_ticks = max(1, round(1 / (frame_rate(stream) * self._time_base)))
        reorders = bool(stream.codec_context.has_b_frames)
        # Matroska holds no decoding times; FFmpeg's guess is of no use once the clock begins anew.
        self._by_pts = "matroska" in formats(container)
        max_step = MAX_STEP_JOINED_S if jumps_in_time(container) else MAX_STEP_S
        self._max_step = int(max_step / self._time_base)
        self._offset = 0
        # Packets that may be shown after one that follows them, with room for a codec that reorders more
        # than it announces.
        depth = int(getattr(stream.codec_context, "reorder_depth", MAX_REORDERED))
        self._reordered = min(MAX_REORDERED, 2 * depth + 2) if reorders and self._by_pts else 0
        self._recent: collections.deque[int] = collections.deque(maxlen=self._reordered + 1)
        self._max_pts: int | None = None
        self._untimed = 0  # packets since the last join whose pts is that of another
        self._shown_until: int | None = None
        self._last_ticks = 0  # duration of the packet before
        self._waiting: collections.deque[Any] = collections.deque()
        self.empty = self.hidden = self.joins = 0

    @property
    def shown_until(self) -> Fraction | None:
        return None if self._shown_until is None else self._shown_until * self._time_base

    def __iter__(self) -> Iterator[Any]:
        """The packets, and at the end the one without data that empties the decoder.

        Raises:
            BadVideo: Its pictures are encrypted: what decodes of them is noise.
            av.error.FFmpegError, OSError: The container cannot be read.
        """
        while True:
            packet = self._waiting.popleft() if self._waiting else next(self._packets, None)
            if packet is None:
                return
            if not packet.size and (packet.dts is not None or packet.pts is not None):
                self.empty += 1
                at = packet.pts if packet.pts is not None else packet.dts
                self._log.note_steady(
                    f"an empty sample is skipped at {seconds((at + self._offset) * self._time_base)}"
                )
                continue
            if packet.size:
                if packet.has_sidedata("encryption_info"):
                    raise BadVideo(f"{self._log.source}: {ENCRYPTED}")
                self._put_on_clock(packet)
                self.hidden += bool(getattr(packet, "is_discard", False))
            yield packet

    def head(self, timed: bool) -> list[Any]:
        """The next packets with data, which are still to come: as many as a decoder may reorder.

        Args:
            timed: Look on until a packet has a pts, within `MAX_HEAD_PACKETS` and `MAX_HEAD_BYTES`.

        Raises:
            As `__iter__`.
        """
        size, since = 0, 0
        found: list[Any] = []
        while since <= MAX_REORDERED and len(found) < MAX_HEAD_PACKETS and size < MAX_HEAD_BYTES:
            packet = next(self._packets, None)
            if packet is None:
                break
            self._waiting.append(packet)
            if packet.size:
                found.append(packet)
                size += packet.size
                since += bool(since or packet.pts is not None or not timed)
        return found

    def _put_on_clock(self, packet: Any) -> None:
        stamp = packet.dts if packet.dts is not None and not self._by_pts else packet.pts
        if self._by_pts or packet.dts is not None:
            self._join(packet, stamp)
        both = not self._by_pts and packet.pts is not None and packet.dts is not None
        if both and packet.pts - packet.dts > self._max_step:
            packet.pts = None  # a parser's guess: that of a packet behind a place where files were joined
            self._untimed += 1
        if self._offset:
            packet.pts = None if packet.pts is None else packet.pts + self._offset
            packet.dts = None if packet.dts is None else packet.dts + self._offset
        self._last_ticks = int(packet.duration or 0)
        if packet.pts is not None:
            self._max_pts = max(packet.pts, packet.pts if self._max_pts is None else self._max_pts)
            until = packet.pts + (self._last_ticks or self._frame_ticks)
            self._shown_until = max(until, until if self._shown_until is None else self._shown_until)

    def _join(self, packet: Any, stamp: int | None) -> None:
        """Shift the clock from here on where `stamp` cannot follow the stamps before it."""
        if stamp is None:
            return
        if self._recent:
            now = stamp + self._offset
            glitch = GLITCH_SHARE * self._frame_ticks
            later = sum(earlier - now > glitch for earlier in self._recent)
            jumps = later > self._reordered or now - max(self._recent) > self._max_step
            if jumps and not self._is_shown_next(packet):
                self._begin_anew(packet, stamp)
        self._recent.append(stamp + self._offset)

    def _is_shown_next(self, packet: Any) -> bool:
        """True for a packet that is shown soon after all before it, whatever its decoding time is."""
        if packet.pts is None or self._max_pts is None:
            return False
        return bool(0 < packet.pts + self._offset - self._max_pts <= self._max_step)

    def _begin_anew(self, packet: Any, stamp: int) -> None:
        usual = self._last_ticks if 0 < self._last_ticks <= 2 * self._frame_ticks else self._frame_ticks
        shown = packet.pts is not None and self._max_pts is not None
        first, last = (packet.pts, self._max_pts) if shown else (stamp, self._recent[-1])
        offset = int(last or 0) + (1 + self._untimed) * usual - int(first)
        self._untimed = 0
        by = (self._offset - offset) * self._time_base
        self._offset = offset
        self._recent.clear()
        self.joins += 1
        at = seconds((int(first) + offset) * self._time_base)
        way = f"{seconds(by)} ahead" if by > 0 else f"{seconds(-by)} behind"
        self._log.note(f"the clock jumps at {at}: it goes on {way}; the take goes on without a gap")
