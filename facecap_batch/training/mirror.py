"""Left and right of a face: what each landmark and each coefficient becomes in the mirror image.

Out: tables of indices. ``labels[list(MIRRORED_CHANNELS)]`` are the labels of the mirrored face. Left and
right are the subject's.
"""

from __future__ import annotations

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import LANDMARKS, POINTS

# These name a direction: the whole jaw or mouth moves there. All other names with a side name half a face.
SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")

# The Multi-PIE landmarks, then the irises and the mouth centre (`default_crop.POINTS`).
MIRRORED_POINTS: tuple[int, ...] = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1), 69, 68, 70,
)  # fmt: skip
assert len(MIRRORED_POINTS) == POINTS
MIRRORED_LANDMARKS: tuple[int, ...] = MIRRORED_POINTS[:LANDMARKS]


def mirrored_name(name: str) -> str:
    """The coefficient that the mirror image shows where a face shows `name`."""
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else name


MIRRORED_CHANNELS: tuple[int, ...] = tuple(ARKIT_NAMES.index(mirrored_name(name)) for name in ARKIT_NAMES)
# Channels of the left half of a face, and of the right half in the same order.
LEFT_CHANNELS: tuple[int, ...] = tuple(
    channel for channel, name in enumerate(ARKIT_NAMES) if name.endswith("Left") and name not in SIDEWAYS
)
RIGHT_CHANNELS: tuple[int, ...] = tuple(MIRRORED_CHANNELS[channel] for channel in LEFT_CHANNELS)
