"""A video never makes FFmpeg open anything beside itself: no playlist, no pattern, no address inside."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from facecap_batch.errors import BadSource, BadVideo
from facecap_batch.video.decoder import Video
from facecap_batch.video.formats.allowed import BY_SCHEME, FILE, allowance_of
from facecap_batch.video.live.connection import LiveConnection
from facecap_batch.video.live.sources import find_source
from tests.support.opened_files import needs_inotify, watching
from tests.support.streams import begin, http_server
from tests.support.videos import numbers, remux, write_video

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
DASH = (
    '<?xml version="1.0"?><MPD type="static" mediaPresentationDuration="PT1S"><Period><AdaptationSet>'
    '<Representation id="1" bandwidth="1" mimeType="video/mp4"><BaseURL>{}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>"
)
LISTS = {
    "live HLS": HLS,
    "closed HLS": HLS + "#EXT-X-ENDLIST\n",
    "a variant of HLS": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n",
    "HLS with a key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n',
    "ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "DASH": DASH,
    "SDP": SDP,
    "an ASX list": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A video in another folder, as MP4 and as a transport stream."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    remux(write_video(folder / "secret.mp4", 5), folder / "secret.ts", lambda *_: None)
    return folder


@needs_inotify
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ts", ".ffconcat", ".mpd", ".sdp"])
@pytest.mark.parametrize("kind", LISTS)
def test_a_playlist_is_no_video(kind: str, suffix: str, secret: Path, tmp_path: Path) -> None:
    folder = tmp_path / "footage"
    folder.mkdir()
    path = folder / f"clip{suffix}"
    with watching(secret, folder) as opened:
        for target in (secret / "secret.ts", "../elsewhere/secret.ts", secret / "secret.mp4", path.name):
            path.write_text(LISTS[kind].format(target))
            with pytest.raises(BadVideo, match="it is a playlist"):
                Video(path)
        assert opened.since() <= {path}


@needs_inotify
def test_a_playlist_among_the_images_of_a_sequence(secret: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"shot{number}.png").write_text(LISTS["closed HLS"].format(secret / "secret.ts"))
    with watching(secret) as opened:
        with pytest.raises(BadVideo, match=r"shot1\.png is no image that can be read"):
            Video(folder / "shot%d.png")
        assert not opened.since()


@needs_inotify
def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    """What FFmpeg would take for a pattern of names is the name of one file."""
    for number in range(3):
        write_video(tmp_path / f"im{number:03}.jpg", 1, codec="mjpeg", pixel_format="yuvj420p")
    for name in ("im%03d.jpe", "im*.jpeg", "im?00.jpg", "im{001,002}.jpg"):
        (tmp_path / name).write_bytes((tmp_path / "im001.jpg").read_bytes())
        with watching(tmp_path) as opened:
            assert numbers(tmp_path / name) == [0]
            assert opened.since() == {tmp_path / name}
        (tmp_path / name).unlink()
        with pytest.raises(BadVideo, match="no such file"):
            Video(tmp_path / name)


def test_references_of_a_mov_lead_nowhere(secret: Path, tmp_path: Path) -> None:
    """ISO 14496-12 lets a track lie in another file, which its box dref names."""
    path = write_video(tmp_path / "clip.mov", 5)
    data = path.read_bytes()
    own = b"url \0\0\0\x01"  # flag 1: in this file
    assert data.count(own) or data.count(b"alis\0\0\0\x01")
    data = data.replace(own, b"url \0\0\0\0").replace(b"alis\0\0\0\x01", b"alis\0\0\0\0")
    path.write_bytes(data)
    with watching(secret) as opened:
        numbers(path)
        assert not opened.since()


@needs_inotify
def test_a_web_server_gives_no_playlist(secret: Path) -> None:
    """To a run a URI is a file; `record` takes HLS, of web servers alone."""
    for kind in ("closed HLS", "live HLS", "ffconcat", "DASH", "SDP"):
        text = LISTS[kind].format(secret / "secret.ts").encode()
        with (
            http_server(lambda handler, text=text: (begin(handler), handler.wfile.write(text))) as address,  # type: ignore[misc]
            watching(secret) as opened,
        ):
            for name in ("/clip.mp4", "/list.m3u8"):
                with pytest.raises(BadVideo):
                    Video(address + name)
            for target in (f"{address}/list.m3u8", f"{address}/clip.ts"):
                with pytest.raises(BadSource):
                    LiveConnection(find_source(target), 2.0, threading.Event())
            assert not opened.since()


def test_nothing_but_files_leads_to_files() -> None:
    for scheme, allowance in BY_SCHEME.items():
        lists = {
            "concat",
            "dash",
            "hls",
            "sdp",
            "tty",
            "svg_pipe",
            "lavfi",
            "vobsub",
            "imf",
            "webm_dash_manifest",
        }
        assert not lists & set(allowance.formats)
        reaching = {"file", "pipe", "fd", "concat", "concatf", "subfile", "data", "crypto", "cache", "async"}
        assert not reaching & set(allowance.protocols) or scheme == "file"
    assert allowance_of("file:/x/clip.mp4") is FILE and FILE.protocols == ("file",)
    assert allowance_of(object()).options()["protocol_whitelist"] == "none"
