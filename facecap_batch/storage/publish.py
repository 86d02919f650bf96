"""The one writer of files: what has a final name is complete.

In: bytes, or a local path that a caller writes to. Out: a file at a `StoragePath`, on a local disk published
by rename after fsync, behind a URI by one upload (see `remote`). A crash, a full disk or an exception leaves
nothing under the final name; temporary files begin with ``.tmp-`` and are removed on failure.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from facecap_batch.errors import OutputNotWritable, is_full
from facecap_batch.storage.remote import OBJECT_STORES, TEMPORARY_PREFIX, RemotePath, is_uri

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
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{path.name[-40:]}")
    try:
        yield temporary
        publish_file(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def _uploaded(path: RemotePath) -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as folder:
        with explaining_full_folder():
            yield Path(folder) / path.name[-40:]
        path.upload(Path(folder) / path.name[-40:])


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


def remove_leftovers(folder: StoragePath) -> int:
    """Remove temporary files of earlier, interrupted runs below `folder`.

    Object stores have none: an upload that did not end is not an object.

    Returns:
        How many there were.
    """
    if isinstance(folder, Path):
        leftovers: list[StoragePath] = list(folder.rglob(f"{TEMPORARY_PREFIX}*"))
    elif folder.scheme in OBJECT_STORES:
        return 0
    else:
        named = [name for name in folder.sizes() if name.rpartition("/")[2].startswith(TEMPORARY_PREFIX)]
        leftovers = [folder / name for name in named]
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return len(leftovers)
