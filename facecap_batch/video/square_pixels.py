"""Every frame of a clip in one size, with square pixels.

In: frames as the decoder leaves them: anamorphic recordings (DV, HDV, some broadcast) hold pixels that are
wider or narrower than high, and a stream may change its size on the way. Out: frames of the same pixel
format in the size of the first, stretched to square pixels. What is square and of one size passes untouched.
"""

from __future__ import annotations

from fractions import Fraction

import av

from facecap_batch.video.scaling import Scaler

# Width over height of a pixel. What lies beyond is a mistake of the file; what is this close to square
# (1 / 50) cannot be seen, and some files carry it as a rounding error.
MAX_ASPECT = Fraction(4)
SQUARE_WITHIN = Fraction(1, 50)


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


class ClipSize:
    """The size of a clip's frames, decided by the first."""

    def __init__(self, first: av.VideoFrame, aspect: Fraction) -> None:
        """`aspect` is the width of a pixel over its height, as the file has it."""
        self._coded_size = (first.width, first.height)
        self._pixel_format = first.format.name
        self.width, self.height = square_size(first.width, first.height, aspect)
        self._scaler = Scaler()

    def is_coded_size(self, frame: av.VideoFrame) -> bool:
        """True where the decoder left `frame` in the size of the first."""
        return (frame.width, frame.height) == self._coded_size

    def fitted(self, frame: av.VideoFrame) -> av.VideoFrame:
        """`frame` in the clip's size; itself where it has that size already."""
        if (frame.width, frame.height) == (self.width, self.height):
            return frame
        return self._scaler.reformat(frame, self.width, self.height, self._pixel_format)
