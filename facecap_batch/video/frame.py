"""One decoded picture, converted to RGB only where and as large as somebody asks.

In: a PyAV frame as the decoder left it, and how the file wants it turned. Out: a small upright image for the
detector, square upright crops for the regressor, or the whole upright picture. Conversion to RGB would
otherwise be the main cost of a 10-bit or 4K clip: a crop cuts the coded planes first and lets swscale
convert and scale only that piece.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

# Since PyAV 17 swscale starts a thread per CPU unless told otherwise; workers own their cores.
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
_UNSPECIFIED_COLORSPACE = 2  # AVCOL_SPC_UNSPECIFIED


@dataclasses.dataclass(frozen=True)
class Orientation:
    """How the coded picture becomes the upright one: mirrored left to right first, then turned."""

    rotation: int = 0  # degrees counterclockwise: 0, 90, 180, 270
    mirrored: bool = False

    @staticmethod
    def from_display_matrix(entries: np.ndarray) -> Orientation:
        """The nearest of the eight right-angled orientations to a display matrix.

        `entries` int32 [9], ISO 14496-12 order {a b u c d v x y w}: x' = a x + c y, y' = b x + d y with y
        down.
        """
        a, b, _, c, d = (float(entry) for entry in entries[:5])
        given = np.array([[a, c], [b, d]])
        quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])  # counterclockwise on screen, y down
        best, best_match = Orientation(), -np.inf
        for mirrored in (False, True):
            turn = np.diag([-1.0, 1.0]) if mirrored else np.eye(2)
            for rotation in (0, 90, 180, 270):
                match = float((given * turn).sum())
                if match > best_match + 1e-6:
                    best, best_match = Orientation(rotation, mirrored), match
                turn = quarter @ turn
        return best

    def turned(self, degrees: int) -> Orientation:
        """This orientation followed by a further counterclockwise turn."""
        return Orientation((self.rotation + degrees) % 360, self.mirrored)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright picture of a coded picture, pixels."""
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The upright image [H, W, ...] of a coded one, contiguous."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, self.rotation // 90))

    def to_coded(self, box: tuple[float, float, float, float], width: int, height: int) -> tuple[float, ...]:
        """Map x0 y0 x1 y1 of the upright picture to the coded picture of `width` by `height` pixels."""
        x0, y0, x1, y1 = box
        if self.rotation == 90:
            x0, y0, x1, y1 = width - y1, x0, width - y0, x1
        elif self.rotation == 180:
            x0, y0, x1, y1 = width - x1, height - y1, width - x0, height - y0
        elif self.rotation == 270:
            x0, y0, x1, y1 = y0, height - x1, y1, height - x0
        if self.mirrored:
            x0, x1 = width - x1, width - x0
        return x0, y0, x1, y1

    def to_upright(
        self, box: tuple[float, float, float, float], width: int, height: int
    ) -> tuple[float, ...]:
        """The inverse of `to_coded`; `width` and `height` are still those of the coded picture."""
        x0, y0, x1, y1 = box
        if self.mirrored:
            x0, x1 = width - x1, width - x0
        if self.rotation == 90:
            x0, y0, x1, y1 = y0, width - x1, y1, width - x0
        elif self.rotation == 180:
            x0, y0, x1, y1 = width - x1, height - y1, width - x0, height - y0
        elif self.rotation == 270:
            x0, y0, x1, y1 = height - y1, x0, height - y0, x1
        return x0, y0, x1, y1


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square piece of the upright picture."""

    image: np.ndarray  # uint8 [S, S, 3] RGB
    x0: float  # left edge, pixels of the upright picture; may lie outside of it
    y0: float  # top edge
    side: float  # pixels of the upright picture across the crop


class Scalers:
    """The swscale contexts of one decoder: one per use, for a context that changes size is built anew."""

    def __init__(self) -> None:
        self.full = VideoReformatter()
        self.small = VideoReformatter()
        self.piece = VideoReformatter()
        self.crop = VideoReformatter()


def _scale(scaler: VideoReformatter, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3] RGB, area-averaged where it shrinks."""
    options: dict[str, Any] = {
        "width": width,
        "height": height,
        "format": "rgb24",
        "interpolation": Interpolation.AREA,
    }
    try:
        return scaler.reformat(frame, **options, **_ONE_THREAD).to_ndarray()
    except (av.error.FFmpegError, ValueError):
        # Some files carry a colour matrix that swscale refuses (reserved values); the default one shows a
        # face.
        frame.colorspace = _UNSPECIFIED_COLORSPACE
        return scaler.reformat(frame, **options, **_ONE_THREAD).to_ndarray()


