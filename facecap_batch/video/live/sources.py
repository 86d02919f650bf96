"""Which live sources there are, and how each is opened: the list of what may be recorded.

In: the text that a user gives. Out: a `LiveSource`, or `BadSource`. FFmpeg would open far more than streams
(files, playlists of files, test sources), so each kind names what is allowed for it, and FFmpeg is held to
that. What a URL holds beside host and path (user, password, query) is given to FFmpeg and shown nowhere.
"""

from __future__ import annotations

import dataclasses
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from facecap_batch.errors import BadSource
from facecap_batch.video.formats import allowed
from facecap_batch.video.formats.allowed import Allowance

STANDARD_INPUT = "-"
DEVICE_PREFIX = "v4l2:"
# What V4L2 may be asked for, behind a "?": FFmpeg's names.
DEVICE_OPTIONS = ("framerate", "input_format", "video_size")
# The kernel's buffer for datagrams (as far as net.core.rmem_max allows) and FFmpeg's own behind it, which a
# thread of FFmpeg's fills: datagrams are not lost while Python is busy.
UDP_OPTIONS = {"buffer_size": str(4 * 2**20), "fifo_size": "100000", "overrun_nonfatal": "1"}


@dataclasses.dataclass(frozen=True)
class SourceKind:
    """How sources of one kind are opened."""

    what: str  # for messages
    allowance: Allowance  # the formats that may come, and the protocols that may be used
    advice: str  # what to do where nothing can be opened
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of FFmpeg
    demuxer: str | None = None  # None: FFmpeg finds it out


@dataclasses.dataclass(frozen=True)
class LiveSource:
    """One live source."""

    kind: SourceKind
    label: str  # the source without credentials, for messages
    stem: str  # what names of clips begin with
    # What FFmpeg opens; None: standard input.
    address: str | None = dataclasses.field(repr=False)
    host: str = ""  # that serves it; empty: this machine
    # It runs by the clock on the wall, and can be opened again; a pipe does neither.
    is_paced: bool = True
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of FFmpeg, beside the kind's


_RTSP = SourceKind(
    "an RTSP stream",
    allowed.RTSP,
    "check host, port and path, and that the camera is on",
    {"rtsp_flags": "prefer_tcp"},  # over UDP packets get lost
)
_RTMP = SourceKind(
    "an RTMP stream",
    allowed.RTMP,
    "check host, application and stream name, and that somebody publishes",
    {"rtmp_live": "live"},
)
_HTTP = SourceKind(
    "an HTTP stream",
    allowed.LIVE_WEB,
    "open the address in a player to see what the server gives",
)
KINDS = {
    "rtsp": _RTSP,
    "rtsps": _RTSP,
    "rtmp": _RTMP,
    "rtmps": _RTMP,
    "http": _HTTP,
    "https": _HTTP,
    "udp": SourceKind(
        "a stream over UDP",
        allowed.UDP,
        "check that the sender sends an MPEG transport stream to this address and port, and that no "
        "firewall holds it back",
        UDP_OPTIONS,
        demuxer="mpegts",
    ),
    "tcp": SourceKind("a stream over TCP", allowed.TCP, "check host and port, and that the sender runs"),
}
PIPE = SourceKind(
    "a stream on standard input",
    allowed.PIPE,
    "pipe a stream into it, for example: ffmpeg -i … -c copy -f matroska - | facecap-batch record -",
)
DEVICE = SourceKind(
    "a V4L2 device",
    allowed.DEVICE,
    "ls /dev/video* lists the cameras, and v4l2-ctl --list-formats-ext what each can do",
    demuxer="v4l2",
)


def find_source(text: str) -> LiveSource:
    """The live source that `text` names.

    Args:
        text: ``-``; ``/dev/video0`` or ``v4l2:/dev/video0``, either with ``?video_size=1280x720`` or the
            like behind it; or a URL with a scheme of `KINDS`.

    Raises:
        BadSource: It is none; the message holds no credentials.
    """
    if text == STANDARD_INPUT:
        if sys.stdin.isatty():
            raise BadSource(f"-: standard input is the terminal; {PIPE.advice}")
        return LiveSource(PIPE, "standard input", "pipe", None, is_paced=False)
    if text.startswith((DEVICE_PREFIX, "/dev/")):
        return _device(text)
    scheme, separator, _ = text.partition("://")
    kind = KINDS.get(scheme.lower()) if separator else None
    if kind is not None:
        return _stream(text, kind)
    known = f"/dev/video0, {', '.join(f'{name}://…' for name in KINDS)} or - for standard input"
    if separator:
        raise BadSource(f"{scheme}://…: {scheme} is none of the streams that can be recorded; give {known}")
    if Path(text).exists():
        raise BadSource(f"{text}: is a file, not a live source; facecap-batch run {text} does files")
    raise BadSource(f"{text}: is no live source; give {known}")


def _device(text: str) -> LiveSource:
    path, _, query = text.removeprefix(DEVICE_PREFIX).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - set(DEVICE_OPTIONS))
    if unknown:
        raise BadSource(
            f"{path}: {', '.join(unknown)} cannot be asked of a device; it takes "
            f"{', '.join(DEVICE_OPTIONS)}, for example {path}?video_size=1280x720&framerate=30"
        )
    try:
        is_device = stat.S_ISCHR(Path(path).stat().st_mode)
    except OSError as error:
        raise BadSource(f"{path}: there is no such device ({error.strerror}); {DEVICE.advice}") from error
    if not is_device:
        raise BadSource(f"{path}: is no device; {DEVICE.advice}")
    return LiveSource(DEVICE, path, Path(path).name, path, options=options)


def _stream(text: str, kind: SourceKind) -> LiveSource:
    scheme = text.partition("://")[0].lower()
    try:
        parts = urlsplit(text)
        place, host = parts.netloc.rpartition("@")[2], parts.hostname
    except ValueError as error:
        raise BadSource(f"{scheme}://…: is no address ({error}); give {scheme}://HOST:PORT/PATH") from error
    path = parts.path
    if kind is _RTMP:  # its last part may be the key of the stream
        path = f"{path.rpartition('/')[0]}/…"
    return LiveSource(kind, f"{scheme}://{place}{path}", host or scheme, text, host or "")
