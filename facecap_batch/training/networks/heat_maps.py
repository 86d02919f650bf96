"""Where landmarks lie in a patch: the mean places of heat maps.

In: maps of two of a patch network's stages. Out: heat maps, and places. A linear layer has to make a place
out of features that fire here or there; the mean of a heat map is one (Sun et al. 2018, "Integral human pose
regression").
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
        """Maps [B, fine, H, W] and [B, coarse, H / 2, W / 2], rounded up, to heat [B, landmarks, H, W]."""
        around = _doubled(self.coarse(coarse), fine.shape[2], fine.shape[3])
        heat: Tensor = self.maps(torch.relu(self.fine(fine) + around))
        return heat


def mean_places(heat: Tensor) -> Tensor:
    """Heat [B, landmarks, H, W] to places: float32 [B, landmarks, 2], units of the patch (-1..1, v down)."""
    high, wide = heat.shape[2:]
    share = heat.float().flatten(2).softmax(2)
    across, down = _middles(wide, share), _middles(high, share)
    # A product of matrices: sums over rows and columns cost an engine several times as much.
    places: Tensor = share @ torch.stack([across.repeat(high), down.repeat_interleave(wide)], 1)
    return places


def _doubled(maps: Tensor, high: int, wide: int) -> Tensor:
    """[B, C, H / 2, W / 2], rounded up, to [B, C, H, W], every cell four times.

    By a matrix of ones and zeros: resizing changed with ONNX's opset 18 and would keep the engine from older
    TensorRTs (`engines/tensorrt/graph`), and copies cost several times as much.
    """
    cells = maps.shape[3]
    source = torch.arange(high)[:, None] // 2 * cells + torch.arange(wide) // 2
    taken = nn.functional.one_hot(source.flatten(), maps.shape[2] * cells).to(maps)
    doubled: Tensor = (maps.flatten(2) @ taken.T).unflatten(2, (high, wide))
    return doubled


def _middles(cells: int, like: Tensor) -> Tensor:
    """Of the cells of a row, units of the patch."""
    return (torch.arange(cells, dtype=like.dtype, device=like.device) + 0.5) * (2 / cells) - 1
