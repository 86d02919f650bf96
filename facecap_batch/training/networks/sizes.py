"""How large the networks of each shipped set are."""

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


DEFAULT = Design(
    crop=CROP,
    locator_side=CROP // 2,
    windows=windows(48, 56, 96),
    locator=Stages(4, (32, 64, 64, 64), (0, 1, 1, 0), 160),
    eye=Stages(2, (32, 64, 96, 128), (0, 1, 1, 1), 192),
    side=Stages(2, (32, 64, 96, 128), (0, 1, 1, 1), 224),
    face=Stages(4, (64, 96, 128), (0, 1, 2), 256),
    hidden=256,
)
# The same expression half at half the pixels of a side, under a third of the time; a locator to match.
FAST = dataclasses.replace(
    DEFAULT,
    crop=CROP // 2,
    locator_side=CROP // 4,
    windows=windows(24, 28, 48),
    locator=Stages(4, (32, 64, 64), (0, 1, 0), 128),
)
