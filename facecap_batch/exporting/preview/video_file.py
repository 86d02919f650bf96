"""A preview as a video: H.264 with the source's own timing, and its sound.

In: the pictures of a clip, one after the other. Out: a file. Only what changes from picture to picture is
converted to 4:2:0: the encoder takes most of the time as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.matched_frames import RowPicture
from facecap_batch.exporting.preview.layout import Box, Layout
from facecap_batch.exporting.preview.picture import VideoPicture
from facecap_batch.exporting.preview.sound import Sound, Span
from facecap_batch.storage.publish import StoragePath, published

# Previews are looked at once: a file three times the size is better than a wait three times as long.
ENCODER = {"preset": "ultrafast", "crf": "21", "tune": "zerolatency"}
Progress = Callable[[int], None]  # called with the number of frames drawn so far
_BT601, _LIMITED = 6, 1  # AVCOL_SPC_SMPTE170M, AVCOL_RANGE_MPEG: what OpenCV converts to


class Frame420:
    """A frame of the encoder, kept from picture to picture; the encoder copies what it takes."""

    def __init__(self, width: int, height: int) -> None:
        self.frame = av.VideoFrame(width, height, "yuv420p")
        self.frame.colorspace, self.frame.color_range = _BT601, _LIMITED
        self._planes = []
        for plane in self.frame.planes:
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            self._planes.append(rows[:, : plane.width])

    def put(self, image: np.ndarray, box: Box) -> None:
        """Convert a part of `image`, uint8 [height, width, 3] RGB, into the frame."""
        coded = cv2.cvtColor(image[box.place], cv2.COLOR_RGB2YUV_I420).reshape(-1)
        place = box.place
        half = tuple(slice(part.start // 2, part.stop // 2) for part in place)
        luma = box.width * box.height
        self._planes[0][place] = coded[:luma].reshape(box.height, box.width)
        chroma = coded[luma:].reshape(2, box.height // 2, box.width // 2)
        for plane, values in zip(self._planes[1:], chroma, strict=True):
            plane[half] = values


def write_video(
    output: StoragePath,
    table: CoefficientTable,
    picture: VideoPicture,
    frames: Iterator[RowPicture],
    sound_of: str | Path | None,
    progress: Progress | None,
) -> int:
    """Write the video; it appears when it is complete, and a clip of which nothing was drawn leaves none.

    Args:
        output: a path with a suffix of `sound.COPIED`.
        table: gives the times of the rows.
        picture: draws them.
        frames: in the order of time.
        sound_of: the source, whose sound is kept; None: a silent video.
        progress: called with the number of frames written so far.

    Returns:
        How many frames were written.
    """
    item = next(frames, None)
    if item is None:
        return 0
    layout, base = picture.layout, table.info.time_base
    coded = Frame420(layout.width, layout.height)
    drawn, last_pts = 0, -1
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(published(output))
        container = stack.enter_context(av.open(str(temporary), "w"))
        stream = _video_stream(container, table, layout)
        sound = None
        if sound_of is not None:
            sound = stack.enter_context(Sound(sound_of, span_of(table), container, output.suffix.lower()))
        changed = [Box(0, 0, layout.width, layout.height)]
        while item is not None:
            changed += picture.draw(item)
            for box in changed:
                coded.put(picture.image, box)
            changed = []
            # Players need rising times, which a damaged file may not have.
            last_pts = max(last_pts + 1, int(table.pts[item.row]) - int(table.pts[0]))
            coded.frame.pts, coded.frame.time_base = last_pts, base
            if sound is not None:
                sound.write_until(last_pts * base)
            container.mux(stream.encode(coded.frame))
            drawn += 1
            if progress:
                progress(drawn)
            item = next(frames, None)
        container.mux(stream.encode(None))
        if sound is not None:
            sound.write_until(None)
    return drawn


def span_of(table: CoefficientTable) -> Span:
    """From the first frame to the end of the last one."""
    base = table.info.time_base
    frame = 1 / table.info.fps if table.info.fps > 0 else Fraction(0)
    return Span(int(table.pts[0]) * base, int(table.pts[-1]) * base + frame)


def _video_stream(container: Any, table: CoefficientTable, layout: Layout) -> Any:
    stream = container.add_stream("libx264", rate=table.info.fps)
    stream.width, stream.height, stream.pix_fmt = layout.width, layout.height, "yuv420p"
    stream.options = ENCODER
    context = stream.codec_context
    context.thread_count = 1
    context.time_base = table.info.time_base
    context.colorspace, context.color_range = _BT601, _LIMITED
    return stream
