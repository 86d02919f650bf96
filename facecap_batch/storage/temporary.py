"""Names of files that are not complete yet.

In: the final name of a file. Out: a name beside it that nobody else chooses; and whether a name is such a
one.
"""

from __future__ import annotations

import re
import uuid

PREFIX = ".tmp-"
# With a random part: what only begins alike is somebody else's.
_NAME = re.compile(r"\.tmp-[0-9a-f]{32}-.+", re.DOTALL)
MAX_KEPT = 40  # characters of the final name: all of them might exceed what a file system takes


def temporary_name(name: str) -> str:
    """A new name for the file that will be `name`; its suffix is that of `name`."""
    return f"{PREFIX}{uuid.uuid4().hex}-{name[-MAX_KEPT:]}"


def is_temporary(name: str) -> bool:
    """True where `temporary_name` made `name`."""
    return _NAME.fullmatch(name) is not None
