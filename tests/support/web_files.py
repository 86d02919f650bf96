"""A real web server on loopback, that gives files with and without ranges, lengths and versions."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.server
import re
import threading
from collections.abc import Iterator


@dataclasses.dataclass
class WebFolder:
    """What the server gives, and how. May be changed while it serves."""

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)  # name -> content
    fields: dict[str, str] = dataclasses.field(default_factory=dict)  # further fields of the head: ETag …
    gives_ranges: bool = True
    says_length: bool = True
    moved: dict[str, str] = dataclasses.field(default_factory=dict)  # name -> where it is now
    failures: list[int] = dataclasses.field(default_factory=list)  # codes of the next answers
    breaks_after: int | None = None  # bytes of an answer, once
    password: str = ""  # NAME:PASSWORD
    asked: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # (name, range) of each request
    address: str = ""  # with a slash at its end


@contextlib.contextmanager
def web_folder() -> Iterator[WebFolder]:
    """An empty folder, and its server."""
    folder = WebFolder()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):  # who asked has gone
                _answer(self, folder)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder.address = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield folder
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: http.server.BaseHTTPRequestHandler, folder: WebFolder) -> None:
    name, span = handler.path.removeprefix("/"), handler.headers.get("Range") or ""
    folder.asked.append((name, span))
    wanted = f"Basic {base64.b64encode(folder.password.encode()).decode()}"
    if folder.failures:
        return handler.send_error(folder.failures.pop(0))
    if folder.password and handler.headers.get("Authorization") != wanted:
        return _head(handler, 401, {"WWW-Authenticate": 'Basic realm="takes"', "Content-Length": "0"})
    if name in folder.moved:
        return _head(handler, 302, {"Location": folder.moved[name], "Content-Length": "0"})
    if name not in folder.files:
        return handler.send_error(404)
    data, fields, code = folder.files[name], dict(folder.fields), 200
    if folder.gives_ranges and (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", span)):
        begin, end = int(asked[1]), min(len(data), int(asked[2] or len(data)) + 1)
        fields["Content-Range"], code = f"bytes {begin}-{end - 1}/{len(data)}", 206
        data = data[begin:end]
    if folder.says_length:
        fields["Content-Length"] = str(len(data))
    _head(handler, code, fields)
    if folder.breaks_after is not None and folder.breaks_after < len(data):
        data, folder.breaks_after = data[: folder.breaks_after], None
    handler.wfile.write(data)


def _head(handler: http.server.BaseHTTPRequestHandler, code: int, fields: dict[str, str]) -> None:
    handler.send_response(code)
    for field, value in {"Connection": "close", **fields}.items():
        handler.send_header(field, value)
    handler.end_headers()
