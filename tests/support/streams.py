"""Real live streams on loopback: files sent at the pace of a camera over HTTP, UDP, RTSP and pipes."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av

FPS = 25
Send = Callable[[bytes], object]


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pace:
    """Waits so that frame number `n` is sent `n` / FPS seconds after the first."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def wait_for(self, frame: int) -> None:
        time.sleep(max(0.0, self._started + frame / FPS - time.monotonic()))


class _Sink:
    """A file object that hands on what a muxer writes."""

    def __init__(self, send: Send) -> None:
        self.write = send


def send_paced(path: Path, send: Send | str, form: str) -> None:
    """Send the video of a file packet by packet, as fast as it was recorded.

    Args:
        path: A file of FPS frames per second.
        send: Called with bytes; or an address of FFmpeg.
        form: FFmpeg's name of the format that is sent.
    """
    target: Any = send if isinstance(send, str) else _Sink(send)
    with (
        av.open(str(path)) as source,
        av.open(target, "w", format=form, options={"flush_packets": "1"}) as sent,
    ):
        copy = sent.add_stream_from_template(source.streams.video[0])
        pace = Pace()
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            pace.wait_for(number)
            packet.stream = copy
            sent.mux(packet)


Answer = Callable[[http.server.BaseHTTPRequestHandler], object]


@contextlib.contextmanager
def http_server(answer: Answer) -> Iterator[str]:
    """A web server on loopback; yields its address. `answer` writes the whole answer to a request."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError, av.error.FFmpegError):  # who listened has gone
                answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/take"
    finally:
        server.shutdown()
        server.server_close()


def begin(handler: http.server.BaseHTTPRequestHandler, kind: str = "video/x-matroska") -> None:
    """The head of an answer that goes on until the connection is closed."""
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Connection", "close")
    handler.end_headers()


def streaming(path: Path, form: str = "matroska") -> Answer:
    """An answer that sends a video at its own pace."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        begin(handler)
        send_paced(path, handler.wfile.write, form)

    return answer


@contextlib.contextmanager
def udp_sender(path: Path) -> Iterator[str]:
    """An MPEG transport stream over UDP; yields the address. It starts once somebody has bound the port."""
    port = free_port(socket.SOCK_DGRAM)

    def send() -> None:
        while not _is_bound(port):
            time.sleep(0.02)
        send_paced(path, f"udp://127.0.0.1:{port}?pkt_size=1316", "mpegts")

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    yield f"udp://127.0.0.1:{port}"
    sender.join(10)


def _is_bound(port: int) -> bool:
    """Whether a UDP socket of this machine is bound to `port` (proc(5), net/udp)."""
    return f":{port:04X} " in Path("/proc/net/udp").read_text()


@contextlib.contextmanager
def tcp_server(path: Path, form: str) -> Iterator[str]:
    """A video sent to the first who connects; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def send() -> None:
            with contextlib.suppress(OSError, av.error.FFmpegError):
                connection, _ = listening.accept()
                with connection, connection.makefile("wb", buffering=0) as file:
                    send_paced(path, file.write, form)

        threading.Thread(target=send, daemon=True).start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"


def write_hls(path: Path, folder: Path) -> None:
    """``list.m3u8`` and its transport streams of a second each."""
    folder.mkdir()
    options = {"hls_time": "1", "hls_list_size": "0"}
    with av.open(str(path)) as source, av.open(str(folder / "list.m3u8"), "w", options=options) as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                target.mux(packet)


@contextlib.contextmanager
def rtsp_server(path: Path) -> Iterator[str]:
    """An RTSP server (RFC 2326) that sends an H.264 video to whoever plays it, in the same connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        threading.Thread(target=_serve_rtsp, args=(listening, path), daemon=True).start()
        yield f"rtsp://127.0.0.1:{port}/take"
        listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in it, which closing does not


def _serve_rtsp(listening: socket.socket, path: Path) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_converse, args=(connection, path), daemon=True).start()


