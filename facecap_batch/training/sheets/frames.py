"""Which frames of a clip show most of what its face does.

In: a clip's coefficients. Out: rows.
"""

from __future__ import annotations

import numpy as np


def most_different(coefficients: np.ndarray, usable: np.ndarray, count: int) -> list[int]:
    """Rows whose faces differ most from each other: the same ones for the same values.

    The first is the face nearest to the clip's median; each further one is the farthest from all before it
    (farthest-point sampling). Faces that are equal are not repeated.

    Args:
        coefficients: float32 [N, 51].
        usable: bool [N], rows that may be chosen.
        count: rows wanted.

    Returns:
        At most `count` rows, ascending.
    """
    rows = np.flatnonzero(usable)
    if not len(rows) or count < 1:
        return []
    faces = coefficients[rows].astype(np.float64)
    chosen = [int(np.argmin(np.linalg.norm(faces - np.median(faces, axis=0), axis=1)))]
    distance = np.full(len(rows), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(faces - faces[chosen[-1]], axis=1))
        farthest = int(np.argmax(distance))
        if distance[farthest] <= 0:
            break
        chosen.append(farthest)
    return sorted(rows[chosen].tolist())
