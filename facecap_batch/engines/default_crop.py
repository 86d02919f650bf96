"""What the default regressor, its renderer and its card agree on about a face crop; no torch here."""

from __future__ import annotations

CROP = 192  # pixels, side of a crop
CROP_SCALE = 1.5  # side of a crop over the longer side of its face box
LANDMARKS = 68  # Multi-PIE
POINTS = LANDMARKS + 3  # and the left iris, the right iris, the mouth centre of the face at rest
