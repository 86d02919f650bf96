"""A file on a web server as a file object: read from where it is told to, in one version.

In: an address, its description. Out: bytes; a request for a range where it seeks. Every answer must be of the
version that was described.
"""

from __future__ import annotations

import errno
import http.client
import io
from collections.abc import Mapping
from typing import Any

from facecap_batch.storage.web.asking import ask, description

SKIPPED_BYTES = 2**18  # a seek this far ahead reads on: another request takes longer


class WebFile(io.RawIOBase):
    """One version of a file; read from front to end where the server gives no ranges."""

    def __init__(self, address: str, about: Mapping[str, Any]) -> None:
        """`about` describes the version, as `describe` does."""
        super().__init__()
        self._address = address
        self._version = _same_in_all_answers(about)
        self._can_seek = about["ranges"] and about["size"] is not None
        self._size = -1 if about["size"] is None else about["size"]
        self._offset = 0
        self._answer: http.client.HTTPResponse | None = None
        self._at = 0  # where `_answer` is

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._can_seek

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        self._offset = max(0, base + offset)
        return self._offset

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as have come and `size` at most; none at the end.

        Raises:
            OSError: The server does not give them; ESTALE where it has another version by now.
        """
        size = io.DEFAULT_BUFFER_SIZE if size < 0 else size
        if 0 <= self._size <= self._offset or not size:
            return b""
        data = self._answer_here().read1(size)
        if not data and self._offset < self._size:
            raise OSError(errno.ECONNRESET, f"the answer ends {self._size - self._offset} bytes early")
        self._offset += len(data)
        self._at = self._offset
        return data

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None
        super().close()

    def _answer_here(self) -> http.client.HTTPResponse:
        """The answer whose next byte is that at the offset."""
        if self._answer is not None and self._at <= self._offset <= self._at + SKIPPED_BYTES:
            while self._at < self._offset and (skipped := self._answer.read1(self._offset - self._at)):
                self._at += len(skipped)
        if self._answer is None or self._at != self._offset:
            if self._answer is not None:
                self._answer.close()
            self._answer = ask(self._address, self._offset)
            self._at = self._offset
            if _same_in_all_answers(description(self._answer)) != self._version:
                raise OSError(errno.ESTALE, "it changed while it was being read")
        return self._answer


def _same_in_all_answers(about: Mapping[str, Any]) -> dict[str, Any]:
    """The description but for `ranges`: some servers answer to one for all bytes with the whole file."""
    return {name: value for name, value in about.items() if name != "ranges"}
