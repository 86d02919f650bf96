"""Frames whose head pose cannot be true: one that jumps away and back within five frames.

In: times, rotations and positions of the measured frames of a clip. Out: which of them stand alone.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.solve import quaternions

# A frame is an outlier when its head stands this far from the median of the five frames around it. Real
# heads turn fast but evenly over five frames; a detector that jumps to a hand does not.
OUTLIER_RADIANS = np.radians(15.0)
OUTLIER_DEPTHS = 0.25  # of the distance to the camera
# ... and this many times further than is usual in the clip, so that a noisy clip is not emptied.
OUTLIER_TIMES_USUAL = 6.0
# Five frames that span more than this say nothing about one frame's truth.
OUTLIER_SPAN_S = 0.3


def outliers(time_s: np.ndarray, quaternion: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Frames whose head stands alone: bool [N].

    time_s: float64 [N], rising. quaternion: float64 [N, 4], continuous. position: float64 [N, 3],
    centimetres. Up to two bad frames in a row are seen; the first and last two frames are not judged.
    """
    result = np.zeros(len(time_s), bool)
    if len(time_s) < 5:
        return result
    around = np.arange(len(time_s) - 4)[:, None] + np.arange(5)
    middle = slice(2, -2)
    usual_turn = quaternions.normalised(np.median(quaternion[around], axis=1))
    turn = quaternions.angle_between(quaternion[middle], usual_turn)
    usual_place = np.median(position[around], axis=1)
    away = np.linalg.norm(position[middle] - usual_place, axis=1) / np.maximum(np.abs(usual_place[:, 2]), 1.0)
    close = time_s[4:] - time_s[:-4] <= OUTLIER_SPAN_S
    result[middle] = close & (_far(turn, OUTLIER_RADIANS) | _far(away, OUTLIER_DEPTHS))
    return result


def _far(distance: np.ndarray, limit: float) -> np.ndarray:
    return distance > max(limit, OUTLIER_TIMES_USUAL * 1.4826 * float(np.median(distance)))
