"""The size and shape of every frame of a clip, with square pixels.

In: frames as the decoder leaves them: anamorphic recordings (DV, HDV, some broadcast) hold pixels that are
wider or narrower than high, and a stream may change its size, its shape or its pixels on the way. Out: frames
of the same pixel format, stretched to square pixels. All frames of one shape have the size of the first of
that shape; a frame of another shape (a phone that is turned in a call) keeps its own. What is square and
of that size already passes untouched.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av

from facecap_batch.video.container import as_fraction, pixel_aspect
from facecap_batch.video.orientation import Orientation
from facecap_batch.video.scaling import Scaler

# Width over height of a pixel. What lies beyond is a mistake of the file; what is this close to square
# (1 / 50) cannot be seen, and some files carry it as a rounding error.
MAX_ASPECT = Fraction(4)
SQUARE_WITHIN = Fraction(1, 50)
# Shapes (width over height) that differ by less are one: encoders round sides to whole blocks.
SAME_SHAPE_WITHIN = Fraction(1, 50)


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Width and height of a frame once its pixels are square.

    No pixel is thrown away: the side that is too short grows, to an even number.

    Args:
        width, height: Pixels, as coded.
        aspect: Width of a coded pixel over its height.
    """
    if not 1 / MAX_ASPECT <= aspect <= MAX_ASPECT or abs(aspect - 1) <= SQUARE_WITHIN:
        return width, height
    if aspect > 1:
        return round(width * aspect / 2) * 2, height
    return width, round(height / aspect / 2) * 2


class Views:
    """The sizes that the frames of one decoder are given; ask in the order of frames."""

    def __init__(self, stream: Any, codec_aspect: Fraction | None, first: av.VideoFrame) -> None:
        """
        Args:
            stream: The PyAV stream that is decoded.
            codec_aspect: Width of a pixel over its height, as the codec had it when the file was opened.
            first: The first frame of the clip, which may lie inside the file.
        """
        self._context = stream.codec_context
        self._aspect = pixel_aspect(stream)
        self._codec_aspect = codec_aspect
        self._follow_codec()
        self._coded = (first.width, first.height, self._aspect)
        self._sizes = [square_size(*self._coded)]  # of each shape so far
        self._size = self._sizes[0]
        self._orientation: Orientation | None = None
        self._scaler = Scaler()

    def change(self, frame: av.VideoFrame, orientation: Orientation) -> str:
        """What changes with `frame` against the frame before it, for a note; empty where nothing does.

        Args:
            frame: The next frame, as the decoder leaves it.
            orientation: How it becomes upright.
        """
        if frame.key_frame:  # a decoder is ahead of the frames that it gives out; shapes change at these
            self._follow_codec()
        turned = self._orientation not in (None, orientation)
        self._orientation = orientation
        coded = (frame.width, frame.height, self._aspect)
        if coded == self._coded and not turned:
            return ""
        before, self._coded = self._size, coded
        self._size = self._size_of(*square_size(*coded))
        if self._size == before and not turned:
            return "the picture changes size"
        width, height = orientation.size(*self._size)
        return (
            f"the picture changes its shape to {width}x{height}, the pixels of boxes and head from then on,"
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels, of the frame for which `change` was asked last, once it is `fitted`."""
        return self._size

    def fitted(self, frame: av.VideoFrame) -> av.VideoFrame:
        """`frame`, for which `change` was asked, in its size; itself where it has that size already."""
        if (frame.width, frame.height) == self._size:
            return frame
        return self._scaler.resized(frame, *self._size)

    def _follow_codec(self) -> None:
        """Take the aspect of pixels that the codec announces now, if that is another than before."""
        announced = as_fraction(self._context.sample_aspect_ratio)
        if announced and announced != self._codec_aspect:
            self._codec_aspect = self._aspect = announced

    def _size_of(self, width: int, height: int) -> tuple[int, int]:
        """The size of the frames with the shape of `width` by `height` pixels."""
        for known in self._sizes:
            if abs(Fraction(known[0] * height, known[1] * width) - 1) <= SAME_SHAPE_WITHIN:
                return known
        self._sizes.append((width, height))
        return width, height
