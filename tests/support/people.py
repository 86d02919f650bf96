"""Pictures of several people: discs, told apart by the shade of grey of their hair and clothes."""

from __future__ import annotations

import numpy as np

from tests.support.discs import scene

WIDTH, HEIGHT = 480, 270

Place = tuple[float, float, float, int]  # centre x, y and radius in pixels, shade of hair and clothes


def crowd(*people: Place, background: int = 120) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3]: people, the later before the earlier."""
    image = np.full((HEIGHT, WIDTH, 3), background, np.uint8)
    for x, y, radius, shade in people:
        top, bottom = round(max(0, y - 2 * radius)), round(y + 3 * radius)
        left, right = round(max(0, x - 1.3 * radius)), round(x + 1.3 * radius)
        image[top:bottom, left:right] = shade
        disc = scene(WIDTH, HEIGHT, (x, y, radius), shade=0)
        inside = disc.any(axis=2)
        image[inside] = disc[inside]
    return image
