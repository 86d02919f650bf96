"""How large the default regressor's networks are, in each of the shipped sets."""

from __future__ import annotations

import dataclasses

from facecap_batch.training.networks.patch_network import Stages


@dataclasses.dataclass(frozen=True)
class Design:
    """The sizes of a locator and an expression half."""

    locator: Stages
    eye: Stages
    side: Stages
    face: Stages
    hidden: int  # width of the heads


DEFAULT = Design(
    locator=Stages(4, (32, 64, 64, 64), (0, 1, 1, 0), 160),
    eye=Stages(2, (32, 64, 96, 128), (0, 1, 1, 1), 192),
    side=Stages(2, (32, 64, 96, 128), (0, 1, 1, 1), 224),
    face=Stages(4, (64, 96, 128), (0, 1, 2), 256),
    hidden=256,
)
FAST = Design(
    locator=Stages(8, (64, 64, 96), (0, 0, 0), 128),
    eye=Stages(4, (32, 48, 64), (0, 0, 0), 96),
    side=Stages(4, (32, 48, 64), (0, 0, 0), 128),
    face=Stages(8, (64, 64, 96), (0, 0, 0), 128),
    hidden=128,
)
