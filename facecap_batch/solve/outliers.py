"""Outliers: frames whose head pose jumps away and back, which no head does.

In: times, rotations and positions of the measured frames of a clip. Out: which of them stand alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facecap_batch.solve import quaternions

# A frame is an outlier when its head stands this far from the median of the five frames around it. Real
# heads turn fast but evenly over five frames; a detector that jumps to a hand does not.
OUTLIER_RADIANS = float(np.radians(15.0))
OUTLIER_DEPTHS = 0.25  # of the distance to the camera
# ... and this many times further than is usual in the clip, so that a noisy clip is not emptied.
OUTLIER_TIMES_USUAL = 6.0
# Five frames that span more than this prove nothing about the one in their middle.
OUTLIER_SPAN_S = 0.3
# The median distance of normally distributed values, times this, is their standard deviation.
_DEVIATION_PER_MEDIAN = 1.4826


def outliers(
    time_s: NDArray[np.float64], quaternion: NDArray[np.float64], position: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Frames whose head stands apart from the frames around it.

    Up to two bad frames in a row are found; the first and the last two frames are never outliers.

    Args:
        time_s: float64 [N], seconds, rising.
        quaternion: float64 [N, 4], w x y z, continuous.
        position: float64 [N, 3], centimetres, camera frame.

    Returns:
        bool [N].
    """
    result = np.zeros(len(time_s), bool)
    if len(time_s) < 5:
        return result
    around = np.arange(len(time_s) - 4)[:, None] + np.arange(5)
    middle = slice(2, -2)
    usual_rotation = quaternions.normalised(np.median(quaternion[around], axis=1))
    angle = quaternions.angle_between(quaternion[middle], usual_rotation)
    usual_position = np.median(position[around], axis=1)
    depth = np.maximum(np.abs(usual_position[:, 2]), 1.0)
    distance = np.linalg.norm(position[middle] - usual_position, axis=1) / depth
    close = time_s[4:] - time_s[:-4] <= OUTLIER_SPAN_S
    result[middle] = close & (_far(angle, OUTLIER_RADIANS) | _far(distance, OUTLIER_DEPTHS))
    return result


def _far(distance: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Distances beyond `limit`, and beyond what is usual among them: bool [N]."""
    usual = OUTLIER_TIMES_USUAL * _DEVIATION_PER_MEDIAN * float(np.median(distance))
    return distance > max(limit, usual)
