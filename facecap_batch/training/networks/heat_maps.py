"""Where landmarks lie in a patch: the mean places of heat maps.

In: maps of two of a patch network's stages. Out: places. A linear layer has to make a place out of features
that fire here or there; the mean of a heat map is one (Sun et al. 2018, "Integral human pose regression").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facecap_batch.training.networks.grafting import Grafted

WIDTH = 32  # channels that heat maps are made of


class HeatMaps(Grafted):
    """One map for each landmark, of the cells of the finer stage."""

    def __init__(self, fine: int, coarse: int, landmarks: int) -> None:
        """`fine` and `coarse`: channels of a stage and of the one after it, which sees more around a cell."""
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(fine, WIDTH, 1), nn.Conv2d(coarse, WIDTH, 1)
        self.maps = nn.Conv2d(WIDTH, landmarks, 3, 1, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Maps [B, fine, H, W] and [B, coarse, H / 2, W / 2], rounded up, to places: float32 [B, landmarks,
        2], units of the patch (-1..1, v down)."""
        high, wide = fine.shape[2:]
        around = _doubled(self.coarse(coarse))[:, :, :high, :wide]
        heat = self.maps(torch.relu(self.fine(fine) + around)).float()
        share = heat.flatten(2).softmax(2).unflatten(2, (high, wide))
        across, down = (_middles(cells, share) for cells in (wide, high))
        return torch.stack([(share.sum(2) * across).sum(2), (share.sum(3) * down).sum(2)], 2)


def _doubled(maps: Tensor) -> Tensor:
    """[B, C, H, W] to [B, C, 2 H, 2 W], every cell four times. Without resizing, which changed with ONNX's
    opset 18 and would keep the engine from older TensorRTs (`engines/tensorrt/graph`)."""
    wide = torch.stack([maps, maps], 4).flatten(3)
    return torch.stack([wide, wide], 3).flatten(2, 3)


def _middles(cells: int, like: Tensor) -> Tensor:
    """Of the cells of a row, units of the patch."""
    return (torch.arange(cells, dtype=like.dtype, device=like.device) + 0.5) * (2 / cells) - 1
