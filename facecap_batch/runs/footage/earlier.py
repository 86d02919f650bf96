"""Footage of an output folder that was named by earlier commands, without a manifest.

In: the clips that are named now, the rows of the folder. Out: the same clips under the ids that the folder
knows them by, and the finished ones that are not named now, which stay as they are. So one folder takes one
command after the other, and what was done is found again however it is named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from facecap_batch.clip import Clip
from facecap_batch.output.ledger import DONE, Ledger, Record
from facecap_batch.output.reports import clips_of
from facecap_batch.runs.footage.naming import UsedIds

Rows = Sequence[Mapping[str, Any]]  # of ``clips.parquet``


def with_known_ids(clips: Sequence[Clip], rows: Rows) -> tuple[Clip, ...]:
    """`clips`, those that `rows` hold under the ids there; the others under ids that are free.

    Args:
        clips: Of footage that was named; each is a whole file.
        rows: Of the folder.
    """
    known = {row["path"]: row["clip_id"] for row in rows}
    used = UsedIds(known.values())
    return tuple(
        dataclasses.replace(clip, clip_id=known.get(clip.path) or used.claim(clip.clip_id)) for clip in clips
    )


def finished_earlier(clips: Sequence[Clip], ledger: Ledger, rows: Rows) -> list[tuple[Clip, Record]]:
    """The finished clips of `rows` that are not among `clips`, and their records."""
    ids = {clip.clip_id for clip in clips}
    found = []
    for clip in clips_of(rows):
        record = ledger.get(clip.clip_id)
        if clip.clip_id not in ids and record is not None and record.status == DONE:
            found.append((clip, record))
    return found
