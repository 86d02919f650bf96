"""A square picture to features: what locator and expression half are built from.

Plain convolutions, which CPUs run faster than separable ones, with channels in multiples of 32, which their
matrix units want.
"""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor, nn

from facecap_batch.training.networks import small_maps
from facecap_batch.training.networks.grafting import Grafted
from facecap_batch.training.networks.heat_maps import HeatMaps, mean_places

COLOURS = 3  # of a pixel
MIN_CONTRAST = 0.05  # added to a patch's contrast before it is divided by


@dataclasses.dataclass(frozen=True)
class Stages:
    """The shape of one patch's network: the patch is folded `fold` x `fold`, each stage after the first
    halves it."""

    fold: int  # pixels of a side that become channels
    widths: tuple[int, ...]  # channels of each stage
    residuals: tuple[int, ...]  # residual blocks of each stage
    features: int  # what it ends in
    heat: int = 1  # the stage whose cells heat maps have, from 0


class Convolution(nn.Conv2d):
    """3 x 3, without a bias."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__(channels, out, 3, stride, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """[B, channels, H, W] to [B, out, H / stride, W / stride]."""
        stride = self.stride[0]
        in_bfloat16 = maps.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if in_bfloat16 and maps.shape[-1] <= small_maps.LARGEST_SIDE * stride:
            return small_maps.convolution(maps, self.weight, stride)
        return super().forward(maps)


class Residual(Grafted):
    """Two convolutions whose sum with what came in goes on (He et al. 2016).

    It begins as nothing (Goyal et al. 2017, section 5.1): put into a trained network, it changes nothing at
    first.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _convolution(channels, channels, 1),
            Convolution(channels, channels),
            nn.BatchNorm2d(channels),
        )
        nn.init.zeros_(self.inner[-1].get_parameter("weight"))

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [B, C, H, W] to the same."""
        out: Tensor = torch.relu(maps + self.inner(maps))
        return out


class Stage(nn.Sequential):
    """One resolution: a convolution that leads to it, and residual blocks."""

    def __init__(self, channels: int, width: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.entry = _convolution(channels, width, stride)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))


class PatchNetwork(nn.Module):
    """A square patch to a feature vector and heat maps of landmarks."""

    def __init__(self, side: int, stages: Stages, landmarks: int = 0) -> None:
        """`side`: of the patch, pixels; `landmarks`: how many have their places in it read."""
        super().__init__()
        self.seen = stages.features + 2 * landmarks  # how many numbers it gives: features and places
        self.heat = stages.heat
        self.folded = nn.PixelUnshuffle(stages.fold)
        channels, cells = COLOURS * stages.fold**2, side // stages.fold
        self.stages = nn.Sequential()
        for number, (width, blocks) in enumerate(zip(stages.widths, stages.residuals, strict=True)):
            stride = 1 if number == 0 else 2
            self.stages.append(Stage(channels, width, blocks, stride))
            channels, cells = width, -(-cells // stride)
        self.out = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * cells * cells, stages.features), nn.ReLU(inplace=True)
        )
        fine, coarse = stages.widths[stages.heat : stages.heat + 2]
        self.places = HeatMaps(fine, coarse, landmarks) if landmarks else None

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """cells: float32 [B, 3 fold^2, side / fold, side / fold], any range, a patch folded as
        `torch.pixel_unshuffle` folds: light and contrast are taken out first. Returns features [B, F] and
        heat maps [B, landmarks, H, W]."""
        colours = (
            cells.flatten(2).unflatten(1, (COLOURS, -1)).flatten(2)
        )  # long rows are what CPUs are fast at
        centred = colours - colours.mean(2, keepdim=True)
        contrast = centred.square().mean((1, 2), keepdim=True).sqrt()
        here, maps = (centred / (contrast + MIN_CONTRAST)).reshape(cells.shape), []
        for stage in self.stages:
            here = stage(here)
            maps.append(here)
        features = self.out(here)
        fine, coarse = maps[self.heat : self.heat + 2]
        return features, self.places(fine, coarse) if self.places else fine[:, :0]


def _convolution(channels: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Convolution(channels, out, stride), nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def learnt_in_bfloat16(network: PatchNetwork, patch: Tensor) -> tuple[Tensor, Tensor]:
    """The features, float32 [B, F], and places, float32 [B, n, 2], of `patch`, which is float32 [B, 3, side,
    side] or folded already.

    In training features are reckoned in bfloat16 where the device has instructions for it, which is several
    times as fast; the engine is float32.
    """
    # Folded before a compiled network sees it, which would spend a tenth of its step on that.
    cells = network.folded(patch) if patch.shape[1] == COLOURS else patch
    fast = network.training and _has_bfloat16(patch.device.type)
    with torch.autocast(patch.device.type, torch.bfloat16, enabled=fast):
        features, heat = network(cells)
    return features.float(), mean_places(heat)


@functools.cache
def _has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is no slower than float32. CPUs without AVX-512 emulate it at a tenth of the speed."""
    return device != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
