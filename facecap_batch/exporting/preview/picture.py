"""One picture of a preview: the actor, the animated head, the panel of channels, the curves.

In: the tracks of a clip; a frame and its row. Out: the whole picture as one image, which is drawn over from
frame to frame, and the parts of it that changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.matched_frames import RowPicture
from facecap_batch.exporting.preview.channels import moving_lines, strongest_lines
from facecap_batch.exporting.preview.curves import Curves
from facecap_batch.exporting.preview.layout import Box, Layout, cell_layout, video_layout
from facecap_batch.exporting.preview.overlay import draw_over
from facecap_batch.exporting.preview.panel import Panel
from facecap_batch.exporting.preview.style import DIM, GROUND, INK, fitting, letters
from facecap_batch.exporting.preview.telling import TellingFrame
from facecap_batch.exporting.raster.head_painter import HeadPainter
from facecap_batch.geometry import matrix_from_euler, rotation_onto


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What is drawn of a clip."""

    tracks: Sequence[CoefficientTable]  # the main subject first
    raw: CoefficientTable | None  # the main subject's unsolved table, which is marked in the bars
    head: bool  # draw the animated head
    landmarks: bool

    @property
    def table(self) -> CoefficientTable:
        """The main subject."""
        return self.tracks[0]

    @property
    def aspect(self) -> Fraction:
        """Width over height of the video, upright."""
        return Fraction(self.table.info.width, self.table.info.height)


class VideoPicture:
    """The picture of a video's frames."""

    def __init__(self, shown: Shown, height: int) -> None:
        """Lay out a picture of `height` pixels and draw what does not change."""
        self._shown = shown
        self.layout = layout = video_layout(height, shown.aspect, shown.head)
        self.image = np.full((layout.height, layout.width, 3), GROUND, np.uint8)
        room = Panel.room(layout.panel.width, layout.panel.height)
        lines = moving_lines(shown.table.coefficients, room)
        self._panel = Panel(layout.panel.width, layout.panel.height, lines)
        self._curves = Curves(layout.below.width, layout.below.height, shown.table)
        self.image[layout.below.place] = self._curves.ground
        self._faces = _Faces(shown, layout)
        self._row: int | None = None

    def draw(self, picture: RowPicture) -> list[Box]:
        """Draw a frame into `image`; returns what changed."""
        layout, row = self.layout, picture.row
        changed = self._faces.draw(self.image, picture)
        self._panel.draw(self.image[layout.panel.place], self._shown.table, row, self._shown.raw)
        self._curves.draw_line(self.image[layout.below.place], row, self._row)
        changed.append(layout.panel)
        for at in {row, row if self._row is None else self._row}:
            left = layout.below.left + self._curves.column(at)
            changed.append(Box(left, layout.below.top, 2, layout.below.height))
        self._row = row
        return changed


class CellPicture:
    """The picture of a cell on a sheet."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self.layout = cell_layout(shown.aspect, shown.head)
        self._faces = _Faces(shown, self.layout)

    def draw(self, picture: RowPicture, telling: TellingFrame) -> np.ndarray:
        """uint8 [H, W, 3] RGB: a frame with the reason that it was chosen for."""
        layout, table, row = self.layout, self._shown.table, picture.row
        image = np.full((layout.height, layout.width, 3), GROUND, np.uint8)
        self._faces.draw(image, picture)
        panel = layout.panel
        lines = strongest_lines(table.coefficients[row], Panel.room(panel.width, panel.height, False))
        Panel(panel.width, panel.height, lines, False).draw(image[panel.place], table, row, self._shown.raw)
        base = layout.below.top + 0.7 * layout.below.height
        size = fitting(telling.reason, 0.45 * layout.below.height, layout.width - 12)
        letters(image, telling.reason, (6, base), size, INK)
        return image


class _Faces:
    """The actor and the head beside, wherever a layout has them."""

    def __init__(self, shown: Shown, layout: Layout) -> None:
        self._shown, self._layout = shown, layout
        head = layout.head
        self._painter = None if head is None else HeadPainter(head.width, head.height, GROUND)

    def draw(self, image: np.ndarray, picture: RowPicture) -> list[Box]:
        shown, table, row = self._shown, self._shown.table, picture.row
        others = None if table.shot is None else _others(shown.tracks, int(table.frame_index[row]))
        actor = picture.image
        draw_over(actor, table, row, picture.scale, others, shown.landmarks)
        _centred(image[self._layout.actor.place], actor)
        changed = [self._layout.actor]
        if self._painter is not None and self._layout.head is not None:
            self._draw_head(image[self._layout.head.place], self._painter, row)
            changed.append(self._layout.head)
        return changed

    def _draw_head(self, image: np.ndarray, painter: HeadPainter, row: int) -> None:
        table = self._shown.table
        rotation = seen_rotation(table.head[row].astype(np.float64))
        if rotation is None:
            image[:] = GROUND
            at = image.shape[1] / 2, image.shape[0] / 2
            letters(image, "no face", at, 0.035 * image.shape[0], DIM, "middle")
            return
        image[:] = painter.draw(table.coefficients[row], rotation)


def seen_rotation(head: np.ndarray) -> np.ndarray | None:
    """float64 [3, 3]: how a head is turned towards the camera; None where that is not known.

    A head at the edge of the image shows the camera more of one side than its yaw says.

    Args:
        head: float64 [6], as `CoefficientTable.head`; without a position it counts as in the middle.
    """
    if not np.isfinite(head[:3]).all():
        return None
    rotation = matrix_from_euler(head[:3])
    if np.isfinite(head[3:]).all() and head[5] < 0:
        rotation = rotation_onto(head[3:]).T @ rotation
    return rotation


def _others(tracks: Sequence[CoefficientTable], frame: int) -> list[tuple[CoefficientTable, int]]:
    """Table and row of everyone but the main subject who has one for a frame."""
    rows = ((table, frame - int(table.frame_index[0])) for table in tracks[1:])
    return [(table, row) for table, row in rows if 0 <= row < len(table)]


def _centred(image: np.ndarray, part: np.ndarray) -> None:
    """Put `part` into the middle of `image`, which it fits in, with black around it."""
    top, left = ((image.shape[axis] - part.shape[axis]) // 2 for axis in (0, 1))
    if part.shape != image.shape:
        image[:] = 0
    image[top : top + part.shape[0], left : left + part.shape[1]] = part
