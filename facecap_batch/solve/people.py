"""The solve of a whole clip: every track, shot by shot.

In: the raw tables of a clip's tracks. Out: their final tables. What a cut parts belongs to two cameras or two
moments: it is neither smoothed together nor bridged. A clip in which no shots were looked for is one piece.
"""

from __future__ import annotations

import collections
import itertools
import json
from collections.abc import Iterator, Sequence

import numpy as np

from facecap_batch.coefficients import ROW_FIELDS, CoefficientTable
from facecap_batch.solve.actors import ActorCalibration
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.solve.solver import solve_table


def solve_tracks(
    raw: Sequence[CoefficientTable],
    settings: SolveSettings | None = None,
    actor: ActorCalibration | None = None,
) -> tuple[CoefficientTable, ...]:
    """Make the final tables of a clip from its raw ones.

    Args:
        raw: All tracks, the main subject's first.
        settings: What the solve may do; None: the defaults.
        actor: Calibration of the actor in the clip, who is the main subject; None: the card's.

    Returns:
        A table for each of `raw`, with its rows. Their metadata are the same: `solve` counts the rows that
        were rejected and filled in all of them.
    """
    solved = [
        [solve_table(piece, settings, actor if table.track == 0 else None) for piece in _shots(table)]
        for table in raw
    ]
    reports = [json.loads(piece.metadata["solve"]) for pieces in solved for piece in pieces]
    counts = collections.Counter[str]()
    for report in reports:
        counts.update({name: report[name] for name in ("rejected", "filled")})
    metadata = {
        **solved[0][0].metadata,
        "solve": json.dumps({**reports[0], **counts}, sort_keys=True),
    }
    return tuple(_joined(pieces).replace(metadata=metadata) for pieces in solved)


def _shots(table: CoefficientTable) -> Iterator[CoefficientTable]:
    """`table` cut where its shots meet."""
    shot = np.zeros(len(table), np.int16) if table.shot is None else table.shot
    edges = [0, *(np.flatnonzero(np.diff(shot)) + 1).tolist(), len(table)]
    return (table.rows(start, stop) for start, stop in itertools.pairwise(edges))


def _joined(parts: Sequence[CoefficientTable]) -> CoefficientTable:
    """The rows of `parts`, of one track, one after the other; everything else is that of the first."""
    if len(parts) == 1:
        return parts[0]
    shots = [part.shot for part in parts if part.shot is not None]
    return parts[0].replace(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in ROW_FIELDS},
        shot=np.concatenate(shots) if shots else None,
    )
