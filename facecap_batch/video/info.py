"""What is known of a video once its first frame is decoded.

In: what container and first frame report. Out: `VideoInfo`.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from facecap_batch.video.orientation import Orientation


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video's container declares, and what its first frame shows."""

    source: str
    width: int  # pixels, upright and square
    height: int  # pixels, upright and square
    fps: Fraction  # frames per second, the container's average rate
    time_base: Fraction  # seconds per pts unit
    orientation: Orientation  # as the file's display matrix wants it
    codec: str
    pixel_format: str
    frames_declared: int | None  # None where the container declares none
    end_s: Fraction | None  # seconds, container time, where the container declares that its video ends
