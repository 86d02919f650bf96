"""What a video codec leaves of an image.

In: one RGB image. Out: the same after H.264, coded as a frame of its own.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np


def coded(image: np.ndarray, crf: int) -> np.ndarray:
    """`image` through the encoder and back.

    Args:
        image: uint8 [height, width, 3] RGB, both even: chroma has half the resolution.
        crf: x264's rate factor, 0 (lossless) to 51; 23 is its default, 40 smears a face.

    Returns:
        uint8 [height, width, 3] RGB.
    """
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    encoder.options = {"crf": str(crf), "preset": "veryfast", "x264-params": "log-level=none"}
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame.pts = 0
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoded = [seen for packet in [*packets, None] for seen in decoder.decode(packet)]
    return decoded[0].to_ndarray(format="rgb24")