def _converse(connection: socket.socket, path: Path) -> None:
    with connection, connection.makefile("rb") as requests, contextlib.suppress(OSError):
        while line := requests.readline().decode():
            method = line.split(" ")[0]
            fields = {}
            while (field := requests.readline().decode().strip()) != "":
                name, _, value = field.partition(":")
                fields[name.lower()] = value.strip()
            head, body = [f"CSeq: {fields['cseq']}"], ""
            if method == "OPTIONS":
                head.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
            elif method == "DESCRIBE":
                body = _description(path)
                head += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            elif method == "SETUP":
                head += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
            elif method == "PLAY":
                head += ["Session: 1", "Range: npt=0-"]
            connection.sendall(("RTSP/1.0 200 OK\r\n" + "\r\n".join(head) + "\r\n\r\n" + body).encode())
            if method == "PLAY":
                _send_rtp(connection, path)
                return


def _description(path: Path) -> str:
    with av.open(str(path)) as source:
        headers = annexb_units(bytes(source.streams.video[0].codec_context.extradata or b""))
    sets = ",".join(base64.b64encode(unit).decode() for unit in headers if unit[0] & 31 in (7, 8))
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=take", "t=0 0", "m=video 0 RTP/AVP 96"]
    lines += ["a=rtpmap:96 H264/90000", f"a=fmtp:96 packetization-mode=1; sprop-parameter-sets={sets}"]
    return "\r\n".join([*lines, "a=control:0", ""])


def _send_rtp(connection: socket.socket, path: Path) -> None:
    """FFmpeg packs RTP into datagrams; each is framed (RFC 2326, 10.12) and sent on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packed:
        packed.bind(("127.0.0.1", 0))
        packed.settimeout(0.3)
        port = packed.getsockname()[1]
        address = f"rtp://127.0.0.1:{port}?rtcpport={free_port(socket.SOCK_DGRAM)}&pkt_size=1200"
        sender = threading.Thread(target=send_paced, args=(path, address, "rtp"), daemon=True)
        sender.start()
        is_sending = True
        while is_sending:
            is_sending = sender.is_alive()
            with contextlib.suppress(TimeoutError):
                while True:
                    packet = packed.recv(2048)
                    connection.sendall(b"$\x00" + len(packet).to_bytes(2, "big") + packet)


@contextlib.contextmanager
def pipe_of(path: Path, form: str) -> Iterator[int]:
    """The end of a pipe that a video comes out of, at its own pace."""
    reading, writing = os.pipe()

    def send() -> None:
        with contextlib.suppress(OSError), os.fdopen(writing, "wb", buffering=0) as file:
            send_paced(path, file.write, form)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        yield reading
    finally:
        os.close(reading)
        sender.join(10)


def annexb_units(data: bytes) -> list[bytes]:
    """The NAL units of H.264 data (ISO 14496-10, annex B, or 14496-15 with lengths of four bytes)."""
    if data[:1] == b"\x01":  # avcC: the parameter sets of a file
        count, at, units = data[5] & 31, 6, []
        for kind in range(2):
            for _ in range(count):
                size = int.from_bytes(data[at : at + 2], "big")
                units.append(data[at + 2 : at + 2 + size])
                at += 2 + size
            if kind == 0:
                count, at = data[at], at + 1
        return units
    return [unit for unit in re.split(b"\x00\x00\x00?\x01", data) if unit]


def payloads(path: Path) -> list[tuple[bytes, ...]]:
    """What the packets of a file hold, whatever the container: for H.264 its NAL units of pictures."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        is_h264 = stream.codec_context.name == "h264"
        with_lengths = bytes(stream.codec_context.extradata or b"")[:1] == b"\x01"
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    if not is_h264:
        return [(packet,) for packet in packets]
    split = _by_lengths if with_lengths else annexb_units
    return [
        tuple(unit.rstrip(b"\0") for unit in split(packet) if unit[0] & 31 in (1, 5)) for packet in packets
    ]


def _by_lengths(data: bytes) -> list[bytes]:
    units, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        units.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return units
