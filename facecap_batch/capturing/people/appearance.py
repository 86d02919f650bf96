"""How a face looks: the colours of hair, face and clothes, coarse enough to be the same in the next shot.

In: the small image that the detector was given, and a face's box in it. Out: a look, a vector whose distance
from another is small where both show one person. It needs no network and no landmarks. It is blind to the
shape of a face: people with the same hair, skin and clothes look alike, and one person in another light looks
like somebody else (`docs/people.md` holds the measured limits).
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

# Distance, in units of 8-bit CIELAB, below which two mean looks are of one person. Of ten people in 15 clips,
# halves of a clip and clips of one person lie 4 to 18 apart, different people 19 and more.
SAME_LOOK = 18.0


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
_REGIONS = (_Region(-0.45, -0.9, 0.45, 0.6, 5, 7, 1.0), _Region(-0.5, 0.8, 0.5, 1.3, 4, 2, 0.7))
LOOK_SIZE = 3 * sum(region.columns * region.rows for region in _REGIONS)


def look_of(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The look of one face.

    Args:
        image: uint8 [h, w, 3] RGB; beyond it its edge is repeated.
        box: float [4], x0 y0 x1 y1, pixels of `image`.

    Returns:
        float32 [LOOK_SIZE]: the mean colour of each cell in 8-bit CIELAB, scaled so that the Euclidean
        distance of two looks is the root mean square difference of their cells.
    """
    middle_x, middle_y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    side = float(max(box[2] - box[0], box[3] - box[1]))
    parts = []
    for region in _REGIONS:
        cells = cv2.resize(
            image[
                np.ix_(
                    _pixels(middle_y + region.top * side, middle_y + region.bottom * side, image.shape[0]),
                    _pixels(middle_x + region.left * side, middle_x + region.right * side, image.shape[1]),
                )
            ],
            (region.columns, region.rows),
            interpolation=cv2.INTER_AREA,
        )
        colours = cv2.cvtColor(cells, cv2.COLOR_RGB2LAB).astype(np.float32)
        parts.append(colours.ravel() * np.float32(region.weight / np.sqrt(colours.size)))
    return np.concatenate(parts)


def look_distance(first: np.ndarray, second: np.ndarray) -> float:
    """How unlike two looks are, 0 for the same; compare with SAME_LOOK."""
    return float(np.linalg.norm(first - second))


def _pixels(start: float, stop: float, count: int) -> np.ndarray:
    """Indices of the pixels from `start` to `stop`, at least one, those outside 0..count at its edge."""
    first = round(start)
    return np.clip(np.arange(first, max(first + 1, round(stop))), 0, count - 1)
