"""Where a long clip is cut: into segments that begin at keyframes and can be decoded by themselves.

In: a clip, the capture settings, how long a segment should be. Out: `SegmentPlan`, or None for a clip that
stays in one piece. The packets of the file are listed without decoding; from their timestamps follows the
number of every frame. Nothing but the clip and the configuration decides where cuts lie.

A segment is decoded from a keyframe on, but its core frames begin `WARM_UP` detections later: until then the
tracker settles, and what was decoded is compared with what the segment before decoded there.

A clip stays in one piece where this cannot be done safely: packets without timestamps or with equal ones, a
frame count that contradicts the container's, no keyframes inside, a file that cannot be read to its end,
seeks that do not lead to the keyframe or shortly before it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from facecap_batch.capturing.segments.plan import Segment
from facecap_batch.capturing.tracker import LOOKAHEAD, MAX_MISSED
from facecap_batch.clip import Clip
from facecap_batch.video.container import (
    as_fraction,
    declared_frames,
    demuxed,
    jumps_in_time,
    opened,
    seek,
    time_origin,
    video_stream,
)
from facecap_batch.video.damage import DamageLog
from facecap_batch.video.decoder import SEEK_MARGINS_S
from facecap_batch.video.formats.limits import LIMITS, Limits
from facecap_batch.video.timing.continuity import runs_on
from facecap_batch.video.timing.packets import PacketStream

# Detections in the preroll, before a segment's core frames. A track whose face is missed longer has ended,
# and boxes are smoothed over their neighbours: with these the tracker nearly always agrees with the tracker
# of the whole clip.
WARM_UP = MAX_MISSED + 3
# Of a segment's length: a shorter rest is left to the segment before.
SHORTEST_REST = Fraction(1, 2)
PROGRESS_EVERY = 500  # packets
# Seeks of a file that may miss before no further cut is tried.
MAX_MISSES = 3
# Before a range that begins inside a file: its first frames may lie behind a packet that is shown later.
LIST_EARLIER_S = SEEK_MARGINS_S[1]


@dataclasses.dataclass(frozen=True, eq=False)
class PacketTimes:
    """When the frames of a clip are shown, as its packets give it."""

    pts: np.ndarray  # int64 [N], rising, every frame of the clip
    keyframes: np.ndarray  # int64 [K], rising, those of them that can be decoded without others
    time_base: Fraction  # seconds per pts unit
    origin: Fraction  # container time that the clip's `start` and `end` count from, seconds

    def seconds(self, first: int, last: int) -> Fraction:
        """From frame number `first` to frame number `last`."""
        return int(self.pts[last] - self.pts[first]) * self.time_base


def may_be_long(clip: Clip, segment_s: float, limits: Limits = LIMITS) -> bool:
    """False for a clip that stays in one piece for its length, by its range or its container.

    Costs no more than opening the file. Raises BadVideo.
    """
    if clip.end is not None:
        return _is_long(clip.end - (clip.start or 0), segment_s)
    with opened(clip.path, limits) as container:
        stream = video_stream(container, clip.path)
        length = _length(container, stream)
        return length is None or _is_long(length - (clip.start or 0), segment_s)


def packet_times(
    clip: Clip, progress: Callable[[int], None] | None = None, limits: Limits = LIMITS
) -> PacketTimes | None:
    """List the packets of `clip`; None where they do not give the time of every frame. Raises BadVideo.

    `progress` is called with 0 now and then: listing a large file takes a while.
    """
    with opened(clip.path, limits) as container:
        stream = video_stream(container, clip.path)
        time_base = as_fraction(stream.time_base) or Fraction(1, 1000)
        origin = time_origin(container, stream)
        first = None if clip.start is None else math.ceil((clip.start + origin) / time_base)
        end = None if clip.end is None else math.ceil((clip.end + origin) / time_base)
        pts: list[int] = []
        keyframes: list[int] = []
        ranged = first is not None or end is not None
        if ranged and jumps_in_time(container) and not runs_on(clip.path, limits):
            return None
        _seek_before(container, stream, first, time_base)
        packets = PacketStream(container, stream, DamageLog(clip.path, "keep"))
        try:
            for packet in packets:
                # No packet is shown before it is decoded: none that follows is shown before `end`.
                if end is not None and packet.dts is not None and packet.dts >= end:
                    break
                if progress is not None and len(pts) % PROGRESS_EVERY == 0:
                    progress(0)
                if packets.joins:
                    return None
                if packet.is_discard or not packet.size:  # an edit list hides it, or it marks the end
                    continue
                if packet.pts is None or packet.is_corrupt:
                    return None
                pts.append(packet.pts)
                limits.check_frames(clip.path, len(pts))
                if packet.is_keyframe:
                    keyframes.append(packet.pts)
        except (av.error.FFmpegError, OSError):
            return None
        declared = None if ranged else declared_frames(container, stream)
        unshown = packets.hidden + packets.empty
    shown = np.unique(np.array(pts, np.int64))
    if len(shown) != len(pts) or declared not in (None, len(pts) + unshown):
        return None
    if first is not None:
        shown = shown[shown >= first]
    if end is not None:
        shown = shown[shown < end]
    return PacketTimes(shown, np.intersect1d(shown, np.array(keyframes, np.int64)), time_base, origin)


def _seek_before(container: Any, stream: Any, first: int | None, time_base: Fraction) -> None:
    """Seek to some packets before those of the frame with pts `first`; None: the container's beginning."""
    seek_to = 0 if first is None else first - int(LIST_EARLIER_S / time_base)
    if seek_to > 0:
        seek(container, stream, seek_to)


