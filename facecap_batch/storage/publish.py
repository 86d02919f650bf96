"""The one writer of files: what has a final name is complete.

In: bytes, or a local path that a caller writes to. Out: a file at a `StoragePath`, on a local disk published
by rename after fsync, behind a URI by one upload (see `remote`). A crash, a full disk or an exception leaves
nothing under the final name; temporary files (names: `temporary`) are removed on failure.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from facecap_batch.errors import OutputNotWritable, is_full
from facecap_batch.storage.remote import OBJECT_STORES, RemotePath, is_uri
from facecap_batch.storage.scratch import scratch_folder
from facecap_batch.storage.temporary import MAX_KEPT, is_temporary, temporary_name

if TYPE_CHECKING:
    import pyarrow as pa

# A file or folder, on a local disk or behind a URI: both answer to the same questions.
StoragePath: TypeAlias = Path | RemotePath


def storage_path(given: str | StoragePath) -> StoragePath:
    """The path that a user's text names: a local one, also as ``file://``, or one behind a URI."""
    if not isinstance(given, str):
        return given
    if given.startswith("file://"):
        return Path(unquote(urlsplit(given).path))
    return RemotePath(given.rstrip("/")) if is_uri(given) else Path(given)


@contextlib.contextmanager
def published(path: StoragePath) -> Iterator[Path]:
    """Give a temporary local path to write to; when the context ends, `path` is published from it.

    On a local disk the temporary file lies beside `path`, is fsynced and renamed; the parent folder is
    created. For a URI it lies in the machine's temporary folder and is uploaded. On any exception the
    temporary file is removed and `path` is left as it was.

    Raises:
        OSError: The storage refuses.
    """
    with _uploaded(path) if isinstance(path, RemotePath) else _renamed(path) as temporary:
        yield temporary


def publish_file(temporary: Path, path: Path) -> None:
    """Give a whole local file its final name, in the same folder; raises OSError."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name(path.name))
    try:
        yield temporary
        publish_file(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def _uploaded(path: RemotePath) -> Iterator[Path]:
    with scratch_folder() as folder:
        with explaining_full_folder():
            yield folder / path.name[-MAX_KEPT:]
        path.upload(folder / path.name[-MAX_KEPT:])


@contextlib.contextmanager
def explaining_full_folder() -> Iterator[None]:
    """Turn an error about a full disk inside this context into one that names the temporary folder."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        import tempfile

        reason = f"no room in the temporary folder {tempfile.gettempdir()}; free some, or set TMPDIR"
        raise OSError(errno.ENOSPC, reason) from error


def publish_bytes(path: StoragePath, data: bytes) -> None:
    """Write `data` to `path` atomically; raises OSError."""
    with published(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def writing(path: StoragePath) -> Iterator[StoragePath]:
    """Turn an OSError inside this context into one that names the file and what to do.

    Raises:
        OutputNotWritable: The storage refused; whether that may pass is kept in its cause.
    """
    try:
        yield path
    except OSError as error:
        raise OutputNotWritable(
            f"cannot write {path}: {error.strerror or error}; nothing half-written is left, "
            "run the same command again when there is room"
        ) from error


def not_writable(folder: StoragePath, error: OSError) -> OutputNotWritable:
    """The error of a run whose output folder refuses to be written."""
    return OutputNotWritable(
        f"{folder}: the output folder cannot be written: {error.strerror or error}; "
        "make it writable (or free space), or choose another --output"
    )


def arrow_source(path: StoragePath) -> Path | pa.BufferReader:
    """What Arrow reads a whole table from; raises OSError for a URI that cannot be read."""
    if isinstance(path, Path):
        return path
    import pyarrow as pa

    return pa.BufferReader(path.read_bytes())


def remove_temporary(folder: StoragePath) -> int:
    """Remove the temporary files directly in `folder`, which earlier, interrupted runs left.

    Object stores have none: an upload that did not end is not an object. Raises OSError.

    Returns:
        How many there were.
    """
    removed = 0
    for path in _files(folder):
        if is_temporary(path.name):
            with contextlib.suppress(PermissionError):  # of another user: harmless
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _files(folder: StoragePath) -> list[StoragePath]:
    """What lies directly in `folder` and is no folder and no link."""
    if isinstance(folder, RemotePath):
        return [] if folder.scheme in OBJECT_STORES else list(folder.iterdir())
    try:
        with os.scandir(folder) as entries:
            return [folder / entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
