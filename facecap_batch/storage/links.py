"""Places that we name and write to are never links: whoever may write to a folder could lead us elsewhere.

In: local paths whose names are ours. Out: a file descriptor of a plain file; or an `OSError` that says what
is in the way. Folders and files that a user names may be links.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path


def open_plain(path: Path, flags: int) -> int:
    """Open a plain file, never through a link, and without waiting for the other end of a pipe.

    Args:
        path: Its parent may be reached through links.
        flags: As for `os.open`.

    Returns:
        A file descriptor.

    Raises:
        OSError: It cannot be opened; ELOOP where it is a link or no plain file.
    """
    try:
        opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _in_the_way(path) from error
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise _in_the_way(path)
    return opened


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Raise OSError (ELOOP) where one of `names` directly below `folder` is a link."""
    for name in names:
        if os.path.islink(f"{folder}/{name}"):  # noqa: PTH114  six of them are looked at for every clip
            raise _in_the_way(folder / name)


def _in_the_way(path: Path) -> OSError:
    return OSError(
        errno.ELOOP, f"{path} is a link, or no plain file or folder, and is not followed; remove it"
    )
