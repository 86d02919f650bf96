"""Pages of ours for the browsers of this machine: a server on 127.0.0.1, and who may ask it.

In: a handler of requests. Out: a server in a thread of its own. Other machines cannot connect. Requests under
another name than 127.0.0.1 or localhost are refused, so that no page of the web reaches it by a name of its
own that leads here.
"""

from __future__ import annotations

import http.server
import threading
from http import HTTPStatus
from typing import Any

from facecap_batch.errors import FacecapError

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")


class PortTaken(FacecapError):
    """A page's port is in use."""


class LoopbackHandler(http.server.BaseHTTPRequestHandler):
    """Refuses requests under other names; the others go to `answer`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = (self.headers.get("Host") or "").partition(":")[0]
        if name not in NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "This page is for 127.0.0.1 alone")
        else:
            self.answer()

    def answer(self) -> None:
        """Answer the request for `self.path`."""
        raise NotImplementedError

    def log_message(self, *_: Any) -> None:
        """Requests are not printed: the terminal shows what the command does."""

    def begin(self, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send the first headers of an answer of the media type `kind`, for this page alone."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def send(self, kind: str, body: bytes) -> None:
        """A whole answer."""
        self.begin(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class LoopbackServer(http.server.ThreadingHTTPServer):
    """Listens, and answers in threads once `start` was called, until it is closed.

    Attributes:
        url: Of its root.
    """

    daemon_threads = True

    def __init__(self, port: int, handler: type[LoopbackHandler], option: str) -> None:
        """
        Args:
            port: 0 takes one that is free.
            handler: Answers requests; has this server as `server`.
            option: What chooses the port, for messages: ``--port``.

        Raises:
            PortTaken: It cannot listen there.
        """
        try:
            super().__init__((ADDRESS, port), handler)
        except OSError as error:
            raise PortTaken(
                f"{option} {port}: {error.strerror}; choose another, or give none: one that is free is taken"
            ) from error
        self.url = f"http://{ADDRESS}:{self.server_port}/"
        self._thread = threading.Thread(target=self.serve_forever, name="page", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self.shutdown()
        self.server_close()
        self._thread.join()
