"""Videos behind a URI: read where they lie, and recognised when they change.

In: URIs. Out: a file object that FFmpeg reads and seeks in without a local copy, and the size and version
(ETag or the like) by which an input is known to be the same.

FFmpeg itself speaks HTTP and the streaming protocols; every other scheme goes through fsspec. Blocks of the
object are fetched as they are asked for and the next one while the last is decoded, at most
`MAX_BLOCKS` × `BLOCK_BYTES` are held, so an index at the end of a file and streams that are far apart cost
a few requests. A storage that can only be read from front to end is copied to an unnamed temporary file.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import io
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any
from urllib.parse import urlsplit

from facecap_batch.errors import BadVideo, InputNotReadable, StorageUnavailable
from facecap_batch.storage.connection import as_os_error, open_storage, why_no_library, with_retries
from facecap_batch.storage.publish import explaining_full_folder
from facecap_batch.storage.remote import RemotePath

BLOCK_BYTES = 4 * 2**20  # large enough that a request's latency (tens of ms) is a small part of it
MAX_BLOCKS = 12
COPY_BYTES = 2**20  # at a time
# What FFmpeg opens by itself.
FFMPEG_SCHEMES = frozenset({"http", "https", "rtmp", "rtmps", "rtsp", "rtp", "srt", "tcp", "udp", "tls"})
# Errors that pass are FFmpeg's to retry there: seconds of pause double up to the last.
HTTP_OPTIONS = {
    "reconnect": "1",
    "reconnect_on_network_error": "1",
    "reconnect_on_http_error": "429,5xx",
    "reconnect_delay_max": "8",
}
MAX_REQUESTS = 16  # to a storage at one time
WEB_TIMEOUT_S = 10.0  # for a web server to describe a file
MIN_LISTED = 8  # inputs of one folder from which on the folder is listed


@dataclasses.dataclass(frozen=True)
class RemoteInput:
    """By what an input behind a URI is known to be the same."""

    size: int  # bytes; -1: not known
    version: str  # ETag, checksum or time of change as the storage gives it; empty: not known


UNKNOWN = RemoteInput(-1, "")
# Fields in which storages report a version, the surest first.
_VERSION_FIELDS = (
    "ETag",
    "etag",
    "md5Hash",
    "checksum",
    "Content-MD5",
    "Last-Modified",
    "LastModified",
    "mtime",
    "created",
)


def ffmpeg_options(uri: str) -> dict[str, str]:
    """Options for a URI that FFmpeg opens by itself."""
    return HTTP_OPTIONS if uri.partition("://")[0] in ("http", "https") else {}


def open_remote(uri: str) -> RemoteFile | IO[bytes] | None:
    """Open the video at `uri` for reading.

    Returns:
        A seekable file object, which the caller closes; None where FFmpeg opens `uri` by itself.

    Raises:
        BadVideo: Nothing is there, or it is no file.
        InputNotReadable: The storage refuses or does not answer.
        StorageUnavailable: The storage's library is missing, or its address is wrong.
    """
    if uri.partition("://")[0] in FFMPEG_SCHEMES:
        return None
    path = RemotePath(uri)
    try:
        about = path.information()
    except FileNotFoundError as error:
        raise BadVideo(f"{uri}: there is no such file; check the path in the manifest") from error
    except OSError as error:
        raise input_not_readable(uri, error) from error
    if about.get("type") == "directory":
        raise BadVideo(f"{uri}: is a folder, not a video; list its files in the manifest, one a row")
    if about.get("size") == 0:
        raise BadVideo(f"{uri}: the file is empty; copy it again")
    try:
        file = RemoteFile(uri, _input(about))
        return file if file.seekable() else _copied(file)
    except OSError as error:
        raise input_not_readable(uri, error) from error


def input_not_readable(uri: str, error: OSError) -> InputNotReadable:
    """The error of a clip whose storage refuses or does not answer."""
    return InputNotReadable(
        f"{uri}: the storage does not give it: {error.strerror or error}; check access and connection, then "
        "run the same command again"
    )


class RemoteFile(io.RawIOBase):
    """A file behind a URI, for one reader. Reads go on where a lost connection broke them off.

    A read raises InputNotReadable when the storage does not answer in time. FFmpeg may read again before it
    looks at errors: the error is raised once, from then on the file has ended.
    """

    def __init__(self, uri: str, about: RemoteInput) -> None:
        """`about` describes the version that is read; another version of the file is not read on."""
        super().__init__()
        self.uri = uri
        self._about = about
        self._offset = 0
        self._broken = False
        self._file: Any = None
        self._size = -1
        with_retries(uri, self._open)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        self._offset = max(0, base + offset)
        return self._offset

    def read(self, size: int = -1) -> bytes:
        if self._broken:
            return b""
        try:
            data = with_retries(self.uri, lambda: self._read(size))
        except OSError as error:
            self._broken = True
            raise input_not_readable(self.uri, error) from error
        self._offset += len(data)
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()

    def _read(self, size: int) -> bytes:
        if self._file is None:
            self._open_again()
        try:
            if self._file.tell() != self._offset:
                self._file.seek(self._offset)
            return bytes(self._file.read(size))
        except Exception:
            # Its cache may hold the failed request for ever.
            file, self._file = self._file, None
            with contextlib.suppress(Exception):
                file.close()
            raise

    def _open(self) -> None:
        system, path = open_storage(self.uri)
        self._file = system.open(
            path,
            "rb",
            block_size=BLOCK_BYTES,
            cache_type="background",
            cache_options={"maxblocks": MAX_BLOCKS},
        )
        if self._file.seekable():
            self._size = self._file.seek(0, io.SEEK_END)
            self._file.seek(0)

    def _open_again(self) -> None:
        if _input(RemotePath(self.uri).information()) != self._about:
            raise OSError(errno.ESTALE, "it changed while it was being read", self.uri)
        self._open()


def _copied(file: RemoteFile) -> IO[bytes]:
    """The whole file on the local disk, under no name: it goes when it is closed, however that happens."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with file, explaining_full_folder():
            while data := file.read(COPY_BYTES):
                copy.write(data)
            copy.seek(0)
        return copy
    except BaseException:
        copy.close()
        raise