def cut(
    clip: Clip, times: PacketTimes, detect_every: int, segment_s: float, limits: Limits = LIMITS
) -> tuple[Segment, ...]:
    """Segments of `clip`, of `segment_s` seconds or as much longer as the next keyframe is away.

    `detect_every`: frames from one detection to the next. Empty where no cut point is found. Raises
    BadVideo.
    """
    starts = []
    begin = 0
    misses = 0
    with opened(clip.path, limits) as container:
        stream = video_stream(container, clip.path)
        for keyframe in np.searchsorted(times.pts, times.keyframes).tolist():
            preroll_start = -(-keyframe // detect_every) * detect_every
            first = preroll_start + WARM_UP * detect_every
            if first + (LOOKAHEAD + 1) * detect_every >= len(times.pts):
                break
            if times.seconds(first, len(times.pts) - 1) < SHORTEST_REST * Fraction(segment_s):
                break
            if times.seconds(begin, first) < segment_s or misses > MAX_MISSES:
                continue
            if not _lands(container, stream, times, preroll_start, segment_s):
                misses += 1
                continue
            starts.append((preroll_start, first))
            begin = first
    return tuple(_segments(times, starts)) if starts else ()


def _segments(times: PacketTimes, starts: list[tuple[int, int]]) -> Iterator[Segment]:
    count = len(times.pts)
    firsts = [0, *(first for _, first in starts), count - 1]
    yield Segment(0, None, 0, 0, firsts[1], float(times.seconds(0, firsts[1])))
    for number, (preroll_start, first) in enumerate(starts, 1):
        last = number == len(starts)
        yield Segment(
            number=number,
            start=int(times.pts[preroll_start]) * times.time_base - times.origin,
            preroll_start=preroll_start,
            first=first,
            end=None if last else firsts[number + 1],
            seconds=float(times.seconds(first, firsts[number + 1])),
        )


def _lands(container: Any, stream: Any, times: PacketTimes, preroll_start: int, segment_s: float) -> bool:
    """True where `Video` finds, on its way to frame number `preroll_start`, a keyframe shortly before it."""
    wanted = int(times.pts[preroll_start])
    for margin in SEEK_MARGINS_S:
        seek_to = wanted - int(margin / times.time_base)
        if not seek(container, stream, seek_to):
            return False
        try:
            # A transport stream is entered anywhere; decoders wait for the next keyframe.
            packet = next((packet for packet in demuxed(container, stream) if packet.is_keyframe), None)
        except (av.error.FFmpegError, OSError):
            return False
        if packet is not None and packet.pts is not None and packet.pts <= wanted:
            early = (wanted - packet.pts) * times.time_base
            return bool(early <= margin + max(1, segment_s))
    return False


def _is_long(seconds: Fraction, segment_s: float) -> bool:
    return seconds >= (1 + SHORTEST_REST) * Fraction(segment_s)


def _length(container: Any, stream: Any) -> Fraction | None:
    if stream.duration and stream.time_base:
        return Fraction(stream.duration * (as_fraction(stream.time_base) or 0))
    return Fraction(container.duration, 1_000_000) if container.duration else None
