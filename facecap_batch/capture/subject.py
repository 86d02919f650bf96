"""The main subject: which of the faces that were read is the clip's track 0, and the clip's table of it.

In: the readings of every track, frame by frame. Out: one `CoefficientTable`. A track that is never sure is
nobody. The heaviest of the others (face area times squared score, summed over the frames in which the
regressor saw it) is the subject; lighter tracks join it where it is not there, heaviest first, if they are
not seen beside it for long: a face that was lost and found, or a cut to another shot. The other people of a
shot are left out.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.capture.regressor import Reading, head_columns
from facecap_batch.capture.tracker import TrackedBox, importance
from facecap_batch.coefficients import ARKIT_NAMES, REGION_CHANNELS, ClipInfo, CoefficientTable
from facecap_batch.geometry import unwrap

# A track that is seen together with the subject for more than this share of its frames is somebody else.
MAX_SHARED = 0.2
# A face much smaller than the subject (area) is somebody in the background, or no face.
MIN_AREA_SHARE = 0.1

# A face that is never surer than this, score times presence, in any frame of its track is no face: what
# briefly looks like one reaches it at most, the faintest real ones of small soft clips 0.65.
SURE_ONCE = 0.5


# One crop that was read; outputs of the regressor's own follow as `extra` (see `row_type`).
ROW = np.dtype(
    [
        ("frame", np.int32),  # index of the frame
        ("track", np.int32),
        ("box", np.float32, 4),  # pixels of the upright frame
        ("square", np.float64, 3),  # x0 y0 side of the crop, pixels of the upright frame
        ("detector_score", np.float32),
        ("presence", np.float32),
        ("hidden", np.bool_, len(REGION_CHANNELS)),
        ("coefficients", np.float32, len(ARKIT_NAMES)),
        ("pose", np.float32, 6),  # yaw pitch roll u v s inside the crop, or as head_frame says
    ]
)
# Rows are collected in blocks: thousands of small arrays kept between the short-lived ones of decoding and
# inference would tear holes into the heap that cost several times their own size.
_BLOCK_ROWS = 2048
# What a crop's pixels say, and nothing else does.
READ = ("square", "presence", "hidden", "coefficients", "pose", "extra")


def fill(row: np.void, square: tuple[float, float, float], said: Reading, number: int) -> None:
    """Write into a row of `Readings` which square was cut and what was said of it, at `number` in `said`."""
    row["square"], row["presence"] = square, said.presence[number]
    row["coefficients"], row["hidden"] = said.coefficients[number], said.hidden[number]
    row["pose"][:3], row["pose"][3:] = said.angles[number], said.place[number]
    row["extra"] = said.extra[number]


def row_type(extra: int) -> np.dtype:
    """ROW with room for `extra` outputs of the regressor's own."""
    return np.dtype([*((name, ROW[name]) for name in ROW.names or ()), ("extra", np.float32, (extra,))])


class Readings:
    """Every crop that was read: tracks mixed, frames rising within a track; about 300 bytes a row."""

    def __init__(self, extra: int = 0) -> None:
        """`extra` is how many outputs of its own the regressor has."""
        self._row = row_type(extra)
        self._blocks: list[np.ndarray] = []
        self._used = _BLOCK_ROWS  # rows of the last block

    def expect(self, frame: int, box: TrackedBox) -> np.void:
        """A new row for the face expected at `box` in frame number `frame`; `fill` says the rest of it."""
        if self._used == _BLOCK_ROWS:
            self._blocks.append(np.zeros(_BLOCK_ROWS, self._row))
            self._used = 0
        row: np.void = self._blocks[-1][self._used]
        self._used += 1
        row["frame"], row["track"], row["box"], row["detector_score"] = frame, box.track, box.box, box.score
        return row

    def take(self) -> np.ndarray:
        """All rows so far, `row_type` [R]; they are given away, not copied twice."""
        blocks, self._blocks = self._blocks, []
        if not blocks:
            return np.zeros(0, self._row)
        rows = np.empty((len(blocks) - 1) * _BLOCK_ROWS + self._used, self._row)
        self._used = _BLOCK_ROWS
        for number in range(len(blocks)):
            begin = number * _BLOCK_ROWS
            part = rows[begin : begin + _BLOCK_ROWS]
            part[:] = blocks[number][: len(part)]
            blocks[number] = part  # lets the block go
        return rows


def main_subject(readings: np.ndarray, present: np.ndarray, count: int) -> np.ndarray:
    """int64 [count]: for every frame the row of `readings` that shows the subject, -1 where none does.

    present: bool [R], rows in which the regressor saw a face.
    """
    chosen = np.full(count, -1, np.int64)
    area = np.prod(readings["box"][:, 2:] - readings["box"][:, :2], axis=1).astype(np.float64)
    sure = readings["detector_score"].astype(np.float64) * readings["presence"]
    weight = importance(readings["box"].astype(np.float64), sure)
    rows_of = {
        int(t): np.flatnonzero(present & (readings["track"] == t)) for t in np.unique(readings["track"])
    }
    tracks = sorted(
        (track for track, rows in rows_of.items() if len(rows)),
        key=lambda track: (-weight[rows_of[track]].sum(), track),
    )
    typical = 0.0
    for track in tracks:
        rows = rows_of[track]
        if sure[rows].max() < SURE_ONCE:
            continue
        frames = readings["frame"][rows]
        free = chosen[frames] < 0
        if typical and (np.mean(~free) > MAX_SHARED or np.median(area[rows]) < MIN_AREA_SHARE * typical):
            continue
        typical = typical or float(np.median(area[rows]))
        chosen[frames[free]] = rows[free]
    return chosen


def subject_table(
    info: ClipInfo,
    pts: np.ndarray,
    readings: np.ndarray,
    presence_threshold: float,
    head_frame: str = "crop",
    extra_names: tuple[str, ...] = (),
) -> CoefficientTable:
    """The table of the main subject: one row per frame of `pts` (int64 [N]), NaN where it was not seen.

    `head_frame` is the regressor card's; `extra_names` are the names of the readings' `extra`.
    """
    count = len(pts)
    present = readings["presence"] >= presence_threshold
    rows = main_subject(readings, present, count)
    found = rows >= 0
    rows = rows[found]
    coefficients = readings["coefficients"][rows]
    for region, channels in enumerate(REGION_CHANNELS):
        coefficients[np.ix_(readings["hidden"][rows, region], channels)] = np.nan

    def spread(values: np.ndarray) -> np.ndarray:
        whole = np.full((count, *values.shape[1:]), np.nan, np.float32)
        whole[found] = values
        return whole

    head = readings["pose"][rows]
    if head_frame == "crop":
        head = head_columns(readings["square"][rows], head[:, :3], head[:, 3:], info.width, info.height)
    head[:, :3] = unwrap(head[:, :3])
    return CoefficientTable(
        info=info,
        frame_index=np.arange(count, dtype=np.int32),
        pts=pts,
        face_found=found,
        score=spread(readings["detector_score"][rows] * readings["presence"][rows]),
        box=spread(readings["box"][rows]),
        coefficients=spread(coefficients),
        head=spread(head),
        extra_names=extra_names,
        extra=spread(readings["extra"][rows]),
    )
