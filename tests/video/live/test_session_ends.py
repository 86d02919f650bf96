"""How recordings end: cleanly whatever happens, with gaps that stay gaps, or with an error that says why."""

from __future__ import annotations

import dataclasses
import http.server
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.errors import BadSource, NoVideoStream
from facecap_batch.video.live.connection import StreamParameters
from facecap_batch.video.live.session import NothingRecorded, RecordingSession, SessionOptions
from facecap_batch.video.live.sources import find_source
from tests.support.recordings import FRAMES, PLAIN, STEP_MS, assert_whole, record, times_ms
from tests.support.streams import (
    FPS,
    begin,
    http_server,
    payloads,
    send_paced,
    streaming,
)
from tests.support.videos import numbers, picture, remux, write_audio, write_late_sound, write_video


class TestTheEnd:
    def test_after_seconds(self, plain: Path, tmp_path: Path) -> None:
        with http_server(streaming(plain)) as address:
            taken = record(address, tmp_path / "kept.mkv", seconds=1.0)
        assert (taken.frames, taken.ended) == (FPS, "")
        assert numbers(tmp_path / "kept.mkv") == list(range(FPS))

    @pytest.mark.parametrize("form", ["matroska", "mpegts"])
    @pytest.mark.parametrize("seconds", [0.84, 0.88, 0.92, 0.96, 1.0])
    def test_no_frame_is_missing_before_the_last(
        self, take: Path, form: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A take may end between a frame and those that are shown before it and come after it."""
        sent = remux(take, tmp_path / f"sent.{ {'matroska': 'mkv', 'mpegts': 'ts'}[form] }", lambda *_: None)
        with sent.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            taken = record("-", tmp_path / "kept.mkv", seconds=seconds)
        assert numbers(tmp_path / "kept.mkv") == list(range(taken.frames))
        assert taken.frames >= seconds * FPS

    def test_after_sound_that_began_late(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stream more than the source had when it was opened."""
        with write_late_sound(tmp_path / "late.flv", 600).open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            taken = record("-", tmp_path / "kept.mkv")
        assert (taken.frames, taken.ended) == (600, "the stream ended")

    def test_when_it_is_stopped(self, tmp_path: Path) -> None:
        ten_seconds = write_video(tmp_path / "long.ts", 250, FPS, options=PLAIN)
        with http_server(streaming(ten_seconds, "mpegts")) as address:
            session = RecordingSession(find_source(address), tmp_path / "kept.mkv", SessionOptions())
            session.start()
            while session.state().frames < 20:
                assert not session.wait(0.01)
            session.stop()
            taken = session.finish()
        assert taken.ended == "" and 20 <= taken.frames < 250
        assert numbers(tmp_path / "kept.mkv") == list(range(taken.frames))

    def test_a_silent_source_can_be_stopped(self, plain: Path, tmp_path: Path) -> None:
        silent = threading.Event()

        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            begin(handler)
            send_paced(plain, handler.wfile.write, "matroska")
            silent.set()
            time.sleep(30)

        with http_server(answer) as address:
            session = RecordingSession(
                find_source(address), tmp_path / "kept.mkv", SessionOptions(timeout_s=30)
            )
            session.start()
            while not silent.is_set() or session.state().frames < FRAMES:
                assert not session.wait(0.01)
            session.stop()
            taken = session.finish()
        assert_whole(tmp_path / "kept.mkv", plain, taken)

    def test_a_dropped_connection_ends_the_take(self, plain: Path, tmp_path: Path) -> None:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000000")
            handler.end_headers()
            send_paced(plain, handler.wfile.write, "matroska")

        with http_server(answer) as address:
            taken = record(address, tmp_path / "kept.mkv")
        assert taken.ended == "the connection was lost: the other side closed it"
        assert_whole(tmp_path / "kept.mkv", plain, taken)


class Interrupted:
    """A server whose stream breaks off, and which refuses for a while before it sends again."""

    def __init__(self, first: Path, second: Path, away_s: float) -> None:
        self._files, self._away_s = [first, second], away_s
        self._back_at = 0.0
        self.refused = 0

    def __call__(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if time.monotonic() < self._back_at:
            self.refused += 1
            handler.send_error(503)
        elif self._files:
            begin(handler)
            send_paced(self._files.pop(0), handler.wfile.write, "matroska")
            self._back_at = time.monotonic() + (self._away_s if self._files else 3600)


class TestReconnect:
    def test_the_gap_stays_a_gap(self, plain: Path, tmp_path: Path) -> None:
        server = Interrupted(plain, plain, away_s=2.5)
        with http_server(server) as address:
            session = RecordingSession(
                find_source(address), tmp_path / "kept.mkv", SessionOptions(timeout_s=5, reconnect=True)
            )
            session.start()
            while session.state().frames < 2 * FRAMES:
                assert not session.wait(0.05)
            taken = session.finish()
        assert server.refused and taken.connections == 2 and taken.frames == 2 * FRAMES
        assert payloads(tmp_path / "kept.mkv") == 2 * payloads(plain)
        steps = np.diff(times_ms(tmp_path / "kept.mkv"))
        gap_ms = int(steps[FRAMES - 1])
        assert set(np.delete(steps, FRAMES - 1)) == {STEP_MS}
        assert 1000 < gap_ms < 30000  # both connections take a while to open
        assert taken.seconds == pytest.approx((2 * FRAMES - 1) / FPS + (gap_ms - STEP_MS) / 1000 + 1 / FPS)
        assert taken.missing == 0
        assert numbers(tmp_path / "kept.mkv") == 2 * list(range(FRAMES))

    @pytest.mark.parametrize(
        ("other", "difference"),
        [
            (
                {"frames": [picture(n, 160, 96) for n in range(10)]},
                "h264 of 160x96 instead of h264 of 128x96",
            ),
            ({"frames": 10, "codec": "mpeg4"}, "mpeg4 of 128x96 instead of h264 of 128x96"),
            ({"frames": 10, "pixel_format": "yuv444p"}, "other settings of the codec"),
        ],
        ids=["size", "codec", "settings"],
    )
    def test_another_stream_is_another_take(
        self, plain: Path, other: dict[str, object], difference: str, tmp_path: Path
    ) -> None:
        second = write_video(tmp_path / "other.mkv", fps=FPS, **other)  # type: ignore[arg-type]
        with http_server(Interrupted(plain, second, away_s=0.0)) as address:
            taken = record(address, tmp_path / "kept.mkv", reconnect=True)
        assert taken.ended == f"the stream came back with {difference}, which is another take"
        assert_whole(tmp_path / "kept.mkv", plain, taken)

    def test_uncompressed_pictures_of_another_kind_are_another_take(self) -> None:
        parameters = StreamParameters("rawvideo", 128, 96, b"", "yuv420p")
        other = dataclasses.replace(parameters, pixel_format="yuv422p")
        assert parameters.difference(parameters) == ""
        assert parameters.difference(other) == "pixels in yuv422p instead of yuv420p"

    def test_it_gives_up(self, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facecap_batch.video.live.session.RECONNECT_S", 0.2)
        with http_server(Interrupted(plain, plain, away_s=3600)) as address:
            taken = record(address, tmp_path / "kept.mkv", reconnect=True)
        assert taken.ended.startswith(
            "the connection was lost: the other side closed it, and could not be made anew for 0.2 s: "
        )
        assert "5XX" in taken.ended
        assert_whole(tmp_path / "kept.mkv", plain, taken)


class TestNothingToRecord:
    @pytest.fixture
    def sound(self, tmp_path: Path) -> Iterator[str]:
        path = write_audio(tmp_path / "sound.mkv")
        with http_server(lambda handler: (begin(handler), handler.wfile.write(path.read_bytes()))) as address:
            yield address

    def test_a_stream_without_video(self, sound: str, tmp_path: Path) -> None:
        with pytest.raises(NoVideoStream, match="holds no video stream, only audio"):
            record(sound, tmp_path / "kept.mkv")

    @pytest.mark.parametrize(
        ("status", "message"),
        [(404, "404"), (401, "USER:PASSWORD@HOST"), (403, "USER:PASSWORD@HOST"), (500, "5XX")],
    )
    def test_a_server_that_refuses(self, status: int, message: str, tmp_path: Path) -> None:
        with (
            http_server(lambda handler: handler.send_error(status)) as address,
            pytest.raises(BadSource) as error,
        ):
            record(address.replace("://", "://ada:secret@") + "?token=secret", tmp_path / "kept.mkv")
        assert message in str(error.value) and "secret" not in str(error.value)
        assert str(error.value).startswith(f"{address}: an HTTP stream that cannot be opened: ")

    def test_a_server_that_is_silent(self, tmp_path: Path) -> None:
        with (
            http_server(lambda handler: time.sleep(5)) as address,
            pytest.raises(BadSource, match=r"nothing came for 0\.5 s; open the address in a player"),
        ):
            record(address, tmp_path / "kept.mkv", timeout_s=0.5)

    def test_what_is_no_stream(self, tmp_path: Path) -> None:
        with (
            http_server(
                lambda handler: (begin(handler, "text/html"), handler.wfile.write(b"<html>" * 1000))
            ) as address,
            pytest.raises(BadSource, match="it ended, and what came is no video stream"),
        ):
            record(address, tmp_path / "kept.mkv")

    def test_a_playlist_leads_nowhere_else(self, plain: Path, tmp_path: Path) -> None:
        """A server must not make this machine read its own files."""
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{plain}\n#EXT-X-ENDLIST\n"
        with (
            http_server(lambda handler: (begin(handler), handler.wfile.write(playlist.encode()))) as address,
            pytest.raises(BadSource),
        ):
            record(address, tmp_path / "kept.mkv")

    def test_stopped_before_anything_came(self, tmp_path: Path) -> None:
        with http_server(lambda handler: time.sleep(5)) as address:
            session = RecordingSession(find_source(address), tmp_path / "kept.mkv", SessionOptions())
            session.start()
            session.stop()
            with pytest.raises(NothingRecorded, match="it was stopped before a picture came"):
                session.finish()


RECORDING = """
import sys
from pathlib import Path
from facecap_batch.video.live.session import RecordingSession, SessionOptions
from facecap_batch.video.live.sources import find_source
session = RecordingSession(find_source(sys.argv[1]), Path(sys.argv[2]), SessionOptions())
session.start()
while not session.wait(0.01):
    print(session.state().frames, flush=True)
"""


def test_a_recording_that_was_killed_can_be_read(plain: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RECORDING]
    with http_server(streaming(plain, "mpegts")) as address:
        process = subprocess.Popen([*command, address, tmp_path / "kept.mkv"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            recorded = next(frames for line in process.stdout if (frames := int(line)) >= FRAMES - 15)
            process.kill()
        assert process.wait() == -signal.SIGKILL
    kept = numbers(tmp_path / "kept.mkv")
    assert kept == list(range(len(kept)))
    assert len(kept) >= recorded - 1.2 * FPS  # what it had not written: a second, and a packet or two
