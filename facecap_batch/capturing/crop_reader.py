"""Crops on their way to the regressor: cut at once, read in batches, written down in order.

In: frames and the boxes of faces in them. Out: rows of `ReadingBuffer`. A crop whose head lies far off its
nominal place was cut from a crude box: it is cut again while its frame is there, and read again, once.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.capturing.readings import ReadingBuffer, fill
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.capturing.tracker import TrackedBox
from facecap_batch.video.frame import Crop, Frame

# A second look counts only if the regressor is about as sure as at the first.
STILL_SURE = 0.9


class CropReader:
    """Reads the faces of frames into `readings`; `finish` when the last has been added."""

    def __init__(self, reader: Regressor, refine_above: float, most_waiting: int) -> None:
        """`refine_above`: see `Regressor.corrected`; `most_waiting`: crops whose frames are held."""
        self._reader = reader
        self._refine_above = refine_above
        self.most_waiting = most_waiting
        self._waiting: list[tuple[Frame, Crop, np.void]] = []
        self._again: list[tuple[Crop, np.void]] = []
        self.readings = ReadingBuffer(len(reader.extra_names))

    def add(self, frame: Frame, box: TrackedBox) -> None:
        """Cut the face at `box` out of `frame`; its row comes after those that were added before."""
        row = self.readings.expect(frame.index, box)
        self._waiting.append((frame, self._reader.crop(frame, box.box), row))
        if len(self._waiting) >= self.most_waiting:
            self._read()

    def finish(self) -> None:
        """Read what is still waiting."""
        self._read()
        self._read_again()

    def _read(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        said = self._reader.read([crop.image for _, crop, _ in waiting])
        for number, (frame, crop, row) in enumerate(waiting):
            fill(row, (crop.x0, crop.y0, crop.side), said, number)
            if said.presence[number] >= self._reader.presence_threshold:
                better = self._reader.corrected(frame, crop, said.place[number], self._refine_above)
                if better is not None:
                    self._again.append((better, row))
        if len(self._again) >= self._reader.batch:
            self._read_again()

    def _read_again(self) -> None:
        again, self._again = self._again, []
        if not again:
            return
        said = self._reader.read([crop.image for crop, _ in again])
        for number, (crop, row) in enumerate(again):
            if said.presence[number] >= row["presence"] * STILL_SURE:
                fill(row, (crop.x0, crop.y0, crop.side), said, number)