def why_no_address(uri: str) -> str | None:
    """Why nothing here can ever read `uri`, whatever lies behind it; None where something may."""
    try:
        urlsplit(uri).port  # noqa: B018 - reading it is the check
    except ValueError as error:
        return f"{uri}: is no address: {error}"
    scheme = uri.partition("://")[0]
    reason = None if scheme in FFMPEG_SCHEMES else why_no_library(scheme)
    return reason and f"{uri}: {reason}"


def look_up(uris: Iterable[str]) -> dict[str, RemoteInput]:
    """Size and version of every URI; `UNKNOWN` where it is missing or nobody answers.

    A clip whose input is unknown fails by itself later, and alone. Folders with many of the URIs are listed,
    the others are asked for side by side. Whether libraries are there is the business of `why_no_address`.
    """
    by_folder: dict[str, list[str]] = collections.defaultdict(list)
    for uri in dict.fromkeys(uris):
        by_folder[uri.rpartition("/")[0]].append(uri)
    found: dict[str, RemoteInput] = {}
    alone: list[str] = []
    for folder, members in by_folder.items():
        web = folder.partition("://")[0] in FFMPEG_SCHEMES
        listed = _listed(folder, members) if len(members) >= MIN_LISTED and not web else {}
        found |= listed
        alone += [] if listed else members
    with ThreadPoolExecutor(MAX_REQUESTS) as pool:
        return found | dict(zip(alone, pool.map(_asked, alone), strict=True))


def _listed(folder: str, uris: list[str]) -> dict[str, RemoteInput]:
    """Size and version of `uris`, all in `folder`; nothing where the folder may not be listed."""
    try:
        system, path = open_storage(folder)
        entries = with_retries(folder, lambda: system.ls(path, detail=True))
    except (StorageUnavailable, OSError):
        return {}
    by_name = {entry["name"].rpartition("/")[2]: _input(entry) for entry in entries}
    return {uri: by_name.get(uri.rpartition("/")[2], UNKNOWN) for uri in uris}


def _asked(uri: str) -> RemoteInput:
    by_ffmpeg = uri.partition("://")[0] in FFMPEG_SCHEMES
    try:
        about = _asked_once(uri) if by_ffmpeg else RemotePath(uri).information()
        return _input(about)
    except (StorageUnavailable, OSError):  # FFmpeg needs no fsspec
        return UNKNOWN


def _asked_once(uri: str) -> Mapping[str, Any]:
    """What a web server reports of a file, asked once and not for long: a plan must not wait for every
    server."""
    system, path = open_storage(uri)
    from fsspec.asyn import sync

    try:
        about: Mapping[str, Any] = sync(system.loop, system._info, path, timeout=WEB_TIMEOUT_S)
        return about
    except Exception as error:
        raise as_os_error(uri, error) from error


def _input(about: Mapping[str, Any]) -> RemoteInput:
    if about.get("type") == "directory":
        return UNKNOWN
    version = next((str(about[name]).strip('"') for name in _VERSION_FIELDS if about.get(name)), "")
    size = about.get("size")
    return RemoteInput(-1 if size is None else int(size), version)