class Frame:
    """A decoded picture in order of presentation.

    Attributes: `index` (from 0 at the clip's first frame), `pts` (units of the stream's time base, as in the
    container), `width` and `height` of the upright picture, `nbytes` held while this object lives.
    """

    __slots__ = ("_orientation", "_picture", "_rgb", "_scalers", "height", "index", "nbytes", "pts", "width")

    def __init__(
        self, index: int, pts: int, picture: av.VideoFrame, orientation: Orientation, scalers: Scalers
    ) -> None:
        self.index = index
        self.pts = pts
        self._picture = picture
        self._orientation = orientation
        self._scalers = scalers
        self._rgb: np.ndarray | None = None
        self.width, self.height = orientation.size(picture.width, picture.height)
        self.nbytes = sum(plane.buffer_size for plane in picture.planes)

    def turned(self, degrees: int) -> Frame:
        """The same picture turned further counterclockwise; shares the decoder's memory."""
        if degrees % 360 == 0:
            return self
        return Frame(self.index, self.pts, self._picture, self._orientation.turned(degrees), self._scalers)

    def rgb(self) -> np.ndarray:
        """The whole upright picture: uint8 [height, width, 3] RGB, a new array."""
        return self._orientation.apply(self._coded_rgb())

    @property
    def image(self) -> np.ndarray:
        """The whole upright picture, as `rgb`."""
        return self.rgb()

    def small(self, side: int) -> tuple[np.ndarray, float]:
        """The upright picture scaled to fit into `side` by `side` pixels.

        Returns uint8 [h, w, 3] RGB with max(h, w) == side, and the scale (small pixels per upright pixel).
        """
        picture = self._picture
        scale = side / max(picture.width, picture.height)
        width = max(1, round(picture.width * scale))
        height = max(1, round(picture.height * scale))
        return self._orientation.apply(_scale(self._scalers.small, picture, width, height)), scale

    def crop(self, center_x: float, center_y: float, side: float, size: int) -> Crop:
        """Cut a square and scale it to `size` by `size` pixels; beyond the picture its edge is repeated.

        `center_x`, `center_y`, `side` are pixels of the upright picture. A crop that shrinks is area-averaged
        and its edges lie on whole chroma samples; one that is enlarged is bilinear and its edges lie between
        whole pixels. The square that was really cut is in the result.
        """
        side = max(1.0, float(side))
        if side > size:
            return self._shrunk_crop(center_x, center_y, side, size)
        across = round(side)
        left, top = round(center_x - across / 2), round(center_y - across / 2)
        piece = self._region(left, top, left + across, top + across)
        image = cv2.resize(piece, (size, size), interpolation=cv2.INTER_LINEAR)
        return Crop(image, float(left), float(top), float(across))

    def _shrunk_crop(self, center_x: float, center_y: float, side: float, size: int) -> Crop:
        picture, orientation = self._picture, self._orientation
        source, grid = self._cuttable()
        half = side / 2
        box = (center_x - half, center_y - half, center_x + half, center_y + half)
        x0, y0, _, _ = orientation.to_coded(box, picture.width, picture.height)
        across = max(grid, round(side / grid) * grid)
        left = round((x0 + (side - across) / 2) / grid) * grid
        top = round((y0 + (side - across) / 2) / grid) * grid
        piece = _cut(source, left, top, left + across, top + across)
        image = orientation.apply(_scale(self._scalers.crop, piece, size, size))
        cut = (float(left), float(top), float(left + across), float(top + across))
        upright = orientation.to_upright(cut, picture.width, picture.height)
        return Crop(image, upright[0], upright[1], float(across))

    def _region(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """uint8 [y1 - y0, x1 - x0, 3] RGB of the upright picture, unscaled, edges repeated."""
        picture, orientation = self._picture, self._orientation
        source, grid = self._cuttable()
        coded = orientation.to_coded((x0, y0, x1, y1), picture.width, picture.height)
        left, top, right, bottom = (int(edge) for edge in coded)
        outer_left, outer_top = left // grid * grid, top // grid * grid
        outer_right, outer_bottom = -(-right // grid) * grid, -(-bottom // grid) * grid
        piece = _cut(source, outer_left, outer_top, outer_right, outer_bottom)
        image = _scale(self._scalers.piece, piece, piece.width, piece.height)
        image = image[top - outer_top : bottom - outer_top, left - outer_left : right - outer_left]
        return orientation.apply(image)

    def _cuttable(self) -> tuple[av.VideoFrame, int]:
        """A picture whose planes can be cut as arrays, and the grid in pixels on which it may be cut."""
        grid = _cutting_grid(self._picture)
        if grid:
            return self._picture, grid
        return av.VideoFrame.from_ndarray(self._coded_rgb(), format="rgb24"), 1

    def _coded_rgb(self) -> np.ndarray:
        if self._rgb is None:
            picture = self._picture
            rgb = _scale(self._scalers.full, picture, picture.width, picture.height)
            if _cutting_grid(picture):
                return rgb
            self._rgb = rgb  # cut again and again by `_cuttable`
        return self._rgb


@functools.cache
def _plane_layout(pixel_format: str) -> tuple[tuple[int, int, int], ...]:
    """(bytes per sample, horizontal step, vertical step in pixels) of every plane of a pixel format.

    Empty where planes cannot be cut as arrays of samples and a picture must be converted first.
    """
    side = 64
    form = av.VideoFormat(pixel_format, side, side)
    if form.has_palette or form.is_bit_stream or getattr(form, "is_bayer", False):
        return ()
    layout = []
    for number in sorted({part.plane for part in form.components}):
        parts = [part for part in form.components if part.plane == number]
        stride = sum(-(-part.bits // 8) for part in parts)
        layout.append((stride, side // min(p.width for p in parts), side // min(p.height for p in parts)))
    # A packed format with shared chroma (yuyv422) does not add up: its bytes are not one sample per pixel.
    bits = sum(8 * stride / (across * down) for stride, across, down in layout)
    return tuple(layout) if abs(bits - form.padded_bits_per_pixel) < 0.5 else ()


def _cutting_grid(picture: av.VideoFrame) -> int:
    """Pixels on whose multiples `picture` can be cut plane by plane; 0 where it must be converted first."""
    layout = _plane_layout(picture.format.name)
    if len(layout) != len(picture.planes):
        return 0
    return max(max(across, down) for _, across, down in layout)


def _cut(picture: av.VideoFrame, x0: int, y0: int, x1: int, y1: int) -> av.VideoFrame:
    """A new frame of the same format: [y0:y1, x0:x1], on the cutting grid; edges are repeated outside."""
    piece = av.VideoFrame(x1 - x0, y1 - y0, picture.format.name)
    for source, target, (stride, across, down) in zip(
        picture.planes, piece.planes, _plane_layout(picture.format.name), strict=True
    ):
        rows, columns = -(-picture.height // down), -(-picture.width // across)
        pixels: np.ndarray = _bytes_of(source)[: rows * source.line_size].reshape(rows, source.line_size)
        pixels = pixels[:, : columns * stride].reshape(rows, columns, stride)
        top, bottom, left, right = y0 // down, y1 // down, x0 // across, x1 // across
        if top < 0 or bottom > rows:
            pixels = pixels[np.clip(np.arange(top, bottom), 0, rows - 1)]
        else:
            pixels = pixels[top:bottom]
        if left < 0 or right > columns:
            pixels = pixels[:, np.clip(np.arange(left, right), 0, columns - 1)]
        else:
            pixels = pixels[:, left:right]
        height, width = bottom - top, (right - left) * stride
        into = _bytes_of(target)[: height * target.line_size].reshape(height, target.line_size)
        into[:, :width] = pixels.reshape(height, width)
    piece.colorspace = picture.colorspace
    piece.color_range = picture.color_range
    return piece


def _bytes_of(plane: Any) -> np.ndarray:
    """uint8 view of a plane's memory, padding included."""
    return np.frombuffer(plane, np.uint8)
