"""The times of a take: one clock from its first frame on, whatever the source's clock does.

In: packets with the times of their source, and when each came. Out: times of the take, seconds from its first
frame. A connection keeps the source's steps exactly, pauses included. A new connection, and a clock that
falls or runs away, goes on where this machine's clock says: the gap stays a gap. Frames that are missing by
the source's own times are counted.
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
import statistics
from fractions import Fraction
from typing import Any

# A clock that rises by this much more than the time that has passed has jumped. Times of buffered packets run
# ahead of their arrival by less.
MAX_AHEAD_S = Fraction(10)
# Formats without decoding times (Matroska): frames are decoded at most this long before they are shown.
MAX_REORDERED_S = Fraction(1)
TICK_S = Fraction(1, 1000)  # of this machine's clock, and between decoding times that are made up
REORDERED = 16  # frames; H.264 and HEVC allow no more between decoding and presentation
USUAL_STEPS = 30  # frames that say how long a step usually is
MIN_STEPS = 8  # of them, before a longer step counts as frames that are missing
MISSING_FROM = 1.5  # usual steps


@dataclasses.dataclass(frozen=True)
class TakeTime:
    """When a packet is shown and decoded, seconds from the first frame of the take."""

    pts_s: Fraction
    dts_s: Fraction


class MissingFrames:
    """Counts the frames that a stream's times leave room for."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[Fraction] = []  # a heap: times of frames that others may still be shown before
        self._last_s: Fraction | None = None
        self._steps: collections.deque[Fraction] = collections.deque(maxlen=USUAL_STEPS)

    def add(self, pts_s: Fraction) -> None:
        """The next frame in decoding order is shown at `pts_s` seconds."""
        heapq.heappush(self._waiting, pts_s)
        if len(self._waiting) > REORDERED:
            self._step()

    def restart(self) -> None:
        """What comes next does not follow on what came before."""
        while self._waiting:
            self._step()
        self._last_s = None

    def _step(self) -> None:
        pts_s = heapq.heappop(self._waiting)
        if self._last_s is not None:
            step_s = pts_s - self._last_s
            usual_s = statistics.median(self._steps) if len(self._steps) >= MIN_STEPS else Fraction(0)
            if usual_s > 0 and step_s > MISSING_FROM * usual_s:
                self.count += round(step_s / usual_s) - 1
            self._steps.append(step_s)
        self._last_s = pts_s


class TakeClock:
    """Gives packets their times, in decoding order.

    Attributes:
        missing: Frames so far that the source's own times leave room for.
        started_s: When the first packet came, by `time.monotonic`; None: none has come.
        end_s: Seconds of the take until which frames so far are shown.
    """

    def __init__(self, is_paced: bool) -> None:
        """`is_paced`: the source runs by the clock on the wall."""
        self._is_paced = is_paced
        self._missing = MissingFrames()
        self._shift_s: Fraction | None = None  # times of the take are the source's plus this; None: not known
        self._last_dts_s: Fraction | None = None  # by the source's clock
        self._last_arrival_s = 0.0
        self._has_clock, self._frame_s = True, Fraction(1, 25)
        self.started_s: float | None = None
        self.end_s = Fraction(0)

    @property
    def missing(self) -> int:
        return self._missing.count

    def connect(self, frame_s: Fraction, has_clock: bool) -> None:
        """A connection begins.

        Args:
            frame_s: Seconds from one frame to the next, as the stream declares it.
            has_clock: False: packets are shown when they come.
        """
        self._frame_s, self._has_clock = frame_s, has_clock
        self._shift_s = self._last_dts_s = None
        self._missing.restart()

    def place(self, packet: Any, arrived_s: float) -> TakeTime:
        """The time of the next packet; the first of a connection is a keyframe.

        Args:
            packet: Its `pts` and `dts`, either of which may be missing.
            arrived_s: When it came, by `time.monotonic`.
        """
        if self.started_s is None:
            self.started_s = arrived_s
        pts_s, dts_s = self._source_times(packet, arrived_s)
        # Nothing is shown before a keyframe that begins a connection; where a clock jumps, pictures that come
        # later may be shown earlier, and none before this one is decoded.
        if self._shift_s is None:
            self._shift_s = self._next_s(arrived_s) - pts_s
        elif self._jumps(dts_s, arrived_s):
            self._shift_s = self._next_s(arrived_s) - dts_s
            self._missing.restart()
        self._last_dts_s, self._last_arrival_s = dts_s, arrived_s
        time = TakeTime(pts_s + self._shift_s, dts_s + self._shift_s)
        if self._has_clock:
            self._missing.add(time.pts_s)
        self.end_s = max(self.end_s, time.pts_s + self._frame_s)
        return time

    def _next_s(self, arrived_s: float) -> Fraction:
        """Where the take goes on with what came at `arrived_s`: the time that has passed, never back."""
        return max(self.end_s, _in_ticks(arrived_s - (self.started_s or arrived_s)))

    def _source_times(self, packet: Any, arrived_s: float) -> tuple[Fraction, Fraction]:
        """pts and dts of `packet`, seconds by the source's clock."""
        if not self._has_clock:
            arrived = _in_ticks(arrived_s)
            return arrived, arrived
        last_s = self._last_dts_s
        if packet.pts is None and packet.dts is None:  # a stream without a container: its frames are counted
            counted = Fraction(0) if last_s is None else last_s + self._frame_s
            return counted, counted
        pts_s = Fraction(packet.pts if packet.pts is not None else packet.dts) * packet.time_base
        if packet.dts is not None:
            return pts_s, packet.dts * packet.time_base
        dts_s = pts_s - MAX_REORDERED_S
        return pts_s, min(pts_s, dts_s if last_s is None else max(dts_s, last_s + TICK_S))

    def _jumps(self, dts_s: Fraction, arrived_s: float) -> bool:
        """True where the source's clock falls, or rises by far more than the time that has passed."""
        if self._last_dts_s is None:
            return False
        step_s = dts_s - self._last_dts_s
        ahead_s = step_s - _in_ticks(arrived_s - self._last_arrival_s)
        return step_s < 0 or (self._is_paced and ahead_s > MAX_AHEAD_S)


def _in_ticks(seconds: float) -> Fraction:
    return round(seconds / TICK_S) * TICK_S
