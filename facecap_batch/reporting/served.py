"""The report of a folder of any size, on 127.0.0.1: tables are read, and videos streamed, when asked for.

In: an output folder, requests of a browser on this machine. Out: the page, its data, pieces of videos. A
request names a take by its number and never a file. Every address begins with a secret of this process, so
that other users of the machine, and pages of the web, see nothing. What is answered:

    /SECRET/            the page
    /SECRET/run         JSON: the run
    /SECRET/takes/N     JSON: figures of the takes from the N-th on that are known by now
    /SECRET/head        the packed head
    /SECRET/curves/N    packed curves of take N
    /SECRET/video/N     its video; ranges of bytes
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from facecap_batch.reporting import document
from facecap_batch.reporting.curves import FINE, pack_curves
from facecap_batch.reporting.gathering import Gathering
from facecap_batch.reporting.head import pack_head
from facecap_batch.reporting.overview import overview
from facecap_batch.reporting.page_data import run_values, take_values
from facecap_batch.reporting.takes import TakeData, Takes
from facecap_batch.reporting.videos import MEDIA_TYPES
from facecap_batch.storage.publish import StoragePath
from facecap_batch.storage.web.loopback import LoopbackHandler, LoopbackServer

SECRET_BYTES = 18
WAIT_S = 2.0  # for new figures, before an answer without any
MAX_TAKES = 2000  # in one answer
PIECE_BYTES = 2**18  # of a video, in memory at a time
BINARY, JSON = "application/octet-stream", "application/json"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


class ServedReport:
    """Serves a folder until it is closed.

    Attributes:
        url: Of the page, with the secret.
    """

    def __init__(self, output: StoragePath, port: int = 0) -> None:
        """
        Args:
            output: The folder of a run.
            port: 0 takes one that is free.

        Raises:
            NoRun: `output` is not the folder of a run.
            PortTaken: The port is in use.
        """
        self.output = output
        self.takes = Takes(output)
        self._reading = threading.Lock()  # tables are read by one request at a time
        self._server = _Server(port, _Handler, "--port")
        self._server.report = self
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self.root = f"/{secret}/"
        self.url = f"{self._server.url}{secret}/"
        self._gathering = Gathering(self.takes, self._values)
        self._server.start()

    def close(self) -> None:
        self._gathering.close()
        self._server.close()

    def page(self) -> bytes:
        title = f"{self.output.absolute().name} · facecap-batch"
        return (document.opening(title, "served") + document.program() + document.CLOSING).encode()

    def run(self) -> dict[str, Any]:
        """The run, and what is known of every take before its table was read."""
        with_tables = sum(row.status == "done" for row in self.takes.rows)
        values = run_values(overview(self.output, self.takes.rows), {"held": with_tables, "of": with_tables})
        return {"run": values, "takes": [take_values(row, None, False) for row in self.takes.rows]}

    def figures(self, first: int) -> dict[str, Any]:
        found, is_over, error = self._gathering.after(first, WAIT_S)
        more = len(found) > MAX_TAKES
        return {"takes": found[:MAX_TAKES], "is_over": is_over and not more, "error": error}

    def curves(self, number: int) -> bytes:
        """Raises IndexError where there is no such take."""
        with self._reading:
            return pack_curves(self.takes.one(number), FINE)

    def video(self, number: int) -> Path | None:
        """The video of a take; None where there is none to show. Raises IndexError."""
        path = self.takes.video(number)
        return None if path is None else Path(path)

    def _values(self, data: TakeData) -> dict[str, Any]:
        video = None if data.row.video is None else f"video/{data.row.number}"
        return take_values(data.row, video, bool(data.tracks))


class _Server(LoopbackServer):
    report: ServedReport


class _Handler(LoopbackHandler):
    server: _Server

    def answer(self) -> None:
        path = urlsplit(self.path).path
        report = self.server.report
        begin, rest = path[: len(report.root)], path[len(report.root) :]
        if not secrets.compare_digest(begin.encode(), report.root.encode()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        name, _, argument = rest.partition("/")
        plain: dict[str, Callable[[], None]] = {
            "": self._page,
            "run": lambda: self._json(report.run()),
            "head": lambda: self.send(BINARY, pack_head()),
        }
        numbered: dict[str, Callable[[int], None]] = {
            "takes": lambda number: self._json(report.figures(number)),
            "curves": lambda number: self.send(BINARY, report.curves(number)),
            "video": self._video,
        }
        if rest in plain:
            answer = plain[rest]
        elif name in numbered and _NUMBER.fullmatch(argument):
            answer = functools.partial(numbered[name], int(argument))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            answer()
        except IndexError:
            self.send_error(HTTPStatus.NOT_FOUND)
        except (BrokenPipeError, ConnectionResetError):  # the browser needs no more of it
            self.close_connection = True

    def begin(self, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        super().begin(kind, status)
        self.send_header("Content-Security-Policy", f"{document.policy('served')}; frame-ancestors 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")

    def _page(self) -> None:
        self.send("text/html; charset=utf-8", self.server.report.page())

    def _json(self, value: Any) -> None:
        self.send(JSON, json.dumps(document.plain(value)).encode())

    def _video(self, number: int) -> None:
        path = self.server.report.video(number)
        if path is None:
            raise IndexError(number)
        try:
            file = path.open("rb")
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            size, kind = path.stat().st_size, MEDIA_TYPES[path.suffix.lower()]
            piece = asked_piece(self.headers.get("Range"), size)
            if piece is None:
                self.begin(kind, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.begin(kind, HTTPStatus.PARTIAL_CONTENT if piece.was_asked else HTTPStatus.OK)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(piece.stop - piece.start))
            if piece.was_asked:
                self.send_header("Content-Range", f"bytes {piece.start}-{piece.stop - 1}/{size}")
            self.end_headers()
            file.seek(piece.start)
            _copy(file, self.wfile, piece.stop - piece.start)


def _copy(file: IO[bytes], to: Any, count: int) -> None:
    while count > 0 and (content := file.read(min(count, PIECE_BYTES))):
        to.write(content)
        count -= len(content)


@dataclasses.dataclass(frozen=True)
class Piece:
    """Bytes of a file."""

    start: int
    stop: int  # behind the last
    was_asked: bool  # by a range that is understood; else it is the whole file


def asked_piece(header: str | None, size: int) -> Piece | None:
    """What a ``Range`` header asks of a file (RFC 9110, 14.1.2).

    Args:
        header: None, or one that is not understood, asks for all of it.
        size: Bytes of the file.

    Returns:
        None where the file has nothing of it.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.group() == "bytes=-":
        return Piece(0, size, False)
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    return Piece(start, stop, True) if start < stop else None
