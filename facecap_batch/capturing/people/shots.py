"""Where the picture is cut: the first frame of every shot but the first.

In: the small images of detected frames, and, where two of them differ so much that a cut may lie between,
the frames around. Out: cuts. The picture is cut before a frame where nothing after it looks like anything
before it (so a flash, after which the picture comes back, is none) and where the step to it stands out from
the steps before and after it (so a fast pan is none). In most clips nothing but thumbnails of the detector's
images is compared. A cut is known one detection later, and depends on the frames of three intervals alone.

Why not PySceneDetect: it decodes the video itself, or wants every frame in BGR, and `AdaptiveDetector` looks
at steps alone, so it takes both ends of a flash for cuts. What it compares with is the same: the steps
around.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from facecap_batch.capturing.tracker import ShotChange
from facecap_batch.video.frame import Frame

THUMBNAIL = 32  # pixels, longer side
# Mean difference of the pixels of two thumbnails, 0..255, from which they may be of two shots. A face that
# fills half of the picture and moves away changes it by about as much.
MIN_DIFFERENCE = 12.0
# The step across a cut against the largest of so many before it and after it. Things that start to move or
# pan change step by step.
MIN_RATIO = 2.5
NEIGHBOURS = 3


def change_of(cuts: Sequence[int]) -> ShotChange | None:
    """What the cuts between two detections, rising, are to a tracker; None where there is none."""
    return ShotChange(end=cuts[0], begin=cuts[-1]) if cuts else None


class ShotFinder:
    """Finds the cuts of a clip; give it every detected frame, in order."""

    def __init__(self, image_side: int) -> None:
        """`image_side`: longer side of the small images, pixels."""
        self._image_side = image_side
        self._detected: list[int] = []  # the newest detected frames, four at most
        self._thumbnails: list[np.ndarray] = []  # theirs

    def add(self, frame_index: int, image: np.ndarray, held: Iterable[Frame]) -> tuple[int, ...]:
        """Take a detected frame.

        Args:
            frame_index: Its number.
            image: uint8 [h, w, 3] RGB, as faces are looked for in it.
            held: Frames in order; at least those from three detections before up to this one.

        Returns:
            The cuts between the two detections before this one: first frames of shots.
        """
        self._detected = [*self._detected[-3:], frame_index]
        self._thumbnails = [*self._thumbnails[-3:], _thumbnail(image)]
        return self._between(len(self._detected) - 3, held)

    def finish(self, held: Iterable[Frame]) -> tuple[int, ...]:
        """No more frames follow: the cuts before the last detection."""
        return self._between(len(self._detected) - 2, held)

    def _between(self, number: int, held: Iterable[Frame]) -> tuple[int, ...]:
        """The cuts between detection `number` of those kept and the next one."""
        if number < 0 or _difference(self._thumbnails[number], self._thumbnails[number + 1]) < MIN_DIFFERENCE:
            return ()
        first, last = self._detected[max(0, number - 1)], self._detected[-1]
        start, stop = self._detected[number], self._detected[number + 1]
        window = [frame for frame in held if first <= frame.index <= last]
        between = self._pictures(frame for frame in window if start <= frame.index <= stop)
        if all(_difference(*pair) < MIN_DIFFERENCE for pair in itertools.pairwise(between)):
            return ()
        before = self._pictures(frame for frame in window if frame.index < start)
        after = self._pictures(frame for frame in window if frame.index > stop)
        cuts = (window[at].index for at in cuts_in(np.array([*before, *between, *after])))
        return tuple(cut for cut in cuts if start < cut <= stop)

    def _pictures(self, frames: Iterable[Frame]) -> list[np.ndarray]:
        return [_thumbnail(frame.small(self._image_side)[0]) for frame in frames]


def cuts_in(thumbnails: np.ndarray) -> list[int]:
    """Where successive pictures are cut.

    Args:
        thumbnails: float32 [N, h, w, 3], 0..255.

    Returns:
        Indices of pictures that nothing before them looks like.
    """
    count = len(thumbnails)
    flat = thumbnails.reshape(count, -1)
    apart = np.array([np.abs(flat - picture).mean(axis=1) for picture in flat])
    steps = np.diagonal(apart, 1)
    found = []
    for cut in range(1, count):
        before, after = steps[max(0, cut - 1 - NEIGHBOURS) : cut - 1], steps[cut : cut + NEIGHBOURS]
        usual = max(before.max(initial=0.0), after.max(initial=0.0))
        if apart[:cut, cut:].min() >= MIN_DIFFERENCE and steps[cut - 1] >= MIN_RATIO * usual:
            found.append(cut)
    return found


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """float32 [h, w, 3] of uint8 [H, W, 3], its longer side THUMBNAIL pixels."""
    height, width = image.shape[:2]
    scale = THUMBNAIL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())
