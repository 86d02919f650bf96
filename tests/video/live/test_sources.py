"""What may be recorded, what may not, and what errors say of it."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from facecap_batch.errors import BadSource
from facecap_batch.video.formats.allowed import FILES, STREAMED
from facecap_batch.video.live.connection import LiveConnection
from facecap_batch.video.live.sources import DEVICE, KINDS, PIPE, find_source


@pytest.mark.parametrize(
    ("text", "label", "stem"),
    [
        ("rtsp://ada:secret@camera:8554/stream?token=secret#secret", "rtsp://camera:8554/stream", "camera"),
        ("RTSPS://ada:secret@camera/", "rtsps://camera/", "camera"),
        ("rtmp://host/live/secret", "rtmp://host/live/…", "host"),
        ("http://ada@10.0.0.7/a/b.m3u8?key=secret", "http://10.0.0.7/a/b.m3u8", "10.0.0.7"),
        ("udp://@:5000", "udp://:5000", "udp"),
        ("tcp://[::1]:5000", "tcp://[::1]:5000", "::1"),
    ],
)
def test_streams_are_named_without_credentials(text: str, label: str, stem: str) -> None:
    source = find_source(text)
    assert (source.label, source.stem, source.is_paced) == (label, stem, True)
    assert source.address == text and "secret" not in repr(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file:///etc/passwd", "file://…: file is none of the streams that can be recorded"),
        ("srt://ada:secret@host", "srt://…: srt is none of the streams that can be recorded"),
        ("concat:secret|b", "concat:secret|b: is no live source; give /dev/video0, rtsp://…"),
        ("lavfi:testsrc", "is no live source"),
        ("take.mp4", "take.mp4: is a file, not a live source; facecap-batch run take.mp4"),
        ("/dev/video-none", "/dev/video-none: there is no such device"),
        ("v4l2:/dev/video-none", "/dev/video-none: there is no such device"),
        (
            "/dev/video0?rate=25&size=9",
            "/dev/video0: rate, size cannot be asked of a device; it takes f",
        ),
        ("v4l2:take.mp4", "take.mp4: is no device; ls /dev/video*"),
        (
            "rtsp://ada:secret@[camera/x",
            "rtsp://…: is no address (Invalid IPv6 URL); give rtsp://HOST:PORT/PATH",
        ),
    ],
)
def test_what_is_no_live_source_is_refused(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("take.mp4").write_bytes(b"")
    with pytest.raises(BadSource) as error:
        find_source(text)
    assert message in str(error.value)
    assert "secret" not in str(error.value) or "://" not in text


def test_a_terminal_is_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(BadSource, match="standard input is the terminal; pipe a stream into it"):
        find_source("-")


def test_standard_input_cannot_be_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    source = find_source("-")
    assert (source.kind, source.address, source.is_paced) == (PIPE, None, False)


def test_no_kind_may_open_files_or_lists_of_files() -> None:
    assert set(STREAMED) <= set(FILES)
    for kind in (*KINDS.values(), PIPE):
        assert not {"file", "pipe", "fd", "concat", "subfile", "data"} & set(kind.allowance.protocols)
        assert not {"concat", "dash", "image2", "lavfi", "sdp", "tty"} & set(kind.allowance.formats)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "rtsp://ada:secret@127.0.0.1:1/x",
            "an RTSP stream that cannot be opened: the connection is ref",
        ),
        ("rtmp://127.0.0.1:1/live/secret", "an RTMP stream that cannot be opened: the connection is ref"),
        (
            "http://ada:secret@127.0.0.1:1/x",
            "an HTTP stream that cannot be opened: the connection is ref",
        ),
        ("tcp://127.0.0.1:1", "check host and port, and that the sender runs"),
        ("udp://127.0.0.1:1", "nothing came for 0.3 s; check that the sender sends an MPEG transport stream"),
        (
            "http://nowhere.invalid/x",
            "cannot be opened: there is no host nowhere.invalid",
        ),
        ("/dev/null", "/dev/null: a V4L2 device that cannot be opened: Inappropriate ioctl for device"),
    ],
)
def test_errors_name_the_source_and_what_to_do(text: str, message: str) -> None:
    source = find_source(text)
    with pytest.raises(BadSource) as error:
        LiveConnection(source, 0.3, threading.Event())
    assert str(error.value).startswith(source.label) and message in str(error.value)
    assert source.kind.advice in str(error.value)
    assert "secret" not in str(error.value) and error.value.__cause__ is None


def test_a_device_is_opened_as_one() -> None:
    source = find_source("v4l2:/dev/null?video_size=1280x720&framerate=30")
    assert (source.kind, source.address, source.stem) == (DEVICE, "/dev/null", "null")
    assert source.options == {"video_size": "1280x720", "framerate": "30"}
