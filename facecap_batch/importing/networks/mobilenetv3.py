"""MobileNetV3 (Howard et al. 2019, arXiv:1905.02244), small and large, with any number of outputs, and its
blocks.

The tables below are tables 1 and 2 of the paper; `ConvBNAct`, `SqueezeExcite` and `InvertedResidual` are
reused by the default regressor.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "hardswish"]
# kernel, expansion, output channels, squeeze-and-excite, activation, stride
_Row = tuple[int, int, int, bool, Activation, int]
_SMALL: tuple[_Row, ...] = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2),
    (5, 240, 40, True, "hardswish", 1),
    (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1),
    (5, 144, 48, True, "hardswish", 1),
    (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1),
    (5, 576, 96, True, "hardswish", 1),
)
_LARGE: tuple[_Row, ...] = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hardswish", 2),
    (3, 200, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 480, 112, True, "hardswish", 1),
    (3, 672, 112, True, "hardswish", 1),
    (5, 672, 160, True, "hardswish", 2),
    (5, 960, 160, True, "hardswish", 1),
    (5, 960, 160, True, "hardswish", 1),
)
_TAIL = {"small": (576, 1024), "large": (960, 1280)}


def divisible(channels: float, divisor: int = 8) -> int:
    """`channels` rounded to a multiple of `divisor`, never more than a tenth below."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _activation(name: Activation | None) -> nn.Module:
    if name is None:
        return nn.Identity()
    return nn.ReLU(inplace=True) if name == "relu" else nn.Hardswish(inplace=True)


class ConvBNAct(nn.Sequential):
    """Convolution, batch normalisation, activation (none where `activation` is None)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: Activation | None = "relu",
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            _activation(activation),
        )


class SqueezeExcite(nn.Module):
    """Channel weights from the global mean, reduced by four, gated by a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, divisible(channels / 4), 1)
        self.expand = nn.Conv2d(divisible(channels / 4), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * nn.functional.hardsigmoid(self.expand(weight))


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze-and-excite, project; residual where shapes allow."""

    def __init__(
        self,
        inputs: int,
        expanded: int,
        outputs: int,
        kernel: int,
        stride: int,
        squeeze: bool,
        activation: Activation,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(ConvBNAct(inputs, expanded, 1, activation=activation))
        layers.append(ConvBNAct(expanded, expanded, kernel, stride, groups=expanded, activation=activation))
        if squeeze:
            layers.append(SqueezeExcite(expanded))
        layers.append(ConvBNAct(expanded, outputs, 1, activation=None))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.residual else out


class MobileNetV3(nn.Module):
    """RGB crops to `num_outputs` numbers.

    forward: float32 [B, 3, H, W], about -1..1 → float32 [B, num_outputs], linear.
    """

    def __init__(
        self,
        variant: Literal["small", "large"] = "small",
        num_outputs: int = 57,
        width: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if variant not in _TAIL:
            raise ValueError(f"variant is 'small' or 'large', not {variant!r}")
        if num_outputs < 1:
            raise ValueError(f"num_outputs must be at least 1, not {num_outputs}")
        last, hidden = _TAIL[variant]
        channels = divisible(16 * width)
        layers: list[nn.Module] = [ConvBNAct(3, channels, 3, 2, activation="hardswish")]
        for kernel, expanded, outputs, squeeze, activation, stride in (
            _SMALL if variant == "small" else _LARGE
        ):
            out = divisible(outputs * width)
            layers.append(
                InvertedResidual(
                    channels, divisible(expanded * width), out, kernel, stride, squeeze, activation
                )
            )
            channels = out
        layers.append(ConvBNAct(channels, divisible(last * width), 1, activation="hardswish"))
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(divisible(last * width), hidden),
            nn.Hardswish(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_outputs),
        )
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.features(image).mean((2, 3)))
        return outputs


def initialise(module: nn.Module) -> None:
    """He initialisation by fan-in: fan-out starves depthwise layers, which then never learn at a high
    rate."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_in))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, math.sqrt(1.0 / layer.in_features))
            nn.init.zeros_(layer.bias)
