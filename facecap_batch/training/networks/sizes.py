"""How large the networks of each shipped set are, and of one that teaches them."""

from __future__ import annotations

import dataclasses

from facecap_batch.engines.default_crop import CROP
from facecap_batch.training.networks.patch_network import Stages
from facecap_batch.training.networks.patches import Windows, narrow_windows, windows


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


_EYE, _SIDE, _FACE = (
    Stages(2, (32, 64, 96, 128), (0, 1, 1, 1), 192),
    Stages(2, (32, 64, 96, 128), (0, 1, 1, 1), 224),
    Stages(4, (64, 96, 128), (0, 1, 2), 256),
)
DEFAULT = Design(
    crop=CROP,
    locator_side=CROP // 2,
    windows=windows(48, 56, 96),
    locator=Stages(4, (32, 64, 64, 64), (0, 1, 1, 0), 160),
    eye=_EYE,
    side=_SIDE,
    face=_FACE,
    hidden=256,
)
# Twice the multiply-adds: one residual block more in the first three stages of eyes and sides, and in one of
# the face. It learnt from patches without forehead and chin.
TEACHER = dataclasses.replace(
    DEFAULT,
    windows=narrow_windows(48, 56, 96),
    eye=dataclasses.replace(_EYE, residuals=(1, 2, 2, 1)),
    side=dataclasses.replace(_SIDE, residuals=(1, 2, 2, 1)),
    face=dataclasses.replace(_FACE, residuals=(0, 2, 2)),
)
# Half the pixels of a side: a quarter of the multiply-adds; heat maps of as many cells; a locator to match.
FAST = dataclasses.replace(
    DEFAULT,
    crop=CROP // 2,
    locator_side=CROP // 4,
    windows=windows(24, 28, 48),
    locator=Stages(4, (32, 64, 64), (0, 1, 0), 128),
    eye=dataclasses.replace(_EYE, heat=0),
    side=dataclasses.replace(_SIDE, heat=0),
    face=dataclasses.replace(_FACE, heat=0),
)
