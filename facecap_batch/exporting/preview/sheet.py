"""A preview as one image: cells of single frames with actor, head, bars and the reason for each.

In: the frames that tell most. Out: an image file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from facecap_batch.exporting.matched_frames import RowPicture
from facecap_batch.exporting.preview.picture import CellPicture
from facecap_batch.exporting.preview.style import GROUND
from facecap_batch.exporting.preview.telling import TellingFrame
from facecap_batch.storage.publish import StoragePath, published

WIDEST = 2400  # pixels, of a sheet with more than one column


def write_sheet(
    output: StoragePath,
    picture: CellPicture,
    frames: Iterator[RowPicture],
    telling: Sequence[TellingFrame],
    progress: Callable[[int], None] | None,
) -> int:
    """Write the sheet; where no frame is there, none.

    Args:
        output: a path with an image's suffix.
        picture: draws the cells.
        frames: of the rows in `telling`, as far as the video has them.
        telling: the reasons.
        progress: called with the number of cells drawn so far.

    Returns:
        How many cells there are.
    """
    reasons = {each.row: each for each in telling}
    cells = []
    for frame in frames:
        cells.append(picture.draw(frame, reasons[frame.row]))
        if progress:
            progress(len(cells))
    if not cells:
        return 0
    height, width = cells[0].shape[:2]
    columns = min(max(1, WIDEST // width), len(cells))
    sheet = np.full((math.ceil(len(cells) / columns) * height, columns * width, 3), GROUND, np.uint8)
    for number, cell in enumerate(cells):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = cell
    write_image(output, sheet)
    return len(cells)


def write_image(path: StoragePath, image: np.ndarray) -> None:
    """Write uint8 [H, W, 3] RGB in the format of the path's suffix.

    Raises:
        OSError: it cannot be encoded or written.
    """
    encoded, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise OSError(f"{path} cannot be encoded as {path.suffix}")
    with published(path) as temporary:
        temporary.write_bytes(data.tobytes())
