"""Every picture of a clip in one size, with square pixels.

In: pictures as the decoder leaves them: anamorphic recordings (DV, HDV, some broadcast) hold pixels that are
wider or narrower than high, and a stream may change its size on the way. Out: pictures of the same format in
the size of the first, stretched to square pixels. What is square and of one size passes untouched.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.video.reformatter import VideoReformatter

# Width over height of a pixel. What lies beyond is a mistake of the file; what is this close to square
# (1 / 50) cannot be seen, and some files carry it as a rounding error.
MOST_ASPECT = Fraction(4)
SQUARE_WITHIN = Fraction(1, 50)


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Width and height, pixels, of a picture of `width` by `height` pixels that are `aspect` times as wide as
    high. Nothing is thrown away: the side that is too short grows, to an even number."""
    if not 1 / MOST_ASPECT <= aspect <= MOST_ASPECT or abs(aspect - 1) <= SQUARE_WITHIN:
        return width, height
    if aspect > 1:
        return round(width * aspect / 2) * 2, height
    return width, round(height / aspect / 2) * 2


class PictureSize:
    """The size of a clip's pictures, decided by the first."""

    def __init__(self, first: av.VideoFrame, aspect: Fraction) -> None:
        """`aspect` is the width of a pixel over its height, as the file has it."""
        self._coded, self._format = (first.width, first.height), first.format.name
        self.width, self.height = square_size(*self._coded, aspect)
        self._scaler = VideoReformatter()

    def is_coded(self, picture: av.VideoFrame) -> bool:
        """True where the decoder left `picture` in the size of the first."""
        return (picture.width, picture.height) == self._coded

    def of(self, picture: av.VideoFrame) -> Any:
        """`picture` in the clip's size."""
        if (picture.width, picture.height) == (self.width, self.height):
            return picture
        return self._scaler.reformat(picture, width=self.width, height=self.height, format=self._format)
