"""The page that shows a take: what a browser gets, and who gets nothing."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator
from email.message import Message
from typing import IO

import pytest

from facecap_batch.recording import preview_page
from facecap_batch.recording.preview_page import PreviewPage
from facecap_batch.storage.web.loopback import PortTaken


@pytest.fixture
def page() -> Iterator[PreviewPage]:
    page = PreviewPage()
    yield page
    page.close()


def port_of(page: PreviewPage) -> int:
    return int(page.url.rstrip("/").rpartition(":")[2])


def get(page: PreviewPage, path: str, host: str | None = None) -> tuple[int, Message, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def next_part(stream: IO[bytes]) -> bytes:
    """The body of the next part of a multipart stream."""
    assert stream.readline().strip() == b"--picture"
    length = 0
    while line := stream.readline().strip():
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    body = stream.read(length)
    assert stream.readline() == b"\r\n"
    return body


def test_the_page_shows_the_stream_and_the_line(page: PreviewPage) -> None:
    status, headers, body = get(page, "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert b'<img src="/stream"' in body and b'fetch("/line")' in body
    page.tell("recording 0:12, 1 face")
    assert get(page, "/line")[2] == b"recording 0:12, 1 face"
    assert get(page, "/absent")[0] == 404


def test_the_stream_gives_each_new_picture_to_everybody(page: PreviewPage) -> None:
    page.show(b"first")
    connections = [http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=10) for _ in range(2)]
    streams = []
    for connection in connections:
        connection.request("GET", "/stream")
        streams.append(connection.getresponse())
    for name in (b"first", b"second", b"third"):
        if name != b"first":
            page.show(name)
        assert [next_part(stream) for stream in streams] == [name, name]
    assert streams[0].headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture"
    assert streams[0].headers["Cache-Control"] == "no-store"
    page.close()
    assert [stream.read() for stream in streams] == [b"", b""]
    for connection in connections:
        connection.close()


def test_a_picture_that_stays_is_sent_again(page: PreviewPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_page, "IDLE_S", 0.05)
    page.show(b"only")
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=10)
    connection.request("GET", "/stream")
    stream = connection.getresponse()
    assert [next_part(stream), next_part(stream)] == [b"only", b"only"]
    connection.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_other_names_that_lead_here_get_nothing(page: PreviewPage, host: str) -> None:
    page.show(b"face")
    for path in ("/", "/line", "/stream"):
        status, _, body = get(page, path, host)
        assert status == 403 and b"face" not in body
    assert get(page, "/", f"localhost:{port_of(page)}")[0] == 200


def test_other_machines_cannot_connect(page: PreviewPage) -> None:
    with socket.socket() as other, pytest.raises(OSError):
        other.settimeout(2)
        other.connect(("127.0.0.2", port_of(page)))  # any address but 127.0.0.1 is refused


def test_a_port_that_is_taken_is_named(page: PreviewPage) -> None:
    port = port_of(page)
    with pytest.raises(PortTaken, match=f"--preview-port {port}: Address already in use; choose another"):
        PreviewPage(port)
