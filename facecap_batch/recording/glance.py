"""One look at one picture: its faces, and the main one's coefficients as far as this picture alone tells.

In: a frame. Out: a `Glance`; an annotated image where one is wanted. Nothing is tracked or smoothed: what is
seen live is a check of light, framing and movement, and the tables are made from the whole take.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from facecap_batch.capturing.context import CaptureContext
from facecap_batch.capturing.crop_reader import CropReader
from facecap_batch.capturing.subject import subject_table
from facecap_batch.capturing.tracker import TrackedBox
from facecap_batch.coefficients import ClipInfo, CoefficientTable
from facecap_batch.exporting.preview.channels import all_lines
from facecap_batch.exporting.preview.layout import PANEL_SHARE
from facecap_batch.exporting.preview.overlay import annotate
from facecap_batch.exporting.preview.panel import Panel
from facecap_batch.video.frame import Frame
from facecap_batch.video.orientation import display_orientation
from facecap_batch.video.scaling import FrameScalers

MAX_FACES = 4  # that are read in one picture
TIME_BASE = Fraction(1, 1000)  # of the times that are drawn


@dataclasses.dataclass(frozen=True, eq=False)
class Glance:
    """What one picture shows."""

    faces: int
    frame: Frame
    table: CoefficientTable  # one row: the main face


class Glancer:
    """Looks at the pictures of one stream."""

    def __init__(self, context: CaptureContext) -> None:
        self._context = context
        self._scalers = FrameScalers()

    def look(self, coded: Any, number: int, time_s: float) -> Glance:
        """Find and read the faces of a picture.

        Args:
            coded: A PyAV frame as the decoder left it.
            number: Of the picture, to be drawn.
            time_s: Seconds of the take, to be drawn.
        """
        context = self._context
        frame = Frame(0, round(time_s / TIME_BASE), coded, display_orientation(coded), self._scalers)
        image, scale = frame.small(context.detector.size)
        found = [face.scaled(1 / scale) for face in context.detector.detect([image])[0]]
        reader = CropReader(context, context.settings.regress_batch)
        for track, face in enumerate(found[:MAX_FACES]):
            reader.add(frame, TrackedBox(track, face.box.astype(np.float64), face.score))
        reader.finish()
        readings = reader.readings.take()
        info = ClipInfo("live", "live", frame.width, frame.height, Fraction(25), TIME_BASE, 0, True)
        table = subject_table(info, np.array([frame.pts], np.int64), readings, context.regressor)
        faces = int((readings["presence"] >= context.regressor.presence_threshold).sum())
        return Glance(faces, frame, table.replace(frame_index=np.array([number], np.int32)))


class GlancePainter:
    """Draws what a glance showed, with the bars of `preview` beside it."""

    def __init__(self, height: int, shapes: Sequence[str]) -> None:
        """`height`: pixels, of the image; `shapes`: the names of the coefficients."""
        self._height = height
        self._width = round(height * PANEL_SHARE)
        self._panel = Panel(self._width, height, all_lines(shapes))
        self._image = np.zeros((height, self._width, 3), np.uint8)

    def draw(self, glance: Glance) -> np.ndarray:
        """uint8 [height, width, 3] RGB."""
        drawn = annotate(glance.frame.rgb(), glance.table, 0, self._height)
        self._panel.draw(self._image, glance.table, 0)
        return np.hstack([drawn, self._image])
