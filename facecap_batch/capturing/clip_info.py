"""What is recorded of a whole clip: its size, rate, rotation.

In: what the container reports and the times of the frames that were decoded. Out: `ClipInfo`.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from facecap_batch.clip import Clip
from facecap_batch.coefficients import ClipInfo
from facecap_batch.video.decoder import VideoInfo


def clip_info(clip: Clip, video: VideoInfo, pts: np.ndarray, rotation_degrees: int = 0) -> ClipInfo:
    """What is recorded of a clip.

    Args:
        clip: The clip; of its path only the file's name is recorded, so that the same video gives the same
            table wherever it lies.
        video: What the container reports.
        pts: int64 [N], of every decoded frame, units of `video.time_base`.
        rotation_degrees: 0, 90, 180 or 270 counterclockwise, beyond what the file asks for.
    """
    sideways = rotation_degrees in (90, 270)
    steps = np.diff(pts)
    # Steps of a constant rate differ by at most one unit, the rounding to the time base.
    variable = bool(len(steps) and steps.max() - steps.min() > 1)
    return ClipInfo(
        clip_id=clip.clip_id,
        source=clip.file_name,
        width=video.height if sideways else video.width,
        height=video.width if sideways else video.height,
        fps=video.fps if variable else _constant_rate(video, pts),
        time_base=video.time_base,
        rotation=video.orientation.rotated(rotation_degrees).rotation,
        variable_rate=variable,
    )


def _constant_rate(video: VideoInfo, pts: np.ndarray) -> Fraction:
    """Frames per second of evenly spaced frames: the container's rate where the frames agree with it.

    A container's average also counts how long its last frame is held, and frames that an edit list hides.
    """
    span = int(pts[-1] - pts[0]) if len(pts) > 1 else 0
    if span <= 0:
        return video.fps
    declared = (len(pts) - 1) / (video.fps * video.time_base)
    return video.fps if abs(declared - span) <= 1 else (len(pts) - 1) / (span * video.time_base)
