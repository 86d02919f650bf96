"""The clips of a GPU day: a short video of a face, at another size and as long as is wanted.

In: a video. Out: H.264 files. The video is played forth and back, so that nothing jumps where it begins
again.
"""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from facecap_batch.errors import BadVideo
from facecap_batch.storage.publish import published
from facecap_batch.video.decoder import decode

FPS = Fraction(30)
MAX_HELD_S = 10  # of the source: its pictures are held in memory


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a clip's pictures are, pixels."""

    name: str
    width: int
    height: int


SIZES = (Size("1080p", 1920, 1080), Size("360p", 640, 360))


def write_clip(source: Path, target: Path, size: Size, seconds: float) -> int:
    """Write `seconds` of `source` to `target`, scaled to fill `size`; what is too high or wide is cut off.

    Returns:
        How many frames were written; at least one.

    Raises:
        BadVideo: The source does not decode, or holds no frame.
    """
    import av

    count = max(1, round(seconds * FPS))
    frames = itertools.islice(decode(source, end=Fraction(MAX_HELD_S)), count)
    pictures = [_filling(frame.image, size) for frame in frames]
    if not pictures:
        raise BadVideo(f"{source}: no frame to make a clip of; give another --clip")
    codec, options = ("libx264", {"preset": "veryfast", "crf": "20"})
    if codec not in av.codecs_available:
        codec, options = "mpeg4", {}
    with published(target) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, "yuv420p"
        for number in range(count):
            picture = pictures[_forth_and_back(number, len(pictures))]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return count


def _forth_and_back(number: int, length: int) -> int:
    """Index of the `number`th picture of `length` that are played forth and back."""
    if length == 1:
        return 0
    place = number % (2 * (length - 1))
    return min(place, 2 * (length - 1) - place)


def _filling(image: np.ndarray, size: Size) -> np.ndarray:
    """uint8 [size.height, size.width, 3]: the middle of `image` (uint8 [H, W, 3]), scaled."""
    height, width = image.shape[:2]
    scale = min(height / size.height, width / size.width)
    high, wide = round(size.height * scale), round(size.width * scale)
    top, left = (height - high) // 2, (width - wide) // 2
    cut = np.ascontiguousarray(image[top : top + high, left : left + wide])
    if cut.shape[:2] == (size.height, size.width):
        return cut
    return cv2.resize(cut, (size.width, size.height), interpolation=cv2.INTER_CUBIC)
