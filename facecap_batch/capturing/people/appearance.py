"""How a face looks: the colours of hair, face and clothes, coarse enough to be the same in the next shot.

In: the small image that faces were found in, and a face's box in it. Out: a look; and the mean of many,
and how far two are apart, which is little where both show one person. It needs no network and no landmarks.
It is blind to the shape of a face: people with the same hair, skin and clothes look alike, and one person in
another light looks like somebody else (`docs/people.md` holds the measured limits).
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

# Distance, in units of 8-bit CIELAB, below which two mean looks are of one person. Of ten people in 15 clips,
# shots of one person lie 4 to 18 apart nine times of ten, different people 16 and more, mostly above 20.
SAME_LOOK = 18.0
# Of the cells, by weight: with fewer in common two looks cannot be compared.
MIN_COMMON = 0.3


@dataclasses.dataclass(frozen=True)
class _Region:
    """A rectangle about a face, in longer sides of its box from the box's middle, divided into cells."""

    left: float
    top: float
    right: float
    bottom: float
    columns: int
    rows: int
    weight: float  # of the whole region


# Hair and face; the corners of a wider rectangle would be background. Then what is worn below the neck.
_REGIONS = (_Region(-0.45, -0.9, 0.45, 0.6, 5, 7, 1.0), _Region(-0.5, 0.8, 0.5, 1.3, 4, 2, 0.5))
# float64 [CELLS]: what a cell counts.
_WEIGHTS = np.concatenate(
    [
        np.full(region.columns * region.rows, region.weight / (region.columns * region.rows))
        for region in _REGIONS
    ]
)
# A look is taken from the box as it was found and from a smaller one: detectors draw the box of one face
# larger or smaller by about so much, by its place and size.
_SCALES = (1.0, 0.8)
LOOK_SHAPE = (len(_SCALES), len(_WEIGHTS), 3)


def look_of(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The look of one face.

    Args:
        image: uint8 [h, w, 3] RGB.
        box: float [4], x0 y0 x1 y1, pixels of `image`.

    Returns:
        float32 LOOK_SHAPE: for both scales the mean colour of each cell in 8-bit CIELAB; NaN for cells
        outside the image.
    """
    middle = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    side = float(max(box[2] - box[0], box[3] - box[1]))
    return np.array(
        [
            np.concatenate([_colours(image, middle, scale * side, region) for region in _REGIONS])
            for scale in _SCALES
        ]
    )


def _colours(image: np.ndarray, middle: tuple[float, float], side: float, region: _Region) -> np.ndarray:
    """float32 [rows * columns, 3]: the colours of the cells of a region."""
    x = _pixels(middle[0] + region.left * side, middle[0] + region.right * side)
    y = _pixels(middle[1] + region.top * side, middle[1] + region.bottom * side)
    height, width = image.shape[:2]
    patch = image[np.ix_(np.clip(y, 0, height - 1), np.clip(x, 0, width - 1))]
    size = (region.columns, region.rows)
    cells = cv2.resize(patch, size, interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(cells, cv2.COLOR_RGB2LAB).astype(np.float32)
    inside = np.outer((y >= 0) & (y < height), (x >= 0) & (x < width)).astype(np.float32)
    colours[cv2.resize(inside, size, interpolation=cv2.INTER_AREA) < 0.5] = np.nan
    return colours.reshape(-1, 3)


def _pixels(start: float, stop: float) -> np.ndarray:
    """Indices of the pixels from `start` to `stop`, at least one."""
    first = round(start)
    return np.arange(first, max(first + 1, round(stop)))


class MeanLook:
    """The mean of many looks of one face, cell by cell."""

    def __init__(self) -> None:
        self._sum = np.zeros(LOOK_SHAPE)
        self._weight = np.zeros((*LOOK_SHAPE[:2], 1))  # 0: the cell was never inside the image

    def add(self, look: np.ndarray, weight: float) -> None:
        """Count `look`, float32 LOOK_SHAPE, with a weight above 0."""
        known = np.isfinite(look)
        self._sum += weight * np.where(known, look, 0.0)
        self._weight += weight * known[..., :1]

    def merge(self, other: MeanLook) -> None:
        """Count everything that `other` counts."""
        self._sum += other._sum
        self._weight += other._weight

    def value(self) -> np.ndarray:
        """float64 LOOK_SHAPE; NaN where nothing is known."""
        known = self._weight > 0
        return np.where(known, self._sum / np.where(known, self._weight, 1.0), np.nan)


def look_distances(look: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far a look is apart from others; compare with SAME_LOOK.

    Args:
        look: float LOOK_SHAPE.
        others: float [N, *LOOK_SHAPE].

    Returns:
        float64 [N]: the weighted root mean square difference of the cells that both know, 0 for the same
        look, in the scales that fit best; infinite where these cells are too few to tell.
    """
    as_found = [_cell_distances(look[0], others[:, scale]) for scale in range(len(_SCALES))]
    smaller = [_cell_distances(look[scale], others[:, 0]) for scale in range(1, len(_SCALES))]
    nearest: np.ndarray = np.min([*as_found, *smaller], axis=0)
    return nearest


def _cell_distances(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """As `look_distances`, of one scale each: `cells` float [C, 3], `others` float [N, C, 3]."""
    squares = np.square(others - cells).mean(axis=2)
    weights = np.where(np.isfinite(squares), _WEIGHTS, 0.0)
    common = weights.sum(axis=1)
    mean = (np.nan_to_num(squares) * weights).sum(axis=1) / np.maximum(common, 1e-9)
    return np.where(common < MIN_COMMON * _WEIGHTS.sum(), np.inf, np.sqrt(mean * _WEIGHTS.sum()))
