"""Recordings of real streams on loopback: every packet is kept as it came."""

from __future__ import annotations

import http.server
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from facecap_batch.video.live.session import RecordingSession, SessionOptions
from facecap_batch.video.live.sources import find_source
from tests.support.recordings import FRAMES, STEP_MS, assert_whole, record, times_ms
from tests.support.rtmp import rtmp_server
from tests.support.streams import (
    FPS,
    begin,
    http_server,
    payloads,
    pipe_of,
    rtsp_server,
    streaming,
    tcp_server,
    udp_sender,
    write_hls,
)
from tests.support.videos import numbers, remux, write_video


class TestNothingIsLost:
    def test_over_http(self, take: Path, tmp_path: Path) -> None:
        with http_server(streaming(take)) as address:
            taken = record(address, tmp_path / "kept.mkv")
        assert_whole(tmp_path / "kept.mkv", take, taken)

    def test_over_udp(self, take: Path, tmp_path: Path) -> None:
        with udp_sender(take) as address:
            taken = record(address, tmp_path / "kept.mkv", timeout_s=3.0)
        assert_whole(tmp_path / "kept.mkv", take, taken)
        assert taken.ended == "the connection was lost: nothing came for 3 s"

    def test_over_rtsp(self, plain: Path, tmp_path: Path) -> None:
        with rtsp_server(plain) as address:
            taken = record(address, tmp_path / "kept.mkv", timeout_s=5.0)
        assert_whole(tmp_path / "kept.mkv", plain, taken)

    def test_over_rtmp(self, take: Path, tmp_path: Path) -> None:
        with rtmp_server(take) as address:
            assert find_source(address).label == address.replace("secret", "…")
            taken = record(address, tmp_path / "kept.mkv")
        assert_whole(tmp_path / "kept.mkv", take, taken)

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
