"""Which frames of a clip tell most of it, and why.

In: a coefficient table. Out: rows with the reason that each was chosen for: the widest smile, a blink at its
peak, the largest turn, the jaw most open, raised brows, the worst confidence, a face that was lost; further
ones are those whose faces differ most from all before them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.geometry import matrix_from_euler

WORTH_SHOWING = 0.15  # a movement below it is not called one
BLINK_S = 0.4  # seconds; a blink has begun and ended within so long before and after its peak
MIN_TURN = 5.0  # degrees, between the face and the camera


@dataclasses.dataclass(frozen=True)
class TellingFrame:
    """A row, and why it is shown."""

    row: int
    reason: str  # ASCII; empty for frames that were chosen for nothing


def spread_frames(table: CoefficientTable, count: int) -> list[TellingFrame]:
    """At most `count` rows, evenly spread from the first to the last."""
    rows = np.linspace(0, max(len(table) - 1, 0), min(count, len(table)))
    return [TellingFrame(int(row), "") for row in np.unique(rows.round().astype(int))]


def telling_frames(table: CoefficientTable, count: int) -> list[TellingFrame]:
    """At most `count` rows in the order of time; the same ones for the same table.

    A row that is told by two reasons stands once, with both. A clip without a face has its frames spread.
    """
    seen = table.face_found & np.isfinite(table.box).all(axis=1)
    if not seen.any():
        return spread_frames(table, count)
    reasons: dict[int, list[str]] = {}
    for row, reason in _by_movement(table, seen) + _by_doubt(table, seen):
        if row in reasons or len(reasons) < count:
            reasons.setdefault(row, []).append(reason)
    usable = seen & np.isfinite(table.coefficients).any(axis=1)
    faces = np.nan_to_num(table.coefficients)
    for row in most_different(faces, usable, count - len(reasons), tuple(reasons)):
        reasons[row] = ["unlike the others"]
    return [TellingFrame(row, ", ".join(reasons[row])) for row in sorted(reasons)]


def _by_movement(table: CoefficientTable, seen: np.ndarray) -> list[tuple[int, str]]:
    smile = _mean(table, "mouthSmileLeft", "mouthSmileRight")
    brows = _mean(table, "browInnerUp", "browOuterUpLeft", "browOuterUpRight")
    blink = _mean(table, "eyeBlinkLeft", "eyeBlinkRight")
    peaks = _prominence(blink, table.time_s())
    jaw = _mean(table, "jawOpen")
    found = []
    for name, values, score in (
        ("widest smile", smile, smile),
        ("blink", blink, peaks),
        ("jaw most open", jaw, jaw),
        ("brows most raised", brows, brows),
    ):
        row = _highest(score, seen)
        if row is not None and score[row] >= WORTH_SHOWING:
            found.append((row, f"{name} {values[row]:.2f}"))
    turn = _turn(table)
    row = _highest(turn, seen)
    if row is not None and turn[row] >= MIN_TURN:
        found.insert(2, (row, f"largest turn {turn[row]:.0f} deg"))
    return found


def _by_doubt(table: CoefficientTable, seen: np.ndarray) -> list[tuple[int, str]]:
    found = []
    row = _highest(-table.score.astype(np.float64), seen)
    if row is not None:
        found.append((row, f"worst confidence {table.score[row]:.2f}"))
    lost = np.flatnonzero(np.diff(np.concatenate([[False], ~table.face_found, [False]]).astype(int)))
    gaps = lost.reshape(-1, 2)  # first row without a face, first row with one again
    if len(gaps):
        first, end = gaps[int(np.argmax(gaps[:, 1] - gaps[:, 0]))]
        frames = int(end - first)
        found.append((int(first + end - 1) // 2, f"no face seen for {frames} frame{'s' * (frames > 1)}"))
    return found


def _mean(table: CoefficientTable, *names: str) -> np.ndarray:
    """float64 [N]: the mean of channels; NaN where one is not known."""
    columns = [ARKIT_NAMES.index(name) for name in names]
    mean: np.ndarray = table.coefficients[:, columns].astype(np.float64).mean(axis=1)
    return mean


def _highest(values: np.ndarray, usable: np.ndarray) -> int | None:
    """The first row of the highest known value; None where none is known."""
    known = np.where(usable & np.isfinite(values), values, -np.inf)
    row = int(np.argmax(known))
    return row if np.isfinite(known[row]) else None


def _prominence(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """float64 [N]: how far each value stands out from the lowest within BLINK_S before it, and after it; the
    lesser of both. NaN where the value is not known."""
    known = np.where(np.isfinite(values), values, np.inf)
    first = np.searchsorted(seconds, seconds - BLINK_S)
    end = np.searchsorted(seconds, seconds + BLINK_S, side="right")
    lowest = [
        max(known[start : row + 1].min(), known[row:stop].min())
        for row, (start, stop) in enumerate(zip(first, end, strict=True))
    ]
    return np.asarray(values - np.array(lowest), np.float64)


def _turn(table: CoefficientTable) -> np.ndarray:
    """float64 [N], degrees between where the face points and the camera; NaN where that is not known."""
    rotation = matrix_from_euler(table.head[:, :3])
    toward = -table.head[:, 3:6].astype(np.float64)
    cosine = np.einsum("nk,nk->n", rotation[:, :, 2], toward) / np.linalg.norm(toward, axis=1)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.float64)


def most_different(
    coefficients: np.ndarray, usable: np.ndarray, count: int, chosen: Sequence[int] = ()
) -> list[int]:
    """Rows whose faces differ most from each other: the same ones for the same values.

    The first is the face nearest to the clip's median; each further one is the farthest from all before it
    (farthest-point sampling). Faces that are equal are not repeated.

    Args:
        coefficients: float32 [N, S].
        usable: bool [N], rows that may be chosen.
        count: rows wanted.
        chosen: rows that were chosen before, and are not chosen again; the first is then far from these.

    Returns:
        At most `count` rows, ascending.
    """
    rows = np.flatnonzero(usable)
    if not len(rows) or count < 1:
        return []
    faces = coefficients[rows].astype(np.float64)
    distance = np.full(len(rows), np.inf)
    found = []
    if len(chosen):
        for row in chosen:
            distance = np.minimum(distance, np.linalg.norm(faces - coefficients[row], axis=1))
    else:
        found.append(int(np.argmin(np.linalg.norm(faces - np.median(faces, axis=0), axis=1))))
        distance = np.linalg.norm(faces - faces[found[0]], axis=1)
    while len(found) < count:
        farthest = int(np.argmax(distance))
        if distance[farthest] <= 0:
            break
        found.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(faces - faces[farthest], axis=1))
    return sorted(rows[found].tolist())
