"""Which files somebody opens, and which stay open, whatever library does it: FFmpeg's own calls among them.

In: folders. Out: the paths of files in them that were opened since, or that this process holds open. Linux
tells, by inotify through the C library and by /proc; other systems tell nothing, so tests that ask for what
was opened skip there (`needs_inotify`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

IN_OPEN, IN_ISDIR, IN_NONBLOCK = 0x20, 0x40000000, 0x800  # sys/inotify.h
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name
READ_BYTES = 2**16

needs_inotify = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")


class OpenedFiles:
    """Watches folders, each without those inside it."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """`folders` exist. Raises OSError."""
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(IN_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot be had")
        self._folders: dict[int, Path] = {}
        for folder in folders:
            watch = library.inotify_add_watch(self._descriptor, os.fsencode(folder), IN_OPEN)
            if watch < 0:
                raise OSError(ctypes.get_errno(), "cannot be watched", str(folder))
            self._folders[watch] = folder

    def since(self) -> set[Path]:
        """The files opened since the last call."""
        found: set[Path] = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._descriptor, READ_BYTES):
                at = 0
                while at < len(data):
                    watch, mask, _, length = _EVENT.unpack_from(data, at)
                    name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
                    at += _EVENT.size + length
                    if name and not mask & IN_ISDIR:
                        found.add(self._folders[watch] / os.fsdecode(name))
        return found

    def close(self) -> None:
        os.close(self._descriptor)


@contextlib.contextmanager
def watching(*folders: Path) -> Iterator[OpenedFiles]:
    """`OpenedFiles` of `folders`, closed at the end."""
    watched = OpenedFiles(folders)
    try:
        yield watched
    finally:
        watched.close()


def left_open(folder: Path) -> list[Path]:
    """The files of `folder` that this process holds open: not those of threads and pools that other tests
    began, which come and go."""
    descriptors = Path("/proc/self/fd")
    paths = []
    for descriptor in descriptors.iterdir() if descriptors.exists() else ():
        with contextlib.suppress(OSError):  # the listing's own has gone by now
            paths.append(descriptor.readlink())
    return [path for path in paths if path.is_relative_to(folder)]
