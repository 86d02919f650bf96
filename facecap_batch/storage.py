"""The one writer of files: what has a final name is complete.

In: bytes, or a callback that writes to a path. Out: a file published by rename after fsync. A crash, a full
disk or an exception leaves nothing under the final name; temporary files begin with ``.tmp-`` and are
removed on failure.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"


@contextlib.contextmanager
def published(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`.

    The parent folder is created. On any exception the temporary file is removed and `path` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{path.name[-40:]}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def publish_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with published(path) as temporary:
        temporary.write_bytes(data)


def remove_leftovers(folder: Path) -> int:
    """Remove temporary files of earlier, interrupted runs below `folder`; return how many."""
    leftovers = list(folder.rglob(f"{TEMPORARY_PREFIX}*"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return len(leftovers)
