"""Files behind a URI (``s3://``, ``gs://``, ``memory://``, …), through fsspec.

In: URIs. Out: `RemotePath`, which answers the few questions about a file or folder that the rest of the
project asks, in the words of `pathlib.Path`. Whatever a storage library raises becomes an `OSError` with its
number set; what may pass (time-outs, 5xx, lost connections) is tried again with growing pauses, what stays
is told at once. fsspec is imported when the first URI is used and not before.

Tests, command lines and workers find servers and credentials where the libraries look for them: the
environment (``AWS_*``), the machine's role, fsspec's own configuration files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fnmatch
import os
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from facecap_batch.errors import FacecapError, StorageUnavailable, is_full, is_permanent

TEMPORARY_PREFIX = ".tmp-"
INSTALL_LINE = 'pip install "facecap-batch[storage]"'
TRIES = 3
FIRST_PAUSE_S = 0.5  # doubles with each try; jittered, so that workers do not come back together
# Stores whose objects appear when their upload is complete. Elsewhere a file is uploaded beside its place
# and renamed.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "memory"})
# Answers must be of now: another process writes into the same folder.
_FRESH = {"use_listings_cache": False}
# The client's own retries of throttling, 5xx and connection errors. With s3fs's and ours on top a store that
# answers with errors is given up after some ten seconds, one that does not answer after about a minute.
_S3 = {**_FRESH, "config_kwargs": {"retries": {"mode": "standard", "max_attempts": 3}}}
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": _S3, "s3a": _S3, "gs": _FRESH, "gcs": _FRESH, "az": _FRESH, "abfs": _FRESH, "abfss": _FRESH,
}  # fmt: skip
# Besides what is always lasting: another request would be answered the same.
_ANSWERS = {errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOSYS, errno.ESTALE}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

Result = TypeVar("Result")


def is_uri(path: str) -> bool:
    """True for ``scheme://…``; a Windows drive letter is not a scheme."""
    return _URI.match(path) is not None


@dataclasses.dataclass(frozen=True)
class RemoteStatus:
    """What `pathlib.Path.stat` is asked for."""

    st_size: int  # bytes


