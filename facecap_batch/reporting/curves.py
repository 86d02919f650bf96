"""The curves of a take, packed for a browser.

In: the tables of a take's people and their events. Out: bytes, zlib of a header in JSON and planes of
numbers, little-endian, which ``page/curves.js`` reads:

    uint32  length of the header
    JSON    `_header`
    then for each track, one after the other
      int32  [N]     steps of time, units of `time_unit` seconds, since the take's first frame
      uint8  [N]     0: nothing is known; 1: bridged; 2: the face was seen
      uint8 or uint16 [N] for each moving channel, 0..levels; levels + 1: nothing is known
      int32  [6, N]  the head's angles and position, units of ANGLE_UNIT and POSITION_UNIT; UNKNOWN: nothing

Every plane but the states holds differences from the value before, modulo its type: what moves little then
compresses well. A channel that does not move by a level is one number in the header.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.reporting.movements import times_of
from facecap_batch.reporting.takes import TakeData, first_time

# Levels of a coefficient from 0 to 1: in a page that holds every take, and for one take at a time.
Levels = Literal[254, 65534]
COARSE: Levels = 254
FINE: Levels = 65534
ANGLE_UNIT = 1 / 8192  # radians, 0.007 degrees
POSITION_UNIT = 1 / 64  # centimetres
UNKNOWN = -(2**31)
_TIME_UNIT = 1e-6  # seconds
_MAX_STEP = 2**30  # units of time that a step may have: longer pauses are counted in larger units


def pack_curves(take: TakeData, levels: Levels) -> bytes:
    """The curves of every track of `take`.

    Args:
        take: Its tables; none give a block without tracks.
        levels: COARSE or FINE.
    """
    first = first_time(take.tracks[0]) if take.tracks else 0.0
    tracks, planes = [], []
    for table in take.tracks:
        track, packed = _track(table, first, levels)
        tracks.append(track)
        planes += packed
    header = json.dumps(_header(take, first, levels, tracks)).encode()
    content = [np.uint32(len(header)).tobytes(), header, *planes]
    return zlib.compress(b"".join(content), level=6)


def _header(take: TakeData, first: float, levels: int, tracks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "levels": levels,
        "angle_unit": ANGLE_UNIT,
        "position_unit": POSITION_UNIT,
        "first_s": first,  # `time_s` of the take's first frame
        "video_offset_s": first - take.video_start_s,  # of the same frame in the video, as browsers count
        "tracks": tracks,
        "events": [
            [
                *(event.track, event.name, event.side),
                *(round(at - first, 6) for at in (event.start_s, event.peak_s, event.end_s)),
                round(event.peak, 3),
            ]
            for event in take.events
        ],
    }


def _track(table: CoefficientTable, first: float, levels: int) -> tuple[dict[str, Any], list[bytes]]:
    """A track's part of the header, and its planes."""
    times = times_of(table) - first
    longest = float(np.abs(np.diff(times, prepend=0.0)).max(initial=0.0))
    unit = max(_TIME_UNIT, longest / _MAX_STEP)
    known = np.isfinite(table.head).any(axis=1) | np.isfinite(table.coefficients).any(axis=1)
    state = np.where(table.face_found, 2, np.where(known, 1, 0)).astype(np.uint8)
    planes = _levels(table.coefficients.T, levels).astype("<u1" if levels == COARSE else "<u2")
    moves = (planes != planes[:, :1]).any(axis=1)
    rests = ~moves & (planes[:, :1] <= levels).all(axis=1) & (len(table) > 0)
    units = np.array([ANGLE_UNIT] * 3 + [POSITION_UNIT] * 3)[:, None]
    header = {
        "track": table.track,
        "rows": len(table),
        "time_unit": unit,
        "moving": [table.shape_names[k] for k in np.flatnonzero(moves)],
        "resting": {table.shape_names[k]: float(planes[k, 0]) / levels for k in np.flatnonzero(rests)},
        "shots": _shot_starts(table),
    }
    curves = [_differences(planes[moves]), _differences(_counts(table.head.T, units))]
    return header, [_differences(_counts(times[None], unit)), state.tobytes(), *curves]


def _levels(values: np.ndarray, levels: int) -> np.ndarray:
    scaled = np.round(np.clip(values.astype(np.float64), 0.0, 1.0) * levels)
    return np.where(np.isfinite(scaled), scaled, levels + 1)


def _counts(values: np.ndarray, unit: float | np.ndarray) -> np.ndarray:
    """int32: `values` in units, UNKNOWN where they are NaN."""
    counted = np.round(np.asarray(values, np.float64) / unit)
    within = np.clip(np.nan_to_num(counted), UNKNOWN + 1, -UNKNOWN - 1)
    result: np.ndarray = np.where(np.isfinite(counted), within, UNKNOWN).astype("<i4")
    return result


def _differences(planes: np.ndarray) -> bytes:
    """Of each plane, [P, N], the first value and the steps from one to the next, modulo the type."""
    unsigned = planes.view(f"<u{planes.dtype.itemsize}")
    return np.diff(unsigned, axis=1, prepend=unsigned.dtype.type(0)).tobytes()


def _shot_starts(table: CoefficientTable) -> Sequence[int]:
    """Rows at which a shot after the first begins."""
    if table.shot is None:
        return []
    starts: list[int] = (np.flatnonzero(np.diff(table.shot)) + 1).tolist()
    return starts
