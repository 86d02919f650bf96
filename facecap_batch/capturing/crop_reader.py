"""Crops on their way to the regressor: cut at once, read in batches, written down in order.

In: frames and the boxes of faces in them. Out: rows of `ReadingBuffer`. A crop whose head lies far from its
nominal position was cut from a crude box: while its frame is held it is cut again, and read again, once.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.capturing.context import CaptureContext
from facecap_batch.capturing.readings import ReadingBuffer, fill
from facecap_batch.capturing.tracker import TrackedBox
from facecap_batch.video.frame import Crop, Frame

# A second reading counts only if its presence is at least this share of the first one's.
STILL_SURE = 0.9


class CropReader:
    """Reads the faces of frames into `readings`; call `finish` when the last has been added."""

    def __init__(self, context: CaptureContext, max_waiting: int) -> None:
        """`max_waiting`: crops whose frames may be held before they are read."""
        self._regressor, self._timer = context.regressor, context.timer
        self._refine_above = context.settings.refine_above
        self.max_waiting = max_waiting
        self._waiting: list[tuple[Frame, Crop, np.void]] = []
        self._refined: list[tuple[Crop, np.void]] = []
        self.readings = ReadingBuffer(self._regressor.sizes)

    def add(self, frame: Frame, box: TrackedBox) -> None:
        """Cut the face at `box` out of `frame`; its row comes after those that were added before."""
        row = self.readings.expect(frame.index, box)
        with self._timer.during("crop"):
            crop = self._regressor.crop(frame, box.box)
        self._waiting.append((frame, crop, row))
        if len(self._waiting) >= self.max_waiting:
            self._read()

    def finish(self) -> None:
        """Read what is still waiting."""
        self._read()
        self._read_refined()

    def _read(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        with self._timer.during("regress"):
            output = self._regressor.read([crop.image for _, crop, _ in waiting])
        for number, (frame, crop, row) in enumerate(waiting):
            fill(row, crop, output, number)
            row["image_size"] = frame.width, frame.height
            if output.presence[number] >= self._regressor.presence_threshold:
                with self._timer.during("crop"):
                    better = self._regressor.refined(
                        frame, crop, output.crop_position[number], self._refine_above
                    )
                if better is not None:
                    self._refined.append((better, row))
        if len(self._refined) >= self._regressor.batch:
            self._read_refined()

    def _read_refined(self) -> None:
        refined, self._refined = self._refined, []
        if not refined:
            return
        with self._timer.during("regress"):
            output = self._regressor.read([crop.image for crop, _ in refined])
        for number, (crop, row) in enumerate(refined):
            if output.presence[number] >= row["presence"] * STILL_SURE:
                fill(row, crop, output, number)
