"""Scaling and conversion of decoded frames by swscale, on the calling thread alone.

In: PyAV frames. Out: PyAV frames of another size or pixel format, or RGB images. This is the only room that
makes swscale contexts.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

_ONE_THREAD = 1  # swscale starts a thread per CPU unless told otherwise; workers own their cores
_UNSPECIFIED_COLORSPACE = 2  # AVCOL_SPC_UNSPECIFIED


class Scaler:
    """One swscale context, kept from frame to frame. It is built anew whenever a size or a format changes."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def resized(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        """`frame` in another size, pixels, in its own pixel format; in RGB where swscale reads that format
        and cannot write it (palettes)."""
        pixel_format = "rgb24" if frame.format.has_palette else frame.format.name
        try:
            return self.reformat(frame, width, height, pixel_format)
        except (av.error.FFmpegError, ValueError):
            return av.VideoFrame.from_ndarray(self.rgb(frame, width, height), format="rgb24")

    def reformat(
        self,
        frame: av.VideoFrame,
        width: int | None = None,
        height: int | None = None,
        pixel_format: str | None = None,
    ) -> av.VideoFrame:
        """`frame` in another size (pixels) or pixel format; None keeps what it has."""
        return self._reformatter.reformat(
            frame, width=width, height=height, format=pixel_format, threads=_ONE_THREAD
        )

    def rgb(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """uint8 [height, width, 3] RGB, area-averaged where it shrinks."""
        options: dict[str, Any] = {
            "width": width,
            "height": height,
            "format": "rgb24",
            "interpolation": Interpolation.AREA,
            "threads": _ONE_THREAD,
        }
        try:
            return self._reformatter.reformat(frame, **options).to_ndarray()
        except (av.error.FFmpegError, ValueError):
            # Some files carry a colour matrix that swscale refuses (reserved values); the default one shows a
            # face.
            frame.colorspace = _UNSPECIFIED_COLORSPACE
            return self._reformatter.reformat(frame, **options).to_ndarray()


class FrameScalers:
    """The scalers of one decoder, one per use, so that no use rebuilds the context of another."""

    def __init__(self) -> None:
        self.whole = Scaler()  # whole frames at their own size
        self.small = Scaler()  # whole frames, shrunk for the detector
        self.shown = Scaler()  # whole frames, in the size in which people look at them
        self.shown_rgb = Scaler()  # and these, converted
        self.region = Scaler()  # regions at their own size
        self.crop = Scaler()  # regions, shrunk to crops
