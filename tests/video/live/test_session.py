"""Recordings of real streams on loopback: nothing is lost, gaps stay gaps, every end is clean."""

from __future__ import annotations

import http.server
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facecap_batch.errors import BadSource, NoVideoStream
from facecap_batch.video.live.session import (
    NothingRecorded,
    RecordedTake,
    RecordingSession,
    SessionOptions,
)
from facecap_batch.video.live.sources import find_source
from tests.support.streams import (
    FPS,
    begin,
    http_server,
    payloads,
    pipe_of,
    rtsp_server,
    send_paced,
    streaming,
    tcp_server,
    udp_sender,
    write_hls,
)
from tests.support.videos import container_pts, numbers, picture, remux, write_audio, write_video

FRAMES = 50  # two seconds
PLAIN = {"bf": "0", "g": "10"}  # frames in the order in which they are shown
STEP_MS = 1000 // FPS


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 with B-frames."""
    path = tmp_path_factory.mktemp("take") / "take.mkv"
    return write_video(path, FRAMES, FPS, options={"bf": "2", "g": "10"})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 without B-frames."""
    return write_video(tmp_path_factory.mktemp("plain") / "plain.mkv", FRAMES, FPS, options=PLAIN)


def record(address: str, path: Path, **options: object) -> RecordedTake:
    """Record until the source ends."""
    wanted = SessionOptions(**{"timeout_s": 5.0, **options})  # type: ignore[arg-type]
    session = RecordingSession(find_source(address), path, wanted)
    session.start()
    while not session.wait(0.05):
        pass
    return session.finish()


def times_ms(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].time_base == Fraction(1, 1000)
    return container_pts(path)


def assert_whole(recorded: Path, sent: Path, taken: RecordedTake, frames: int = FRAMES) -> None:
    """Every packet was kept as it came, and frames have the times and the content that were sent."""
    assert payloads(recorded) == payloads(sent)
    assert times_ms(recorded) == [STEP_MS * frame for frame in range(frames)]
    assert numbers(recorded) == list(range(frames))
    assert (taken.frames, taken.missing, taken.left_out, taken.connections) == (frames, 0, 0, 1)
    assert taken.seconds == pytest.approx(frames / FPS)


