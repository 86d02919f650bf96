"""How large a video may be, before it costs the memory of a worker.

In: what a file claims of itself. Out: nothing, or `TooLarge`, before the memory is taken. A few kilobytes can
claim a picture of a gigabyte or a hundred million frames, so whoever opens a video says what is expected.
Imports neither PyAV nor OpenCV.
"""

from __future__ import annotations

import dataclasses

from facecap_batch.errors import TooLarge, means_no_memory
from facecap_batch.machine import memory_is_short

# 12K cinema (12288x6480), the largest pictures that cameras film. One takes 0.12 GiB as video and up to
# 0.6 GiB as an image with 16 bits and alpha; a worker holds several.
MAX_MEGAPIXELS = 80.0
# 27 hours at 30 frames a second. A table of so many frames is a gigabyte, and the solve holds several.
MAX_FRAMES = 3_000_000
# Entries of one table of an MP4, of sound as well: a hundred hours of it. FFmpeg takes 24 bytes for each,
# whether the file holds the sample or not.
MAX_SAMPLES = 20_000_000
MOST_PIXELS = 2**31 - 1  # that FFmpeg takes
MARGIN_PIXELS = 2**16  # decoders round sides up and add edges


def raise_if_out_of_memory(error: BaseException) -> None:
    """Raise `error` where it says that memory has run out, and it has.

    FFmpeg says the same of a length that no memory holds, as damage or somebody with bad intent writes it.
    """
    if means_no_memory(error) and memory_is_short():
        raise error from None


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a video may have."""

    megapixels: float = MAX_MEGAPIXELS  # million pixels of one picture, also once its pixels are square
    frames: int = MAX_FRAMES  # of one clip

    def __post_init__(self) -> None:
        if not self.megapixels > 0:
            raise ValueError(f"max_megapixels must be above 0, not {self.megapixels}")
        if self.frames < 1:
            raise ValueError(f"max_frames must be at least 1, not {self.frames}")

    @staticmethod
    def beside(width: int, height: int, frames: int) -> Limits:
        """The usual limits, or as many pixels and frames as a clip had that was captured before."""
        return Limits(max(MAX_MEGAPIXELS, width * height / 1e6), max(MAX_FRAMES, frames))

    @property
    def pixels(self) -> int:
        """Of one picture."""
        return round(min(self.megapixels * 1e6, MOST_PIXELS))

    def codec_options(self) -> dict[str, str]:
        """Options of FFmpeg's decoders that hold them to it, with room for the margins that they add."""
        return {"max_pixels": str(min(MOST_PIXELS, self.pixels + self.pixels // 4 + MARGIN_PIXELS))}

    def check_size(self, source: str, width: int, height: int) -> None:
        """Raises TooLarge for pictures of `width` by `height` pixels."""
        if width * height > self.pixels:
            raise TooLarge(
                f"{source}: its pictures have {width}x{height} pixels, more than {self.megapixels:g} million "
                "(--max-megapixels raises the limit; each picture takes that much memory several times)"
            )

    def check_frames(self, source: str, frames: int) -> None:
        """Raises TooLarge for a clip of so many frames, decoded or claimed."""
        if frames > self.frames:
            raise TooLarge(
                f"{source}: it has {frames} frames or more, above the limit of {self.frames} (--max-frames "
                "raises it; give start and end in a manifest to capture a part)"
            )


LIMITS = Limits()  # the usual ones
