"""What is known of a video once its first frame is decoded.

In: what container and first frame report. Out: `VideoInfo`.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

from facecap_batch.video.container import as_fraction, declared_end, declared_frames, frame_rate
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


def video_info(
    source: str,
    container: Any,
    stream: Any,
    orientation: Orientation,
    size: tuple[int, int],
    pixel_format: str,
) -> VideoInfo:
    """What is known of an open video.

    Args:
        source: Its path or URI.
        container, stream: Open.
        orientation: Of its first frame.
        size: Width and height, pixels, of its first frame, upright and square.
        pixel_format: Of its first frame.
    """
    return VideoInfo(
        source=source,
        width=size[0],
        height=size[1],
        fps=frame_rate(stream),
        time_base=as_fraction(stream.time_base) or Fraction(1, 1000),
        orientation=orientation,
        codec=stream.codec_context.name,
        pixel_format=pixel_format,
        frames_declared=declared_frames(container, stream),
        end_s=declared_end(container, stream),
    )