class TestNothingIsLost:
    def test_over_http(self, take: Path, tmp_path: Path) -> None:
        with http_server(streaming(take)) as address:
            taken = record(address, tmp_path / "kept.mkv")
        assert_whole(tmp_path / "kept.mkv", take, taken)

    def test_over_udp(self, take: Path, tmp_path: Path) -> None:
        with udp_sender(take) as address:
            taken = record(address, tmp_path / "kept.mkv", timeout_s=1.5)
        assert_whole(tmp_path / "kept.mkv", take, taken)
        assert taken.ended == "the connection was lost: nothing came for 1.5 s"

    def test_over_rtsp(self, plain: Path, tmp_path: Path) -> None:
        with rtsp_server(plain) as address:
            taken = record(address, tmp_path / "kept.mkv", timeout_s=2.0)
        assert_whole(tmp_path / "kept.mkv", plain, taken)

    def test_over_tcp(self, plain: Path, tmp_path: Path) -> None:
        with tcp_server(plain, "mpegts") as address:
            taken = record(address, tmp_path / "kept.mkv")
        assert_whole(tmp_path / "kept.mkv", plain, taken)

    def test_as_hls(self, plain: Path, tmp_path: Path) -> None:
        write_hls(plain, tmp_path / "hls")

        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            begin(handler)
            handler.wfile.write((tmp_path / "hls" / Path(handler.path).name).read_bytes())

        with http_server(answer) as address:
            taken = record(f"{address}/list.m3u8", tmp_path / "kept.mkv")
        assert_whole(tmp_path / "kept.mkv", plain, taken)

    @pytest.mark.parametrize("form", ["matroska", "mpegts", "flv", "h264"])
    def test_through_a_pipe(
        self, plain: Path, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pipe_of(plain, form) as descriptor, open(descriptor, closefd=False) as pipe:
            monkeypatch.setattr(sys, "stdin", pipe)
            taken = record("-", tmp_path / "kept.mkv")
        assert_whole(tmp_path / "kept.mkv", plain, taken)
        assert taken.ended == "the stream ended"

    @pytest.mark.parametrize("codec", ["mpeg4", "libx265", "libvpx", "mjpeg"])
    def test_of_any_codec(self, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        sent = write_video(tmp_path / "sent.mkv", 15, FPS, codec, pixel_format=pixels)
        with sent.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            taken = record("-", tmp_path / "kept.mkv")
        assert_whole(tmp_path / "kept.mkv", sent, taken, 15)

    def test_uncompressed_pictures_keep_every_sample(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        noise = np.random.default_rng(1).integers(0, 255, (15, 96, 128, 3), np.uint8)
        sent = write_video(tmp_path / "sent.y4m", noise, FPS, "rawvideo")
        with sent.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            taken = record("-", tmp_path / "kept.mkv")
        assert taken.is_compressed and taken.frames == 15
        with av.open(str(tmp_path / "kept.mkv")) as kept, av.open(str(sent)) as given:
            assert kept.streams.video[0].codec_context.name == "ffv1"
            for ours, theirs in zip(kept.decode(video=0), given.decode(video=0), strict=True):
                assert np.array_equal(ours.to_ndarray(), theirs.to_ndarray())
        assert times_ms(tmp_path / "kept.mkv") == [STEP_MS * frame for frame in range(15)]

    def test_whoever_watches_gets_every_packet(self, take: Path, tmp_path: Path) -> None:
        class Watcher:
            frames = 0

            def connected(self, decoder: av.VideoCodecContext) -> None:
                self.decoder = decoder
                self.keyframes: list[bool] = []

            def packet(self, packet: av.Packet) -> None:
                self.keyframes.append(packet.is_keyframe)
                self.frames += len(self.decoder.decode(packet))

        watcher = Watcher()
        with http_server(streaming(take)) as address:
            options = SessionOptions(timeout_s=5.0)
            session = RecordingSession(find_source(address), tmp_path / "kept.mkv", options, watcher)
            session.start()
            while not session.wait(0.05):
                pass
            session.finish()
        assert watcher.frames + len(watcher.decoder.decode(None)) == FRAMES
        assert watcher.keyframes == [number % 10 == 0 for number in range(FRAMES)]
        assert payloads(tmp_path / "kept.mkv") == payloads(take)


class TestTheFirstPicture:
    def test_packets_before_a_keyframe_are_left_out(self, plain: Path, tmp_path: Path) -> None:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            """A transport stream that somebody joins in the middle of a group of pictures."""
            begin(handler)
            whole = tmp_path / "whole.ts"
            if not whole.exists():
                remux(plain, whole, lambda *_: None)
            data = whole.read_bytes()
            handler.wfile.write(data[len(data) * 14 // 50 // 188 * 188 :])

        with http_server(answer) as address:
            taken = record(address, tmp_path / "kept.mkv")
        assert 0 < taken.left_out < 10
        kept = numbers(tmp_path / "kept.mkv")
        assert kept == list(range(kept[0], FRAMES)) and kept[0] % 10 == 0 and kept[0] > 0
        assert times_ms(tmp_path / "kept.mkv")[0] == 0

    def test_pictures_without_times_have_those_at_which_they_came(self, tmp_path: Path) -> None:
        pause_s = 0.15

        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            begin(handler, "multipart/x-mixed-replace; boundary=b")
            jpegs = write_video(tmp_path / "j.mjpeg", 10, FPS, "mjpeg", pixel_format="yuvj420p")
            for packet in payloads(jpegs):
                head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(packet[0])}\r\n\r\n"
                handler.wfile.write(head.encode() + packet[0] + b"\r\n")
                time.sleep(pause_s)

        with http_server(answer) as address:
            taken = record(address, tmp_path / "kept.mkv")
        assert taken.frames == 10 and numbers(tmp_path / "kept.mkv") == list(range(10))
        kept = times_ms(tmp_path / "kept.mkv")
        # Two or three came while the source was opened; the others 150 ms apart, and not 40.
        assert kept[-1] - kept[3] >= 6 * 1000 * pause_s * 0.9


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
        server = Interrupted(plain, plain, away_s=1.2)
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
        assert 0.5 * 1200 < gap_ms < 20000
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
