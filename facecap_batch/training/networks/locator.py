"""The locator: a whole crop to head pose, landmarks and presence.

In: crops, in as many pixels as its design has. Out: head, landmarks, presence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facecap_batch.engines.default_crop import POINTS
from facecap_batch.training.networks.patch_network import COLOURS, PatchNetwork, learnt_in_bfloat16
from facecap_batch.training.networks.sizes import DEFAULT, Design

MEAN_LOG_WIDTH = 3.2  # ln of a crop's width in cm, where training starts from


class Locator(nn.Module):
    """Whole crop to head pose, landmarks and presence."""

    means: Tensor
    darkest: Tensor

    READOUTS = ("head", "points", "presence")  # layers whose output leaves it

    def __init__(self, design: Design = DEFAULT) -> None:
        super().__init__()
        self.side = design.locator_side
        means = _means(design.locator.fold, design.crop // self.side)
        self.register_buffer("means", means, persistent=False)
        self.register_buffer("darkest", -torch.ones(len(means)), persistent=False)
        self.crop = PatchNetwork(self.side, design.locator)
        self.head = nn.Linear(design.locator.features, 6)
        self.points = nn.Linear(design.locator.features, 2 * POINTS)
        self.presence = nn.Linear(design.locator.features, 1)
        for layer in (self.head, self.points):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.head.bias[5] = MEAN_LOG_WIDTH

    def shrunk(self, crop: Tensor) -> Tensor:
        """uint8 [B, S, S, 3] to what `forward` takes: means of whole pixels in -1..1, folded as
        `torch.pixel_unshuffle` folds.

        A convolution takes means, changes the range and folds in one pass, twice as fast as pooling does.
        """
        pixels = crop.permute(0, 3, 1, 2).float()
        return functional.conv2d(pixels, self.means, self.darkest, stride=self.means.shape[2])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """image: float32 [B, 3, side, side], about -1..1, or folded as by `shrunk`. Returns head [B, 6] (yaw,
        pitch, roll in radians; u, v of the head's origin, crop units -1..1; ln of the crop's width in cm),
        points [B, POINTS, 2] (crop units) and presence logits [B]."""
        hidden, _ = learnt_in_bfloat16(self.crop, image)
        return (
            self.head(hidden),
            self.points(hidden).unflatten(1, (POINTS, 2)),
            self.presence(hidden)[:, 0],
        )


def _means(fold: int, step: int) -> Tensor:
    """Weights of `Locator.shrunk`, float32 [3 fold^2, 3, fold * step, fold * step]: of the pixels of a cell
    each output takes those of its colour and its place."""
    places = torch.eye(COLOURS * fold**2).reshape(-1, COLOURS, fold, fold)
    return places.repeat_interleave(step, 2).repeat_interleave(step, 3) / (step**2 * 127.5)
