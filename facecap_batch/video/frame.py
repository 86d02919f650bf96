"""One decoded frame, converted to RGB only where and as large as somebody asks.

In: a PyAV frame as the decoder left it, and the orientation of its file. Out: a small upright image for the
detector, square upright crops for the regressor, or the whole upright image. Conversion to RGB would
otherwise be the main cost of a 10-bit or 4K clip: a crop cuts the coded planes first and lets swscale
convert and scale only that piece.
"""

from __future__ import annotations

import dataclasses

import av
import cv2
import numpy as np

from facecap_batch.video.orientation import Orientation
from facecap_batch.video.planes import cut, cutting_grid
from facecap_batch.video.scaling import FrameScalers


@dataclasses.dataclass(frozen=True, eq=False)
class Crop:
    """A square region of the upright image, scaled."""

    image: np.ndarray  # uint8 [S, S, 3] RGB
    x0: float  # left edge, pixels of the upright image; may lie outside of it
    y0: float  # top edge, pixels of the upright image; may lie outside of it
    side: float  # pixels of the upright image across the crop


class Frame:
    """A decoded frame in order of presentation.

    Attributes:
        index: Number of the frame, 0 at the clip's first one.
        pts: Presentation time in units of the stream's time base, as in the container.
        width, height: Pixels of the upright image.
        nbytes: Bytes held while this object lives.
    """

    __slots__ = (
        "_coded",
        "_coded_rgb",
        "_orientation",
        "_scalers",
        "height",
        "index",
        "nbytes",
        "pts",
        "width",
    )

    def __init__(
        self, index: int, pts: int, coded: av.VideoFrame, orientation: Orientation, scalers: FrameScalers
    ) -> None:
        """`coded` is the frame as the decoder left it; `scalers` are shared by the frames of one decoder."""
        self.index = index
        self.pts = pts
        self._coded = coded
        self._orientation = orientation
        self._scalers = scalers
        self._coded_rgb: np.ndarray | None = None
        self.width, self.height = orientation.size(coded.width, coded.height)
        self.nbytes = sum(plane.buffer_size for plane in coded.planes)

    def rotated(self, degrees: int) -> Frame:
        """The same frame rotated further counterclockwise, by a multiple of 90 degrees; shares the decoder's
        memory."""
        if degrees % 360 == 0:
            return self
        return Frame(self.index, self.pts, self._coded, self._orientation.rotated(degrees), self._scalers)

    @property
    def view(self) -> tuple[int, int, Orientation]:
        """What the pixels of the upright image mean: boxes in frames of another view cannot be compared."""
        return self.width, self.height, self._orientation

    def rgb(self) -> np.ndarray:
        """The whole upright image: uint8 [height, width, 3] RGB, a new array."""
        return self._orientation.apply(self._whole_coded_rgb())

    @property
    def image(self) -> np.ndarray:
        """The whole upright image, as `rgb`."""
        return self.rgb()

    def small(self, side: int) -> tuple[np.ndarray, float]:
        """The upright image scaled to fit into `side` by `side` pixels.

        Returns:
            uint8 [h, w, 3] RGB with max(h, w) == side, and the scale: small pixels per upright pixel.
        """
        coded = self._coded
        scale = side / max(coded.width, coded.height)
        width = max(1, round(coded.width * scale))
        height = max(1, round(coded.height * scale))
        return self._orientation.apply(self._scalers.small.rgb(coded, width, height)), scale

    def scaled(self, width: int, height: int) -> np.ndarray:
        """The whole upright image in another size, pixels: uint8 [height, width, 3] RGB."""
        across, down = self._orientation.size(width, height)  # a quarter turn is the same back and forth
        # In two steps, as fewer pixels and fewer samples of colour are converted than in one.
        scaled = self._scalers.shown.resized(self._coded, across, down)
        return self._orientation.apply(self._scalers.shown_rgb.rgb(scaled, across, down))

    def crop(self, center_x: float, center_y: float, side: float, size: int) -> Crop:
        """Cut a square region and scale it to `size` by `size` pixels; beyond the image its edge is repeated.

        A crop that shrinks is area-averaged and its edges lie on whole chroma samples; one that is enlarged
        is bilinear and its edges lie between whole pixels.

        Args:
            center_x, center_y, side: Pixels of the upright image.
            size: Pixels of the crop.

        Returns:
            The crop with the square that was really cut.
        """
        side = max(1.0, float(side))
        if side > size:
            return self._shrunk_crop(center_x, center_y, side, size)
        across = round(side)
        left, top = round(center_x - across / 2), round(center_y - across / 2)
        region = self._region(left, top, left + across, top + across)
        image = cv2.resize(region, (size, size), interpolation=cv2.INTER_LINEAR)
        return Crop(image, float(left), float(top), float(across))

    def _shrunk_crop(self, center_x: float, center_y: float, side: float, size: int) -> Crop:
        coded, orientation = self._coded, self._orientation
        source, grid = self._cuttable()
        half = side / 2
        wanted = (center_x - half, center_y - half, center_x + half, center_y + half)
        x0, y0, _, _ = orientation.to_coded(wanted, coded.width, coded.height)
        across = max(grid, round(side / grid) * grid)
        left = round((x0 + (side - across) / 2) / grid) * grid
        top = round((y0 + (side - across) / 2) / grid) * grid
        piece = cut(source, left, top, left + across, top + across)
        image = orientation.apply(self._scalers.crop.rgb(piece, size, size))
        really = (float(left), float(top), float(left + across), float(top + across))
        upright = orientation.to_upright(really, coded.width, coded.height)
        return Crop(image, upright[0], upright[1], float(across))

    def _region(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """uint8 [y1 - y0, x1 - x0, 3] RGB of the upright image, unscaled, edges repeated."""
        coded, orientation = self._coded, self._orientation
        source, grid = self._cuttable()
        rectangle = orientation.to_coded((x0, y0, x1, y1), coded.width, coded.height)
        left, top, right, bottom = (int(edge) for edge in rectangle)
        outer_left, outer_top = left // grid * grid, top // grid * grid
        outer_right, outer_bottom = -(-right // grid) * grid, -(-bottom // grid) * grid
        piece = cut(source, outer_left, outer_top, outer_right, outer_bottom)
        image = self._scalers.region.rgb(piece, piece.width, piece.height)
        image = image[top - outer_top : bottom - outer_top, left - outer_left : right - outer_left]
        return orientation.apply(image)

    def _cuttable(self) -> tuple[av.VideoFrame, int]:
        """A frame whose planes can be cut as arrays, and the grid in pixels on which it may be cut."""
        grid = cutting_grid(self._coded)
        if grid:
            return self._coded, grid
        return av.VideoFrame.from_ndarray(self._whole_coded_rgb(), format="rgb24"), 1

    def _whole_coded_rgb(self) -> np.ndarray:
        """uint8 [H, W, 3] RGB of the coded image, not yet upright."""
        if self._coded_rgb is not None:
            return self._coded_rgb
        coded = self._coded
        rgb = self._scalers.whole.rgb(coded, coded.width, coded.height)
        if not cutting_grid(coded):
            self._coded_rgb = rgb  # `_cuttable` cuts it again for every crop
        return rgb
