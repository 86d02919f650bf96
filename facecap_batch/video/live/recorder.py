"""The file of a take while it is recorded: packets as they came, in Matroska.

In: the packets of a stream and their times. Out: one file. Nothing is encoded again; pictures that come
uncompressed are compressed without loss (FFV1), as Matroska files of them would fill a disk. Matroska because
what is there of a file that was never closed can be read, and because a pause of any length stays a pause in
it (in transport streams a long one counts as a join). Its times are whole milliseconds.
"""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from facecap_batch.errors import BadSource
from facecap_batch.video.container import as_fraction, reason
from facecap_batch.video.live.connection import LiveConnection
from facecap_batch.video.live.take_clock import TakeTime
from facecap_batch.video.scaling import Scaler

SUFFIX = ".mkv"
TIME_BASE = Fraction(1, 1000)  # Matroska's, as FFmpeg writes it
# A process that is killed loses what it had not written: at most this much of the take.
UNWRITTEN_S = 1
OPTIONS = {
    "cluster_time_limit": str(1000 * UNWRITTEN_S),  # milliseconds
    "flush_packets": "1",
}
FFV1_OPTIONS = {"level": "3", "g": "1", "slices": "4", "slicecrc": "1"}
# Pixel formats that FFV1 does not know, and those that hold the same samples in another order.
REPACKED = {
    **dict.fromkeys(("yuyv422", "uyvy422", "yvyu422", "nv16"), "yuv422p"),
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
    **dict.fromkeys(("rgb24", "bgr24", "rgb0", "0rgb", "0bgr"), "bgr0"),
}


class Recorder:
    """Writes one file; may be closed by another thread than the one that adds.

    Attributes:
        frames: Packets written so far.
    """

    def __init__(self, path: Path, connection: LiveConnection) -> None:
        """`connection`: what the file is to hold, as its first connection has it.

        Raises:
            BadSource: Matroska cannot hold it.
            OSError: The file cannot be written.
        """
        self.frames = 0
        self._lock = threading.Lock()
        self._last_dts: int | None = None
        self._container: Any = av.open(str(path), "w", format="matroska", options=OPTIONS)
        try:
            self._encoder = _Lossless(connection) if connection.is_raw else None
            if self._encoder is not None:
                self._stream = self._encoder.add_to(self._container)
            else:
                self._stream = self._container.add_stream_from_template(connection.stream, opaque=True)
                self._container.start_encoding()
        except (ValueError, av.error.FFmpegError) as error:
            self.close()
            if isinstance(error, OSError):
                raise
            raise BadSource(
                f"{connection.parameters.codec} cannot be kept in Matroska ({reason(error)}); have the "
                "sender send H.264, for example"
            ) from error

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, packet: Any, time: TakeTime) -> None:
        """Write a packet, which is the file's from now on; nothing once it is closed. Raises OSError."""
        with self._lock:
            if self._container is None:
                return
            pts, dts = round(time.pts_s / TIME_BASE), round(time.dts_s / TIME_BASE)
            dts = min(dts, pts) if self._last_dts is None else max(min(dts, pts), self._last_dts + 1)
            self._last_dts = dts
            packet.duration = round((packet.duration or 0) * packet.time_base / TIME_BASE)
            packet.pts, packet.dts, packet.time_base = max(pts, dts), dts, TIME_BASE
            if self._encoder is not None:
                self._container.mux(self._encoder.encode(packet))
            else:
                packet.stream = self._stream
                self._container.mux(packet)
            self.frames += 1

    def close(self) -> None:
        """Finish the file; harmless when repeated. Raises OSError."""
        with self._lock:
            container, self._container = self._container, None
            if container is None:
                return
            try:
                if self.frames and self._encoder is not None:
                    container.mux(self._encoder.rest())
            finally:
                container.close()


class _Lossless:
    """Uncompressed pictures to FFV1."""

    def __init__(self, connection: LiveConnection) -> None:
        self._decoder = connection.new_decoder()
        self._source = connection.stream
        self._scaler = Scaler()
        given = self._decoder.pix_fmt
        self._pixel_format = REPACKED.get(given, given)
        known = {video_format.name for video_format in av.Codec("ffv1", "w").video_formats or ()}
        if self._pixel_format not in known:
            raise ValueError(f"FFV1 does not keep pixels in {given}; ask the source for others")
        self._stream: Any = None

    def add_to(self, container: Any) -> Any:
        """The stream of a container that the pictures go to."""
        rate = as_fraction(self._source.average_rate) or as_fraction(self._source.guessed_rate)
        self._stream = container.add_stream("ffv1", rate=rate, options=FFV1_OPTIONS)
        self._stream.width, self._stream.height = self._decoder.width, self._decoder.height
        self._stream.pix_fmt = self._pixel_format
        self._stream.codec_context.time_base = TIME_BASE
        self._stream.codec_context.thread_count = 1
        aspect = as_fraction(self._source.sample_aspect_ratio)
        if aspect:
            self._stream.codec_context.sample_aspect_ratio = aspect
        return self._stream

    def encode(self, packet: Any) -> list[Any]:
        """The packets that one uncompressed picture becomes."""
        packets = []
        for frame in self._decoder.decode(packet):
            if frame.format.name != self._pixel_format:
                frame = self._scaler.reformat(frame, pixel_format=self._pixel_format)
            frame.pts, frame.time_base = packet.pts, TIME_BASE
            packets += self._stream.encode(frame)
        return packets

    def rest(self) -> list[Any]:
        """What the encoder still holds."""
        packets: list[Any] = self._stream.encode(None)
        return packets
