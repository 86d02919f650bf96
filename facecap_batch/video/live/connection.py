"""One connection to a live source: opened, or refused with the reason; its packets from a keyframe on.

In: a `LiveSource`. Out: an open PyAV stream and its packets in decoding order, or `BadSource`;
`ConnectionLost` where they end before the source says that it ends. Nothing is decoded.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import av

from facecap_batch.errors import BadSource, FacecapError
from facecap_batch.video.container import demuxed, reason, video_stream
from facecap_batch.video.formats.limits import LIMITS
from facecap_batch.video.live.sources import DEVICE, LiveSource

POLL_S = 0.2  # how often a pipe that is silent looks whether to stop
UNKNOWN = "what came is no video stream of a kind that is taken"
RAW_CODECS = ("rawvideo", "wrapped_avframe")


class ConnectionLost(FacecapError):
    """The packets of a live source ended with an error."""


@dataclasses.dataclass(frozen=True)
class StreamParameters:
    """What a file must know of a stream before its packets are written."""

    codec: str
    width: int  # pixels, as coded
    height: int  # pixels, as coded
    extradata: bytes  # the codec's headers
    pixel_format: str = ""  # of pictures that come uncompressed

    @staticmethod
    def of(stream: Any) -> StreamParameters:
        context = stream.codec_context
        pixel_format = str(context.pix_fmt) if context.name in RAW_CODECS else ""
        extradata = bytes(context.extradata or b"")
        return StreamParameters(context.name, context.width, context.height, extradata, pixel_format)

    def difference(self, other: StreamParameters) -> str:
        """What `other` has differently, for a message; empty where nothing is."""
        if (self.codec, self.width, self.height) != (other.codec, other.width, other.height):
            return (
                f"{other.codec} of {other.width}x{other.height} instead of {self.codec} of "
                f"{self.width}x{self.height}"
            )
        if self.pixel_format != other.pixel_format:
            return f"pixels in {other.pixel_format} instead of {self.pixel_format}"
        return "other settings of the codec" if self.extradata != other.extradata else ""


class LiveConnection:
    """An open live source; close it.

    Attributes:
        stream: The PyAV stream of its video.
        parameters: What the stream is.
        left_out: Packets so far that cannot be decoded, because no keyframe had come.
    """

    def __init__(self, source: LiveSource, timeout_s: float, stopping: threading.Event) -> None:
        """
        Args:
            source: What to open.
            timeout_s: Seconds without data after which it is given up.
            stopping: Once set, a pipe ends.

        Raises:
            BadSource: It cannot be opened, or what comes is no video.
            NoVideoStream, BadVideo: It holds no video, or one that nothing here decodes.
            TooLarge: Its pictures are larger than a run takes.
        """
        self._source, self._timeout_s = source, timeout_s
        self._container = self._open(stopping)
        try:
            self.stream = video_stream(self._container, source.label)
            self.parameters = StreamParameters.of(self.stream)
            LIMITS.check_size(source.label, self.parameters.width, self.parameters.height)
            self.stream.codec_context.options = LIMITS.codec_options()
            if not self.parameters.width:
                raise BadSource(
                    f"{source.label}: no picture came while it was opened; have the sender make a keyframe "
                    "every second or two"
                )
        except BaseException:
            self.close()
            raise
        self.left_out = 0

    @property
    def is_raw(self) -> bool:
        """True where pictures come uncompressed."""
        return self.parameters.codec in RAW_CODECS

    @property
    def has_clock(self) -> bool:
        """False where the format knows no times: its pictures are shown when they come."""
        return str(self._container.format.name) != "mpjpeg"

    def new_decoder(self) -> Any:
        """A PyAV decoder of this stream's packets, of its own."""
        context = self.stream.codec_context
        decoder = av.CodecContext.create(context.codec.name, "r")
        decoder.extradata = context.extradata
        decoder.width, decoder.height = context.width, context.height
        if context.pix_fmt:
            decoder.pix_fmt = context.pix_fmt
        decoder.thread_count = 1
        decoder.options = LIMITS.codec_options()
        return decoder

    def packets(self) -> Iterator[Any]:
        """Packets that can be decoded, in decoding order, until the source ends.

        Those before the first keyframe are left out, and those that are shown before it: they need pictures
        that never came.

        Raises:
            ConnectionLost: It broke, or nothing came for the time allowed.
        """
        keyframes, first_pts = 0, None
        packets = demuxed(self._container, self.stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                raise ConnectionLost(self._why_lost(error)) from None
            if packet is None:
                return
            if not packet.size:
                continue
            keyframes += packet.is_keyframe
            if keyframes == 1 and packet.is_keyframe:
                first_pts = packet.pts
            is_leading = keyframes == 1 and None not in (first_pts, packet.pts) and packet.pts < first_pts
            if not keyframes or is_leading:
                self.left_out += 1
                continue
            yield packet

    def close(self) -> None:
        self._container.close()

    def _open(self, stopping: threading.Event) -> Any:
        source = self._source
        options = {**source.kind.options, **source.options}
        options |= source.kind.allowance.options()
        address: Any = source.address
        if address is None:
            address = _Pipe(sys.stdin.fileno(), self._timeout_s, stopping)
        try:
            return av.open(
                address,
                format=source.kind.demuxer,
                timeout=(self._timeout_s, self._timeout_s),
                container_options=options,  # `options` are the streams', too: PyAV below 18 crashes with FLV
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise BadSource(
                f"{source.label}: {source.kind.what} that cannot be opened: {self._why(error)}; "
                f"{source.kind.advice}"
            ) from None  # its text holds the address, credentials and all

    def _why(self, error: BaseException) -> str:
        if _timed_out(error):
            return self._silent()
        if isinstance(error, ConnectionRefusedError):
            return "the connection is refused, nothing listens there"
        if isinstance(error, EOFError):
            return "it ended before a picture came"
        if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
            return f"{reason(error)} (SCHEME://USER:PASSWORD@HOST/PATH gives credentials)"
        if isinstance(error, PermissionError) and self._source.kind is DEVICE:
            return "permission is denied (its group is often video)"
        if isinstance(error, OSError) and error.errno == errno.EBUSY:
            return "another program uses it"
        if isinstance(error, av.error.InvalidDataError):
            return UNKNOWN
        if _is_broken_off(error):
            if not _is_known(self._source.host):
                return f"there is no host {self._source.host}"
            return f"it ended, and {UNKNOWN}"
        return reason(error)

    def _why_lost(self, error: BaseException) -> str:
        if _timed_out(error):
            return self._silent()
        return "the other side closed it" if _is_broken_off(error) else reason(error)

    def _silent(self) -> str:
        return f"nothing came for {self._timeout_s:g} s"


class _Pipe:
    """A file descriptor as FFmpeg reads it: what is there, at once."""

    def __init__(self, descriptor: int, timeout_s: float, stopping: threading.Event) -> None:
        self._descriptor, self._timeout_s, self._stopping = descriptor, timeout_s, stopping

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Raises TimeoutError."""
        silent_since = time.monotonic()
        while not self._stopping.is_set():
            if select.select([self._descriptor], [], [], POLL_S)[0]:
                return os.read(self._descriptor, size)
            if time.monotonic() - silent_since > self._timeout_s:
                raise TimeoutError(errno.ETIMEDOUT, "nothing comes")
        return b""


def _is_broken_off(error: BaseException) -> bool:
    """Whether data broke off; of HTTP without a length FFmpeg cannot tell that from an end."""
    return isinstance(error, OSError) and error.errno == errno.EIO


def _is_known(host: str) -> bool:
    """Whether `host` has an address; true for a source without one."""
    try:
        socket.getaddrinfo(host or None, 0)
    except OSError:
        return False
    return True


def _timed_out(error: BaseException) -> bool:
    """Whether the wait for data was cut off, by PyAV or by `_Pipe`."""
    return isinstance(error, (av.error.ExitError, TimeoutError))
