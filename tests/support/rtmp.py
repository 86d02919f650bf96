"""A small RTMP server (Adobe's specification 1.0): enough of it for one client that plays one stream."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import av

from tests.support.streams import send_paced

HANDSHAKE_BYTES = 1536
CHUNK_BYTES = 2**20  # no message of a test is longer, so each is one chunk
SET_CHUNK_SIZE, COMMAND = 1, 20  # types of messages
FLV_HEADER_BYTES = 9 + 4
STREAM = 1
NULL = b"\x05"  # in AMF 0


@contextlib.contextmanager
def rtmp_server(path: Path) -> Iterator[str]:
    """Yields the address of a stream that the first client gets; its name counts as a secret."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError, av.error.FFmpegError):
                connection, _ = listening.accept()
                with connection:
                    _converse(connection, path)

        threading.Thread(target=serve, daemon=True).start()
        yield f"rtmp://127.0.0.1:{listening.getsockname()[1]}/live/secret"


def _converse(connection: socket.socket, path: Path) -> None:
    hello = connection.recv(1 + HANDSHAKE_BYTES, socket.MSG_WAITALL)
    connection.sendall(b"\x03" + bytes(HANDSHAKE_BYTES) + hello[1:])
    connection.recv(HANDSHAKE_BYTES, socket.MSG_WAITALL)
    connection.sendall(_message(SET_CHUNK_SIZE, CHUNK_BYTES.to_bytes(4, "big")))
    _await_command(connection, b"connect")
    _answer(connection, "_result", 1, _status("NetConnection.Connect.Success"))
    transaction = _await_command(connection, b"createStream")
    _answer(connection, "_result", transaction, _number(STREAM))
    _await_command(connection, b"play")
    _answer(connection, "onStatus", 0, _status("NetStream.Play.Start"), STREAM)
    tags = _Tags(connection)
    send_paced(path, tags.write, "flv")


def _await_command(connection: socket.socket, name: bytes) -> float:
    """Read until a command comes; its transaction. Other commands and acknowledgements are not answered."""
    received = b""
    wanted = b"\x02" + struct.pack(">H", len(name)) + name + b"\x00"
    while (at := received.find(wanted)) < 0 or len(received) < at + len(wanted) + 8:
        if not (more := connection.recv(4096)):
            raise ConnectionError
        received += more
    transaction: float = struct.unpack_from(">d", received, at + len(wanted))[0]
    return transaction


def _answer(
    connection: socket.socket, command: str, transaction: float, value: bytes, stream: int = 0
) -> None:
    body = _text(command) + _number(transaction) + NULL + value
    connection.sendall(_message(COMMAND, body, stream))


class _Tags:
    """The tags of a FLV file, each sent as a message."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._data = connection, b""
        self._at_start = True

    def write(self, data: bytes) -> None:
        self._data += data
        if self._at_start and len(self._data) >= FLV_HEADER_BYTES:
            self._data, self._at_start = self._data[FLV_HEADER_BYTES:], False
        while not self._at_start and len(self._data) >= 11:
            size = int.from_bytes(self._data[1:4], "big")
            if len(self._data) < 11 + size + 4:
                return
            time = int.from_bytes(self._data[4:7], "big")
            body, kind = self._data[11 : 11 + size], self._data[0]
            self._data = self._data[11 + size + 4 :]
            self._connection.sendall(_message(kind, body, STREAM, time))


def _message(kind: int, body: bytes, stream: int = 0, time: int = 0) -> bytes:
    """A message in one chunk with a whole header, on chunk stream 3."""
    head = b"\x03" + time.to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes([kind])
    return head + stream.to_bytes(4, "little") + body


def _number(value: float) -> bytes:
    return b"\x00" + struct.pack(">d", value)


def _text(value: str) -> bytes:
    return b"\x02" + struct.pack(">H", len(value)) + value.encode()


def _status(code: str) -> bytes:
    """An object that says that all is well."""
    fields = {"level": "status", "code": code}
    body = [struct.pack(">H", len(name)) + name.encode() + _text(value) for name, value in fields.items()]
    return b"\x03" + b"".join(body) + b"\x00\x00\x09"
