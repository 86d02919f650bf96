"""What the page is told in JSON: the run, the takes, the words that they use.

In: `Overview`, `TakeRow`. Out: plain values, which ``page/main.js`` and ``page/table.js`` read.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.reporting.figures import CLIPPED_AT, CLIPPED_SHARE, NOTHING, STRIP_CELLS, STRIPS
from facecap_batch.reporting.movements import EVENT_NAMES
from facecap_batch.reporting.overview import LITTLE_SEEN, Overview
from facecap_batch.reporting.takes import TakeRow

DIGITS = 6  # after the point: figures are shown with fewer


def words() -> dict[str, Any]:
    """What is the same in every report."""
    return {
        "channels": ARKIT_NAMES,
        "events": EVENT_NAMES,
        "strips": STRIPS,
        "strip_cells": STRIP_CELLS,
        "strip_nothing": NOTHING,
        "clipped_at": CLIPPED_AT,
        "clipped_share": CLIPPED_SHARE,
        "little_seen": LITTLE_SEEN,
    }


def run_values(run: Overview, curves: dict[str, int]) -> dict[str, Any]:
    """The run, and of how many takes the page holds the curves (``held`` of ``of``)."""
    return {**dataclasses.asdict(run), "curves": curves, "words": words()}


def take_values(row: TakeRow, video: str | None, has_curves: bool) -> dict[str, Any]:
    """A take.

    Args:
        row: Its figures.
        video: Address of the video, as the page can show it; None: it cannot.
        has_curves: Whether the page can have its curves.
    """
    values = dataclasses.asdict(row)
    values["video"], values["has_curves"] = video, has_curves
    for person in values["persons"]:
        for name, value in person.items():
            person[name] = round(value, DIGITS) if isinstance(value, float) else value
    return {name: value for name, value in values.items() if value not in (None, "", (), {})}
