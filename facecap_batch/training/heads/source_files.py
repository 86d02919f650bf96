"""Files of others that people are made from: what must be there, and where it is from.

In: a folder and a list of `SourceFile`. Out: `MissingSource`, raised before minutes of reading are spent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from facecap_batch.errors import FacecapError


class MissingSource(FacecapError):
    """A file that people are made from is missing. The message names it and where it is from."""


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One file of a folder."""

    paths: tuple[str, ...]  # relative to the folder; any of these will do
    origin: str  # path and repository, as in "get it from ..."


def require(folder: Path, files: Iterable[SourceFile], advice: str) -> None:
    """Check that `folder` holds all of `files`.

    Args:
        folder: where the files are.
        files: what is needed.
        advice: the end of the message, where to read on.

    Raises:
        MissingSource: some file is missing.
    """
    for file in files:
        if not any((folder / path).is_file() for path in file.paths):
            raise MissingSource(f"{folder / file.paths[0]} is missing; get it from {file.origin}. {advice}")