@dataclasses.dataclass(frozen=True)
class RemotePath:
    """A file or folder behind a URI. Methods that ask the storage raise OSError, or StorageUnavailable."""

    uri: str  # scheme://…, without a slash at its end

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> RemotePath:
        """What lies below; ``.`` and ``..`` are resolved, as no object store knows them."""
        scheme, _, below = f"{self.uri.rstrip('/')}/{name}".partition("://")
        parts: list[str] = []
        for part in below.split("/"):
            if part == ".." and len(parts) > 1:
                parts.pop()
            elif part not in (".", ".."):
                parts.append(part)
        return RemotePath(f"{scheme}://{'/'.join(parts)}")

    @property
    def scheme(self) -> str:
        return self.uri.partition("://")[0]

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def parent(self) -> RemotePath:
        above, _, _ = self.uri.rpartition("/")
        return self if above.endswith(("/", ":")) else RemotePath(above)

    def absolute(self) -> RemotePath:
        return self

    def exists(self) -> bool:
        return self.kind() is not None

    def is_file(self) -> bool:
        return self.kind() == "file"

    def is_dir(self) -> bool:
        """True where something lies below; object stores have no empty folders."""
        return self.kind() == "directory"

    def kind(self) -> str | None:
        """``file``, ``directory``, or None where nothing is there."""
        try:
            return str(self.information().get("type"))
        except FileNotFoundError:
            return None

    def stat(self) -> RemoteStatus:
        return RemoteStatus(int(self.information().get("size") or 0))

    def information(self) -> Mapping[str, Any]:
        """What the storage says of it: ``size``, ``type`` and fields that differ by storage."""
        return self._ask(lambda system, path: system.info(path))

    def read_bytes(self) -> bytes:
        return self._ask(lambda system, path: bytes(system.cat_file(path)))

    def write_bytes(self, data: bytes, new: bool = False) -> None:
        """Put `data` there in one request; `new`: raise FileExistsError where something is, if the store
        can tell."""

        def put(system: Any, path: str) -> None:
            if self.scheme not in OBJECT_STORES:
                system.makedirs(system._parent(path), exist_ok=True)
            system.pipe_file(path, data, **({"mode": "create"} if new else {}))

        self._ask(put)

    def upload(self, local: Path) -> None:
        """Publish the contents of `local`: it is there as a whole or not at all."""

        def put(system: Any, path: str) -> None:
            if self.scheme in OBJECT_STORES:
                system.put_file(str(local), path)
                return
            folder = system._parent(path)
            system.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{self.name[-40:]}"
            try:
                system.put_file(str(local), temporary)
                system.mv(temporary, path)
            except BaseException:
                if system.exists(temporary):
                    system.rm_file(temporary)
                raise

        self._ask(put)

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            self._ask(lambda system, path: system.rm_file(path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def iterdir(self) -> Iterator[RemotePath]:
        """What lies directly below, in no order; nothing where there is no such folder."""

        def listed(system: Any, path: str) -> list[str]:
            # Some stores keep an empty object where a folder was made by hand.
            below = (_below(found, path) for found in system.ls(path, detail=False))
            return [name for name in below if name]

        try:
            names = self._ask(listed)
        except FileNotFoundError:
            return
        yield from (self / name for name in names)

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """What lies directly below and whose name fits."""
        return (found for found in self.iterdir() if fnmatch.fnmatchcase(found.name, pattern))

    def sizes(self) -> dict[str, int]:
        """Every file below, at any depth, by its name relative to this folder, with its bytes; one listing
        where the store offers that."""

        def listed(system: Any, path: str) -> dict[str, int]:
            found = system.find(path, detail=True)
            sizes = {_below(name, path): int(about.get("size") or 0) for name, about in found.items()}
            return {name: size for name, size in sizes.items() if name}

        return self._ask(listed)

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """The named files below that are there, asked for side by side where the storage library can."""

        # s3fs asks for the size first, to read large files in parts; these are small.
        options = {"max_concurrency": 1} if self.scheme in ("s3", "s3a") else {}

        def read(system: Any, path: str) -> list[Any]:
            wanted = [f"{path}/{name}" for name in names]
            return list(system.cat_ranges(wanted, None, None, on_error="return", **options))

        contents: dict[str, bytes] = {}
        for name, answer in zip(names, self._ask(read), strict=True):
            if isinstance(answer, bytes):
                contents[name] = answer
            elif not isinstance(answer, FileNotFoundError):
                with contextlib.suppress(FileNotFoundError):
                    contents[name] = (self / name).read_bytes()
        return contents

    def _ask(self, question: Callable[[Any, str], Result]) -> Result:
        system, path = open_storage(self.uri)
        return with_retries(self.uri, lambda: question(system, path))


@contextlib.contextmanager
def temporary_room() -> Iterator[None]:
    """Say that it is the machine's temporary folder where there is no room for a file in it."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        import tempfile

        told = f"no room in the temporary folder {tempfile.gettempdir()}; free some, or set TMPDIR"
        raise OSError(errno.ENOSPC, told) from error


def open_storage(uri: str) -> tuple[Any, str]:
    """The fsspec file system that serves `uri`, and the path there. Raises StorageUnavailable, OSError."""
    try:
        import fsspec
        from fsspec.config import conf
    except ImportError as error:
        raise StorageUnavailable(f"{uri}: needs fsspec, which is not installed: {INSTALL_LINE}") from error
    scheme = uri.partition("://")[0]
    theirs = conf.get(scheme, {})
    ours = {name: value for name, value in _OPTIONS.get(scheme, {}).items() if name not in theirs}
    try:
        system, path = fsspec.url_to_fs(uri, **ours)
    except ImportError as error:
        raise StorageUnavailable(f"{uri}: {error}; for S3 and HTTP: {INSTALL_LINE}") from error
    except ValueError as error:
        raise StorageUnavailable(f"{uri}: {error}; is the address right?") from error
    except Exception as error:
        raise as_os_error(uri, error) from error
    return system, str(path)


def with_retries(uri: str, call: Callable[[], Result]) -> Result:
    """`call`, tried again while it fails for reasons that may pass. Raises OSError with its number set."""
    for attempt in range(TRIES):
        try:
            return call()
        except Exception as error:
            problem = as_os_error(uri, error)
            if is_permanent(problem) or problem.errno in _ANSWERS or attempt == TRIES - 1:
                raise problem from error
            time.sleep(FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))
    raise AssertionError("unreachable")


def as_os_error(uri: str, error: Exception) -> OSError:
    """What a storage library raised as an OSError that bears a number. What is no trouble of the storage
    (a bug) is raised as it is."""
    name, status = type(error).__name__, getattr(error, "status", None)
    if isinstance(error, FacecapError) or not (isinstance(error, OSError) or _is_of_a_library(error)):
        raise error
    if isinstance(error, FileNotFoundError):
        number = errno.ENOENT
    elif isinstance(error, FileExistsError):
        number = errno.EEXIST
    elif isinstance(error, PermissionError) or "Credential" in name or status in (401, 403):
        number = errno.EACCES
    elif any(kind.__name__ == "TimeoutError" for kind in type(error).__mro__):  # asyncio's is another one
        number = errno.ETIMEDOUT
    else:
        number = getattr(error, "errno", None) or errno.EIO
    told = getattr(error, "strerror", None) or str(error) or name
    told = os.strerror(number) if told in (uri, uri.partition("://")[2]) else told
    return OSError(number, " ".join(str(told).split())[:300], uri)


def _is_of_a_library(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] not in ("builtins", "facecap_batch")


def _below(path: str, folder: str) -> str:
    return path.strip("/").removeprefix(folder.strip("/")).lstrip("/")
