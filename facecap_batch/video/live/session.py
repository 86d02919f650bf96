"""The recording of a take: a thread that takes packets from a source and writes them to a file.

In: a `LiveSource`, a file, when to stop. Out: the file, `RecordingState` while it grows, a `RecordedTake` at
the end. The thread does nothing else, so whatever looks at the take meanwhile (a `PacketWatcher`) cannot cost
it a packet. A dropped connection ends the take, or is made anew with growing waits; then the take goes on
after a gap as long as the one that was.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol

import av

from facecap_batch.errors import BadSource, FacecapError
from facecap_batch.video.container import frame_rate
from facecap_batch.video.live.connection import ConnectionLost, LiveConnection
from facecap_batch.video.live.recorder import TIME_BASE, Recorder
from facecap_batch.video.live.sources import LiveSource
from facecap_batch.video.live.take_clock import REORDERED, TakeClock, TakeTime

RECONNECT_S = 120.0  # a connection that stays away for longer ends the take
FIRST_WAIT_S, MAX_WAIT_S = 0.5, 8.0  # before it is tried again; each wait is twice the one before
BLOCKED_S = 2.0  # a reader that waits for data is waited for this long; the file is closed without it
LATE_S = 2.0  # of a source that is silent when the take's time is over
RATE_S = 5.0  # the rate that is shown is that of so many seconds
MIN_SPAN_S = 0.1  # of them

Phase = Literal["connecting", "recording", "reconnecting"]


@dataclasses.dataclass(frozen=True)
class SessionOptions:
    """When a take ends."""

    seconds: float | None = None  # of the take; None: when it is stopped
    timeout_s: float = 10.0  # silence for longer counts as a dropped connection
    reconnect: bool = False  # a dropped connection is made anew, for up to RECONNECT_S


@dataclasses.dataclass(frozen=True)
class RecordingState:
    """How far a recording is."""

    phase: Phase
    frames: int  # written so far
    seconds: float  # of the take
    fps: float  # frames per second, as they came in the last RATE_S seconds
    missing: int  # frames that the source's own times leave room for


@dataclasses.dataclass(frozen=True)
class RecordedTake:
    """What was recorded."""

    frames: int
    seconds: float  # gaps included
    missing: int  # frames that the source's own times leave room for
    left_out: int  # packets that came before a keyframe
    connections: int
    is_compressed: bool  # pictures came uncompressed and were compressed without loss
    ended: str  # why it ended; empty: it was stopped


class NothingRecorded(BadSource):
    """A recording ended before a picture came."""


class PacketWatcher(Protocol):
    """Sees the packets of a take; must return at once."""

    def connected(self, decoder: Any) -> None:
        """Packets from now on are those of a new connection; `decoder` (PyAV) takes copies of them."""
        ...

    def packet(self, packet: Any) -> None:
        """The next packet, in decoding order: a copy, with the times of the take."""
        ...


class RecordingSession:
    """One recording: `start`, `wait` until it has ended, `finish`."""

    def __init__(
        self, source: LiveSource, path: Path, options: SessionOptions, watcher: PacketWatcher | None = None
    ) -> None:
        """
        Args:
            source: What to record.
            path: The file to write.
            options: When to stop.
            watcher: Sees every packet that is written.
        """
        self._source, self._path, self._options, self._watcher = source, path, options, watcher
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._clock = TakeClock(source.is_paced)
        self._recorder: Recorder | None = None
        self._phase: Phase = "connecting"
        # Of the last RATE_S seconds: when packets came, by `time.monotonic`, and when they are decoded.
        self._arrivals: collections.deque[tuple[float, float]] = collections.deque()
        self._last_pts_s = Fraction(0)  # of the take: when the last frame that is kept is shown
        self._frame_s = Fraction(0)  # from one frame to the next, as the stream declares it
        self._left_out = self._connections = 0
        self._is_compressed = False
        self._why = ""
        self._error: BaseException | None = None

    def start(self) -> None:
        """Connect and begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the take; harmless when repeated."""
        self._stopping.set()

    def wait(self, seconds: float) -> bool:
        """Wait for at most `seconds`; True once nothing more will be recorded."""
        started_s, limit = self._clock.started_s, self._options.seconds
        if limit is None or started_s is None or not self._source.is_paced:
            over_s = float("inf")
        else:
            over_s = started_s + limit + LATE_S
        if time.monotonic() > over_s:  # packets say when it is over; a source that is silent does not
            self.stop()
        return self._ended.wait(seconds) or self._stopping.is_set()

    def state(self) -> RecordingState:
        now = time.monotonic()
        recent = [arrival for arrival in tuple(self._arrivals) if arrival[0] > now - RATE_S]
        fps = 0.0
        if recent:
            # What was buffered while the source was opened comes at once: its own times say how fast it was.
            (first_s, first_dts_s), (_, last_dts_s) = recent[0], recent[-1]
            fps = (len(recent) - 1) / max(now - first_s, last_dts_s - first_dts_s, MIN_SPAN_S)
        return RecordingState(
            self._phase,
            self._recorder.frames if self._recorder else 0,
            self._seconds(),
            fps,
            self._clock.missing,
        )

    def finish(self) -> RecordedTake:
        """Close the file.

        Raises:
            BadSource, BadVideo: The source cannot be recorded.
            NothingRecorded: No picture came.
            OSError: The file cannot be written.
        """
        self._stopping.set()
        self._thread.join(BLOCKED_S)
        if self._recorder is not None:
            self._recorder.close()
        if self._error is not None:
            raise self._error
        frames = self._recorder.frames if self._recorder else 0
        if not frames:
            why = self._why or "it was stopped before a picture came"
            raise NothingRecorded(
                f"{self._source.label}: nothing was recorded: {why}"
                + (f"; {self._left_out} packets came, and no keyframe" if self._left_out else "")
            )
        return RecordedTake(
            frames,
            self._seconds(),
            self._clock.missing,
            self._left_out,
            self._connections,
            self._is_compressed,
            self._why,
        )

    def _seconds(self) -> float:
        """Of the take: until when its last frame is shown."""
        return float(self._last_pts_s + self._frame_s)

    # --- the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._record_all()
        except BaseException as error:  # it is raised by `finish`, in the thread of whoever waits
            self._error = error
        finally:
            self._ended.set()

    def _record_all(self) -> None:
        first = self._connect()
        parameters = first.parameters
        self._is_compressed = first.is_raw
        with Recorder(self._path, first) as recorder:
            self._recorder = recorder
            connection: LiveConnection | None = first
            while connection is not None:
                with contextlib.closing(connection):
                    is_over = self._record(connection, recorder)
                connection = None if is_over else self._reconnect()
                if connection is not None and (difference := parameters.difference(connection.parameters)):
                    self._why = f"the stream came back with {difference}, which is another take"
                    connection.close()
                    connection = None

    def _connect(self) -> LiveConnection:
        return LiveConnection(self._source, self._options.timeout_s, self._stopping)

    def _record(self, connection: LiveConnection, recorder: Recorder) -> bool:
        """Record one connection to its end; True where the take is over with it."""
        self._connections += 1
        self._phase, self._why = "recording", ""
        self._frame_s = 1 / frame_rate(connection.stream)
        self._clock.connect(self._frame_s, connection.has_clock)
        if self._watcher is not None:
            self._watcher.connected(connection.new_decoder())
        late = 0  # packets since the take was over
        try:
            for packet in connection.packets():
                now = time.monotonic()
                taken = self._clock.place(packet, now)
                if not late and not self._is_over(taken):
                    self._keep(packet, taken, now, recorder)
                    continue
                late += 1
                if taken.dts_s >= self._last_pts_s or late > REORDERED:
                    return True
                if taken.pts_s < self._last_pts_s:  # it is shown before a frame that is kept
                    self._keep(packet, taken, now, recorder)
            self._why = "the stream ended"
        except ConnectionLost as error:
            self._why = f"the connection was lost: {error}"
        finally:
            self._left_out += connection.left_out
        return self._stopping.is_set()

    def _is_over(self, taken: TakeTime) -> bool:
        """Whether the take ends before a packet of this time."""
        limit = self._options.seconds
        return self._stopping.is_set() or (limit is not None and taken.dts_s >= limit)

    def _keep(self, packet: Any, taken: TakeTime, now: float, recorder: Recorder) -> None:
        """Write a packet that came at `now`."""
        self._last_pts_s = max(self._last_pts_s, taken.pts_s)
        copy = _copy(packet, taken) if self._watcher is not None else None
        recorder.add(packet, taken)
        self._arrivals.append((now, float(taken.dts_s)))
        while self._arrivals[0][0] < now - RATE_S:
            self._arrivals.popleft()
        if self._watcher is not None and copy is not None:
            self._watcher.packet(copy)

    def _reconnect(self) -> LiveConnection | None:
        """A new connection; None where none is to be made, or none can be made in time."""
        if not self._options.reconnect:
            return None
        self._phase = "reconnecting"
        lost_s, wait_s = time.monotonic(), FIRST_WAIT_S
        while not self._stopping.wait(wait_s):
            try:
                return self._connect()
            except FacecapError as error:
                if time.monotonic() - lost_s > RECONNECT_S:
                    self._why += f", and could not be made anew for {RECONNECT_S:g} s: {error}"
                    return None
            wait_s = min(2 * wait_s, MAX_WAIT_S)
        return None


def _copy(packet: Any, taken: TakeTime) -> Any:
    """A packet of the same data, of its own, with the times of the take."""
    copy = av.Packet(bytes(packet))
    copy.time_base = TIME_BASE
    copy.pts, copy.dts = round(taken.pts_s / TIME_BASE), round(taken.dts_s / TIME_BASE)
    copy.is_keyframe = packet.is_keyframe
    return copy
