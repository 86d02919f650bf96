"""How large the networks are: in each of the shipped sets, and in the one that teaches."""

from __future__ import annotations

import dataclasses

from facecap_batch.engines.default_crop import CROP
from facecap_batch.training.networks.patch_network import Stages
from facecap_batch.training.networks.patches import Windows, windows


@dataclasses.dataclass(frozen=True)
class Design:
    """The sizes of a locator and an expression half."""

    crop: int  # pixels, side of the crops that it takes
    locator_side: int  # pixels, side of what the locator sees of them
    windows: Windows
    locator: Stages
    eye: Stages
    side: Stages
    face: Stages
    hidden: int  # width of the heads


# All pixels of a crop. It is not shipped: faces in footage are softer than rendered ones, and what it learns
# of fine detail carries over to them less well than what DEFAULT learns. It teaches.
LARGE = Design(
    crop=CROP,
    locator_side=CROP // 2,
    windows=windows(48, 56, 96),
    locator=Stages(4, (32, 64, 64, 64), (0, 1, 1, 0), 160),
    eye=Stages(2, (32, 64, 96, 128), (0, 1, 1, 1), 192),
    side=Stages(2, (32, 64, 96, 128), (0, 1, 1, 1), 224),
    face=Stages(4, (64, 96, 128), (0, 1, 2), 256),
    hidden=256,
)
# The same networks at half the pixels of a side: a quarter of the time.
DEFAULT = dataclasses.replace(LARGE, crop=CROP // 2, windows=windows(24, 28, 48))
# Narrower ones: half of that.
FAST = Design(
    crop=CROP // 2,
    locator_side=CROP // 4,
    windows=windows(24, 28, 48),
    locator=Stages(4, (32, 64, 64), (0, 1, 0), 128),
    eye=Stages(2, (32, 48, 64), (0, 0, 1), 96),
    side=Stages(2, (32, 48, 64), (0, 0, 1), 128),
    face=Stages(4, (64, 96, 96), (0, 0, 1), 128),
    hidden=128,
)
