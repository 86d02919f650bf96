"""Videos behind a URI: read where they lie, and recognised when they change.

In: URIs. Out: a file object that FFmpeg reads and seeks in without a local copy, and the size and version
(ETag or the like) by which an input is known to be the same.

FFmpeg itself speaks the streaming protocols; web servers are asked by `web`, every other scheme goes
through fsspec. There blocks of the object are fetched as they are asked for and the next one while the last
is decoded, at most `MAX_BLOCKS` × `BLOCK_BYTES` are held, so an index at the end of a file and streams that
are far apart cost a few requests. A storage that can only be read from front to end is copied to an unnamed
temporary file. Whatever FFmpeg reads can so be looked at before, and comes from one version of the file.
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
from facecap_batch.storage.connection import ATTEMPTS, open_storage, why_no_library, with_retries
from facecap_batch.storage.publish import explaining_full_folder
from facecap_batch.storage.remote import RemotePath
from facecap_batch.storage.web import asking, web_file

BLOCK_BYTES = 4 * 2**20  # large enough that a request's latency (tens of ms) is a small part of it
MAX_BLOCKS = 12
COPY_BYTES = 2**20  # at a time
# Of a file whose length a web server does not say: what goes on for ever must not fill the disk.
MAX_UNKNOWN_BYTES = 4 * 2**30
# What FFmpeg opens by itself.
FFMPEG_SCHEMES = frozenset({"rtmp", "rtmps", "rtsp", "rtp", "srt", "tcp", "udp", "tls"})
# What has no folders to be listed.
ADDRESSES = FFMPEG_SCHEMES | asking.SCHEMES
WEB_ATTEMPTS = 6  # some ten seconds: unlike the clients of fsspec's storages, Python's asks once
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


def open_remote(uri: str) -> RemoteFile | IO[bytes] | None:
    """Open the video at `uri` for reading.

    Returns:
        A seekable file object, which the caller closes; None where FFmpeg opens `uri` by itself.

    Raises:
        BadVideo: Nothing is there, it is no file, or it does not end.
        InputNotReadable: The storage refuses or does not answer.
        StorageUnavailable: The storage's library is missing, or its address is wrong.
    """
    if uri.partition("://")[0] in FFMPEG_SCHEMES:
        return None
    try:
        about = with_retries(uri, lambda: _description(uri), _attempts(uri))
    except FileNotFoundError as error:
        raise BadVideo(f"{uri}: there is no such file; check the path in the manifest") from error
    except OSError as error:
        raise input_not_readable(uri, error) from error
    if about.get("type") == "directory":
        raise BadVideo(f"{uri}: is a folder, not a video; list its files in the manifest, one a row")
    if about.get("size") == 0:
        raise BadVideo(f"{uri}: the file is empty; copy it again")
    try:
        file = RemoteFile(uri, about)
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

    def __init__(self, uri: str, about: Mapping[str, Any]) -> None:
        """`about` is what the storage reports of the version that is read; another one is not read on.

        Attributes:
            has_unknown_length: Where it ends is not known before it does.
        """
        super().__init__()
        self.uri = uri
        self.has_unknown_length = about.get("size") is None
        self._about = about
        self._offset = 0
        self._broken = False
        self._file: Any = None
        self._size = -1
        with_retries(uri, self._open, _attempts(uri))

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
            data = with_retries(self.uri, lambda: self._read(size), _attempts(self.uri))
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
        self._file = _opened(self.uri, self._about)
        if self._file.seekable():
            self._size = self._file.seek(0, io.SEEK_END)
            self._file.seek(0)

    def _open_again(self) -> None:
        if _input(_description(self.uri)) != _input(self._about):
            raise OSError(errno.ESTALE, "it changed while it was being read", self.uri)
        self._open()


def _is_web(uri: str) -> bool:
    return uri.partition("://")[0] in asking.SCHEMES


def _attempts(uri: str) -> int:
    return WEB_ATTEMPTS if _is_web(uri) else ATTEMPTS


def _description(uri: str, timeout_s: float = asking.TIMEOUT_S) -> Mapping[str, Any]:
    """What the storage reports of a file. Raises OSError, or StorageUnavailable."""
    return asking.describe(uri, timeout_s) if _is_web(uri) else RemotePath(uri).information()


def _opened(uri: str, about: Mapping[str, Any]) -> Any:
    """A file object of the storage, which may break off."""
    if _is_web(uri):
        return web_file.WebFile(uri, about)
    system, path = open_storage(uri)
    return system.open(
        path,
        "rb",
        block_size=BLOCK_BYTES,
        cache_type="background",
        cache_options={"maxblocks": MAX_BLOCKS},
    )


def _copied(file: RemoteFile) -> IO[bytes]:
    """The whole file on the local disk, under no name: it goes when it is closed, however that happens."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with file, explaining_full_folder():
            while data := file.read(COPY_BYTES):
                copy.write(data)
                if file.has_unknown_length and copy.tell() > MAX_UNKNOWN_BYTES:
                    raise BadVideo(
                        f"{file.uri}: goes on after {MAX_UNKNOWN_BYTES} bytes, and its server does not say "
                        "how long it is; copy it to a disk, or take facecap-batch record where it is live"
                    )
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
    reason = None if scheme in ADDRESSES else why_no_library(scheme)
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
        can_list = folder.partition("://")[0] not in ADDRESSES
        listed = _listed(folder, members) if len(members) >= MIN_LISTED and can_list else {}
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
    if uri.partition("://")[0] in FFMPEG_SCHEMES:
        return UNKNOWN
    try:
        return _input(_description(uri, WEB_TIMEOUT_S))
    except (StorageUnavailable, OSError):
        return UNKNOWN


def _input(about: Mapping[str, Any]) -> RemoteInput:
    if about.get("type") == "directory":
        return UNKNOWN
    version = next((str(about[name]).strip('"') for name in _VERSION_FIELDS if about.get(name)), "")
    size = about.get("size")
    return RemoteInput(-1 if size is None else int(size), version)
