"""Zip archives of other people, read with limits.

In: an archive that holds networks, and the names of the parts that are wanted. Out: their bytes. Nothing is
unpacked that claims or turns out to be larger than a network of this kind can be, and whatever zip can do
that networks have no use for (encryption, rare methods) is an error that says so.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from facecap_batch.errors import EngineError

MAX_PART_BYTES = 256 << 20  # unpacked; the largest part of a known bundle has 3 MB
MAX_TOTAL_BYTES = 4 << 30  # unpacked, of weights: the largest known network has 1 GB
MAX_PARTS = 10_000
MAX_LISTED = 8  # parts named in a message
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for damaged archives, beside its own: each decompressor has classes of its own.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    OverflowError,
    KeyError,
)


def read_parts(path: Path, names: Iterable[str], what: str) -> dict[str, bytes]:
    """The parts called `names` of the archive at `path`.

    Args:
        path: A zip archive.
        names: Parts that it must hold.
        what: What it should be, for errors.

    Raises:
        EngineError: It is no archive, lacks parts, or a part is damaged, encrypted or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held = archive.namelist()
            if missing := [name for name in names if name not in held]:
                raise EngineError(
                    f"{path} lacks {', '.join(missing)}; it holds {_listed(held)}. A {what} is needed"
                )
            return {name: _read(archive, name, path) for name in names}
    except (*_DAMAGE, NotImplementedError) as error:
        raise EngineError(f"{path} is not a {what}, or damaged: {error}") from error


def require_bounded(path: Path) -> None:
    """Raise EngineError for an archive that unpacks to more than any network has; other files pass."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (*_DAMAGE, NotImplementedError) as error:
        raise EngineError(f"{path} cannot be read as a zip archive: {error}") from error
    total = sum(part.file_size for part in parts)
    if total > MAX_TOTAL_BYTES or len(parts) > MAX_PARTS:
        raise EngineError(
            f"{path} unpacks to {total} bytes in {len(parts)} parts; {MAX_TOTAL_BYTES} bytes in {MAX_PARTS} "
            "are the most that is read"
        )


def _read(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """One part, unpacked. What its header claims is not trusted either."""
    part = archive.getinfo(name)
    if part.flag_bits & 1:
        raise EngineError(f"{path}: {name} is encrypted; unpack it with its password and pack it without one")
    if part.compress_type not in METHODS:
        raise EngineError(f"{path}: {name} is packed by method {part.compress_type}; pack it anew by deflate")
    too_large = EngineError(f"{path}: {name} unpacks to more than {MAX_PART_BYTES} bytes: it is no network")
    if part.file_size > MAX_PART_BYTES:
        raise too_large
    with archive.open(part) as file:
        data = file.read(MAX_PART_BYTES + 1)
    if len(data) > MAX_PART_BYTES:
        raise too_large
    return data


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_LISTED
    return (", ".join(names[:MAX_LISTED]) or "nothing") + (f" and {more} more" if more > 0 else "")
