"""What the list says of a person in a take: how much of the face was lost, jitter, clipped channels, strips.

In: the final table of a track, its events. Out: `PersonRow`.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.reporting.movements import Event, times_of

STRIP_CELLS = 48  # of a sparkline: one for every two pixels of it
NOTHING = 255  # in a strip: nothing is known there; values are 0..254
# A channel is clipped where it is at its end for more than a blink's share of a take. A full blink ends at 1
# by intention (`solve.eyelids`): 20 of them a minute, half of 0.3 s closed, are 5 %.
CLIPPED_AT, CLIPPED_SHARE = 0.99, 0.05
YAW_RANGE = np.pi / 2  # radians to either side that a strip of the head's turns covers
# Strips in their order: name, channels whose mean is drawn; the head's yaw and the face stand behind them.
_CHANNELS = (
    ("eyes", ("eyeBlinkLeft", "eyeBlinkRight")),
    ("jaw", ("jawOpen",)),
    ("smile", ("mouthSmileLeft", "mouthSmileRight")),
    ("brows", ("browInnerUp",)),
)
STRIPS = (*(name for name, _ in _CHANNELS), "yaw", "face")


@dataclasses.dataclass(frozen=True)
class PersonRow:
    """The figures of one track."""

    track: int
    frames: int
    lost: float  # share of the frames in which the face was not seen, 0..1
    longest_gap_s: float  # seconds, the longest time in which it was not seen
    jitter: float | None  # of the coefficients, as `_tremble`; None: no three frames are known in a row
    head_jitter: float | None  # of the head's angles, degrees
    clipped: tuple[str, ...]  # channels at their end for more than CLIPPED_SHARE of the frames seen
    strips: str  # base64 of uint8 [STRIPS, STRIP_CELLS]
    seen_s: float  # seconds in which the face was seen
    events: dict[str, int] | None  # event -> how many, of those that there are; None: not counted


def person_row(table: CoefficientTable, events: Sequence[Event] | None) -> PersonRow:
    """The figures of a track.

    Args:
        table: Its final table.
        events: Its events; None: they were not looked for.
    """
    frames, seen = len(table), table.face_found
    held = _held(table)
    return PersonRow(
        track=table.track,
        frames=frames,
        lost=1.0 - float(seen.mean()) if frames else 1.0,
        longest_gap_s=_longest_gap(seen, held),
        jitter=_tremble(table.coefficients),
        head_jitter=_tremble(np.degrees(table.head[:, :3])),
        clipped=_clipped(table),
        strips=base64.b64encode(_strips(table).tobytes()).decode(),
        seen_s=float(held[seen].sum()),
        events=None if events is None else dict(collections.Counter(event.name for event in events)),
    )


def _held(table: CoefficientTable) -> np.ndarray:
    """float64 [N], seconds that each frame stands for: up to the next; the last as long as the one before."""
    times = times_of(table)
    if len(times) < 2:
        return np.zeros(len(times))
    steps = np.diff(times)
    return np.append(steps, steps[-1])


def _longest_gap(seen: np.ndarray, held: np.ndarray) -> float:
    longest = gap = 0.0
    for is_seen, seconds in zip(seen.tolist(), held.tolist(), strict=True):
        gap = 0.0 if is_seen else gap + seconds
        longest = max(longest, gap)
    return longest


def _tremble(values: np.ndarray) -> float | None:
    """How much columns of `values`, float [N, C], tremble: the mean of their medians of |second difference|.

    Medians, because blinks and quick movements are none of it. Noise of a deviation d from frame to frame
    gives 1.65 d: second differences have sqrt(6) d, of which half lie within 0.674 deviations of zero.
    """
    if len(values) < 3:
        return None
    differences = np.abs(np.diff(np.asarray(values, np.float64), 2, axis=0))
    differences = differences[:, np.isfinite(differences).any(axis=0)]
    return float(np.nanmedian(differences, axis=0).mean()) if differences.size else None


def _clipped(table: CoefficientTable) -> tuple[str, ...]:
    seen = table.coefficients[table.face_found]
    if not len(seen):
        return ()
    share = (seen >= CLIPPED_AT).mean(axis=0)
    return tuple(name for name, part in zip(table.shape_names, share, strict=True) if part > CLIPPED_SHARE)


def _strips(table: CoefficientTable) -> np.ndarray:
    """uint8 [STRIPS, STRIP_CELLS]: of channels the highest in each cell, of the yaw and the face the mean."""
    made = np.full((len(STRIPS), STRIP_CELLS), NOTHING, np.uint8)
    if not len(table):
        return made
    cell = np.arange(len(table)) * STRIP_CELLS // len(table)
    starts = np.searchsorted(cell, np.arange(STRIP_CELLS))  # an empty cell is that of the row that follows
    starts = np.minimum(starts, len(table) - 1)
    for number, (_, names) in enumerate(_CHANNELS):
        value = table.coefficients[:, [ARKIT_NAMES.index(name) for name in names]].mean(axis=1)
        made[number] = _bytes(np.fmax.reduceat(value, starts))
    yaw = table.head[:, 0].astype(np.float64)
    count = np.add.reduceat(np.isfinite(yaw).astype(np.float64), starts)
    total = np.add.reduceat(np.nan_to_num(yaw), starts)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    made[-2] = _bytes((mean / YAW_RANGE + 1) / 2)
    rows = np.add.reduceat(np.ones(len(table)), starts)
    made[-1] = _bytes(np.add.reduceat(table.face_found.astype(np.float64), starts) / rows)
    return made


def _bytes(values: np.ndarray) -> np.ndarray:
    """Values 0..1 as uint8, NOTHING where they are NaN."""
    scaled = np.round(np.clip(values, 0.0, 1.0) * (NOTHING - 1))
    result: np.ndarray = np.where(np.isfinite(scaled), scaled, NOTHING).astype(np.uint8)
    return result
