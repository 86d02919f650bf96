"""The faces that were read, row by row: what a row holds, and the buffer that collects the rows.

In: boxes from the tracker and outputs of the regressor. Out: one structured array of all rows.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.capturing.regressor import OutputSizes, RegressorOutput
from facecap_batch.capturing.tracker import TrackedBox
from facecap_batch.coefficients import REGION_CHANNELS
from facecap_batch.video.frame import Crop

# Rows are collected in blocks: thousands of small arrays kept between the short-lived ones of decoding and
# inference would tear holes into the heap that cost several times their own size.
_BLOCK_ROWS = 2048
# The fields that come from the pixels of the crop; the tracker gives the others.
READ = (
    "crop_rect", "image_size", "presence", "hidden", "coefficients", "pose", "extra", "spread", "landmarks",
)  # fmt: skip


def fill(row: np.void, crop: Crop, output: RegressorOutput, number: int) -> None:
    """Write into `row` of a `ReadingBuffer` which crop was read and item `number` of `output`."""
    row["crop_rect"] = (crop.x0, crop.y0, crop.side)
    row["presence"] = output.presence[number]
    row["coefficients"], row["hidden"] = output.coefficients[number], output.hidden[number]
    row["pose"][:3], row["pose"][3:] = output.angles[number], output.crop_position[number]
    row["extra"], row["spread"] = output.extra[number], output.spread[number]
    row["landmarks"] = output.landmarks[number]


def row_type(sizes: OutputSizes) -> np.dtype[np.void]:
    """One crop that was read, of a regressor with outputs of these sizes."""
    return np.dtype(
        [
            ("frame", np.int32),  # index of the frame
            ("track", np.int32),
            ("box", np.float32, 4),  # pixels of the upright frame
            ("crop_rect", np.float64, 3),  # x0 y0 side of the crop, pixels of the upright frame
            ("image_size", np.int32, 2),  # width and height of the upright frame, pixels; 0: the clip's
            ("detector_score", np.float32),
            ("presence", np.float32),
            ("hidden", np.bool_, len(REGION_CHANNELS)),
            ("coefficients", np.float32, sizes.shapes),
            ("pose", np.float32, 6),  # yaw pitch roll u v s inside the crop, or as head_frame defines
            ("extra", np.float32, (sizes.extra,)),
            ("spread", np.float32, (sizes.spread,)),
            ("landmarks", np.float32, (sizes.landmarks, 2)),  # in crop units
        ]
    )


class ReadingBuffer:
    """Every crop that was read: tracks mixed, frames rising within a track; 300 to 500 bytes a row, and
    8 for each landmark."""

    def __init__(self, sizes: OutputSizes) -> None:
        self._row = row_type(sizes)
        self._blocks: list[np.ndarray] = []
        self._used = _BLOCK_ROWS  # rows of the last block

    def expect(self, frame: int, box: TrackedBox) -> np.void:
        """A new row for the face at `box` in frame number `frame`; `fill` writes the rest of it."""
        if self._used == _BLOCK_ROWS:
            self._blocks.append(np.zeros(_BLOCK_ROWS, self._row))
            self._used = 0
        row: np.void = self._blocks[-1][self._used]
        self._used += 1
        row["frame"], row["track"], row["box"], row["detector_score"] = frame, box.track, box.box, box.score
        return row

    def take(self) -> np.ndarray:
        """All rows so far, `row_type` [R]; the buffer is empty afterwards."""
        blocks, self._blocks = self._blocks, []
        if not blocks:
            return np.zeros(0, self._row)
        rows = np.empty((len(blocks) - 1) * _BLOCK_ROWS + self._used, self._row)
        self._used = _BLOCK_ROWS
        for number in range(len(blocks)):
            begin = number * _BLOCK_ROWS
            part = rows[begin : begin + _BLOCK_ROWS]
            part[:] = blocks[number][: len(part)]
            blocks[number] = part  # releases the block: rows are never held twice
        return rows
