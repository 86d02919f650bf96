"""The main subject: which of the faces that were read is the clip's track 0, and the clip's table of it.

In: the readings of every track, frame by frame. Out: one `CoefficientTable`. A track that is never sure is no
face. The heaviest of the others (face area times squared score, summed over the frames in which the
regressor saw it) is the subject; lighter tracks join it where it is not there, heaviest first, if they are
not seen beside it for long: a face that was lost and found, or a cut to another shot. The other people of a
shot are left out. Where several people are wanted, `people` tells them apart instead.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.capturing.regressor import Regressor
from facecap_batch.capturing.tracker import importance
from facecap_batch.coefficients import REGION_CHANNELS, ClipInfo, CoefficientTable
from facecap_batch.engines.output_limits import MAX_POSITION, require_within
from facecap_batch.geometry import head_columns, points_in_frame, unwrap

# A track that is seen together with the subject for more than this share of its frames is somebody else.
MAX_SHARED = 0.2
# A face much smaller than the subject (area) is somebody in the background, or no face.
MIN_AREA_SHARE = 0.1

# A face that is never surer than this, score times presence, in any frame of its track is no face: what
# briefly looks like one reaches it at most, the faintest real ones of small soft clips 0.65.
SURE_ONCE = 0.5


def main_subject(readings: np.ndarray, present: np.ndarray, count: int) -> np.ndarray:
    """Which reading shows the subject in each frame.

    Args:
        readings: `readings.row_type` [R].
        present: bool [R], readings in which the regressor saw a face.
        count: Number of frames.

    Returns:
        int64 [count]: row of `readings`, -1 where none shows the subject.
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
    info: ClipInfo, pts: np.ndarray, readings: np.ndarray, regressor: Regressor
) -> CoefficientTable:
    """The table of the main subject: one row per frame, NaN where it was not seen.

    Args:
        info: Of the clip.
        pts: int64 [N], of every frame.
        readings: `readings.row_type` [R].
        regressor: That read them.
    """
    present = readings["presence"] >= regressor.presence_threshold
    rows = main_subject(readings, present, len(pts))
    return track_table(info, pts, readings, rows[rows >= 0], regressor)


def track_table(
    info: ClipInfo, pts: np.ndarray, readings: np.ndarray, rows: np.ndarray, regressor: Regressor
) -> CoefficientTable:
    """The table of one face: one row per frame, NaN where it was not seen.

    Args:
        info: Of the clip.
        pts: int64 [N], of every frame.
        readings: `readings.row_type` [R].
        rows: int64 [S], the readings that show the face, by rising frames, one a frame.
        regressor: That read them.

    Raises:
        ImpossibleOutput: A head is where none can be.
    """
    count = len(pts)
    found = np.zeros(count, bool)
    found[readings["frame"][rows]] = True
    coefficients, spread = readings["coefficients"][rows], readings["spread"][rows]
    for region, channels in enumerate(REGION_CHANNELS):
        hidden = np.ix_(readings["hidden"][rows, region], channels[: coefficients.shape[1]])
        coefficients[hidden] = np.nan
        if spread.shape[1]:
            spread[hidden] = np.nan

    def in_all_frames(values: np.ndarray) -> np.ndarray:
        whole = np.full((count, *values.shape[1:]), np.nan, np.float32)
        whole[found] = values
        return whole

    head = readings["pose"][rows]
    if regressor.head_frame == "crop":
        sizes = readings["image_size"][rows]
        width, height = np.where(sizes > 0, sizes, (info.width, info.height)).T
        head = head_columns(readings["crop_rect"][rows], head[:, :3], head[:, 3:], width, height)
    require_within(regressor.engine.card.name, "position", head[:, 3:], MAX_POSITION, "centimetres")
    head[:, :3] = unwrap(head[:, :3])
    return CoefficientTable(
        info=info,
        frame_index=np.arange(count, dtype=np.int32),
        pts=pts,
        face_found=found,
        score=in_all_frames(readings["detector_score"][rows] * readings["presence"][rows]),
        box=in_all_frames(readings["box"][rows]),
        coefficients=in_all_frames(coefficients),
        head=in_all_frames(head),
        extra_names=regressor.extra_names,
        extra=in_all_frames(readings["extra"][rows]),
        spread=in_all_frames(spread),
        landmarks=in_all_frames(points_in_frame(readings["crop_rect"][rows], readings["landmarks"][rows])),
    )
