"""Folders in the machine's temporary folder, and those that killed processes left there.

In: nothing, or a parent. Out: a folder that is removed when its context ends; where its process was killed,
another of the same user removes it (`remove_abandoned`). A folder is in use while its process holds a lock on
it, which the operating system releases whenever the process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "facecap-"
_NAME = re.compile(r"facecap-[a-z0-9_]{8}")  # as tempfile.mkdtemp names them
MARK = ".facecap-scratch"  # in each of ours: a folder of somebody else may be named alike


@contextlib.contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder, for this user only, within this context.

    Args:
        parent: Where; None: in the machine's temporary folder.

    Raises:
        OSError: It cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle)
        # After the lock: without the mark nobody takes the folder for an abandoned one.
        (folder / MARK).touch()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def remove_abandoned(parent: Path | None = None) -> int:
    """Remove the folders of this user's processes that were killed.

    Args:
        parent: As for `scratch_folder`.

    Returns:
        How many there were.
    """
    removed = 0
    with contextlib.suppress(OSError), os.scandir(parent or tempfile.gettempdir()) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                removed += _remove_abandoned(Path(entry.path))
    return removed


def _remove_abandoned(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        ours = os.fstat(handle).st_uid == os.geteuid() and (folder / MARK).is_file()
        if not ours or not _lock(handle):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open folder for this process; False where another holds it, or there are no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
