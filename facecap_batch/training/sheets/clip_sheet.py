"""A sheet of frames of clips, each beside a head that does what was captured of it.

In: for every clip its table, frames of its video and a head. Out: one image. A cell holds the actor's face,
the head seen by the same camera, and the strongest coefficients below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.training.sheets.bars import GROUND, LINE, Series, bars, strongest, write
from facecap_batch.training.sheets.heads import Head
from facecap_batch.training.sheets.window import around

FACE = 260  # pixels, side of a face
CELL_WIDTH = 2 * FACE
BARS = 12  # in two columns
HEADING = 26  # pixels, height of a clip's first line
GAP = 8  # pixels, below and beside a cell
CELL_HEIGHT = FACE + LINE * (1 + BARS // 2) + GAP
CAPTURED = (90, 170, 250)  # RGB

RowImage = tuple[int, np.ndarray]  # a row of the table; its image, uint8 [H, W, 3] RGB, upright


def has_face(table: CoefficientTable) -> np.ndarray:
    """bool [N], rows with a box, coefficients and a pose, be they interpolated."""
    values = np.concatenate([table.box, table.coefficients, table.head], axis=1)
    known: np.ndarray = np.isfinite(values).all(axis=1)
    return known


def clip_block(table: CoefficientTable, images: Iterable[RowImage], head: Head, columns: int) -> np.ndarray:
    """The cells of one clip below its name, `columns` side by side: uint8 [H, W, 3].

    Args:
        table: the clip's final coefficients.
        images: rows that `has_face` and what they show.
        head: what plays the coefficients.
        columns: cells side by side.
    """
    cells = [_cell(table, row, image, head) for row, image in images]
    lines = -(-len(cells) // columns)
    block = np.full((HEADING + lines * CELL_HEIGHT, columns * (CELL_WIDTH + GAP), 3), GROUND, np.uint8)
    found = int(table.face_found.sum())
    heading = f"{table.info.clip_id}   {len(table)} frames, {found} with a face"
    write(block, heading, 4, HEADING - 9, 0.5)
    for number, cell in enumerate(cells):
        line, column = divmod(number, columns)
        top, left = HEADING + line * CELL_HEIGHT, column * (CELL_WIDTH + GAP)
        block[top : top + CELL_HEIGHT, left : left + CELL_WIDTH] = cell
    return block


def sheet(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """The blocks of all clips, one below the other: uint8 [H, W, 3] RGB."""
    return np.concatenate(list(blocks), axis=0)


def _cell(table: CoefficientTable, row: int, image: np.ndarray, head: Head) -> np.ndarray:
    cell = np.full((CELL_HEIGHT, CELL_WIDTH, 3), GROUND, np.uint8)
    window = around(table.box[row])
    values, pose = table.coefficients[row, : len(ARKIT_NAMES)], table.head[row]
    cell[:FACE, :FACE] = window.cut(image, FACE)
    camera = window.camera(table.info.width, table.info.height, FACE)
    cell[:FACE, FACE:] = head.drawn(values, pose, camera)
    write(cell, _caption(table, row), 4, FACE + 11)
    top, half = FACE + LINE, BARS // 2
    channels = strongest(values, BARS)
    for left, part in ((0, channels[:half]), (FACE, channels[half:])):
        drawn = bars(part, (Series(values, CAPTURED, 2),), FACE)
        cell[top : top + half * LINE, left : left + FACE] = drawn
    return cell


def _caption(table: CoefficientTable, row: int) -> str:
    seconds = float(int(table.pts[row]) * table.info.time_base)
    yaw, pitch, roll = np.degrees(table.head[row, :3])
    seen = "" if table.face_found[row] else "   interpolated"
    return (
        f"frame {table.frame_index[row]}   {seconds:.2f} s   yaw {yaw:.0f}  pitch {pitch:.0f}  "
        f"roll {roll:.0f} deg{seen}"
    )
