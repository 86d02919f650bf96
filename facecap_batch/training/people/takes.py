"""Real performances: Live Link Face CSV files as rows of coefficients.

In: a file. Out: its 51 ARKit columns.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES


def read_take(path: Path) -> np.ndarray:
    """The rows of a Live Link Face CSV file: float32 [N, 51], ARKit order, clipped to 0..1.

    Raises:
        ValueError: the file has no row or lacks columns, or a value is no number; the message names the file
            and what is wrong.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    if not rows:
        raise ValueError(f"{path} is no Live Link Face take: it has no rows")
    missing = [column for column in columns if column not in rows[0]]
    if missing:
        raise ValueError(f"{path} is no Live Link Face take: it lacks the columns {', '.join(missing[:5])}")
    values = np.empty((len(rows), len(columns)), np.float32)
    for number, row in enumerate(rows):
        for position, column in enumerate(columns):
            try:
                values[number, position] = row[column]
            except (TypeError, ValueError):
                raise ValueError(f"{path}, row {number + 1}: {column} is no number: {row[column]}") from None
    return values.clip(0, 1)
