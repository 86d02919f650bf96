"""FaceBoxes (Zhang et al. 2017, arXiv:1708.05234): rapidly digested layers, inceptions, dense anchors.

In: images. Out: for every anchor a box offset and two logits; `FaceBoxesDetector` is the whole engine as
exported, uint8 image in, decoded boxes and scores out. Parameter names are those of the public PyTorch port,
so its weights load into `FaceBoxes()` as they are. `width` thins every layer, `stem_stride` 2 halves all
strides and anchors: the same network, for faces half as large.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# Anchors per cell of the three levels: (size in strides of the level, anchors along each axis of a cell).
# Section 3.2 of the paper: small anchors are repeated 4 x 4 and 2 x 2 times so that all sizes are tiled
# alike.
LEVEL_ANCHORS: tuple[tuple[tuple[int, int], ...], ...] = (((1, 4), (2, 2), (4, 1)), ((4, 1),), ((4, 1),))
VARIANCE_CENTRE, VARIANCE_SIZE = 0.1, 0.2  # SSD's box coding (Liu et al. 2016)


class ConvBN(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class CRelu(ConvBN):
    """Convolution, batch norm and the ReLU of both signs: twice the channels (Shang et al. 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return torch.relu(torch.cat([x, -x], 1))


class Inception(nn.Module):
    """Four receptive fields side by side; as many channels out as in."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        branch = channels // 4
        self.branch1x1 = ConvBN(channels, branch, 1)
        self.branch1x1_2 = ConvBN(channels, branch, 1)
        self.branch3x3_reduce = ConvBN(channels, reduced, 1)
        self.branch3x3 = ConvBN(reduced, branch, 3)
        self.branch3x3_reduce_2 = ConvBN(channels, reduced, 1)
        self.branch3x3_2 = ConvBN(reduced, branch, 3)
        self.branch3x3_3 = ConvBN(branch, branch, 3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = functional.avg_pool2d(x, 3, 1, 1)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch1x1_2(pooled),
                self.branch3x3(self.branch3x3_reduce(x)),
                self.branch3x3_3(self.branch3x3_2(self.branch3x3_reduce_2(x))),
            ],
            1,
        )


class FaceBoxes(nn.Module):
    """Normalised images to anchor predictions.

    forward: float32 [B, 3, H, W] → offsets float32 [B, P, 4] (coded, see `decode`) and logits float32 [B, P,
    2] (background, face), anchors in the order of `anchors`.
    """

    def __init__(self, width: float = 1.0, stem_stride: int = 4) -> None:
        super().__init__()
        if stem_stride not in (2, 4):
            raise ValueError(f"stem_stride is 2 or 4, not {stem_stride}")

        def thin(channels: int) -> int:
            return max(8, round(channels * width / 8) * 8)

        self.width, self.stem_stride = width, stem_stride
        self.strides = (8 * stem_stride, 16 * stem_stride, 32 * stem_stride)
        stem, middle, trunk, reduced = thin(24), thin(64), thin(128), thin(24)
        trunk = 2 * middle
        self.conv1 = CRelu(3, stem, 7, stem_stride)
        self.conv2 = CRelu(2 * stem, middle, 5, 2)
        self.inception1 = Inception(trunk, reduced)
        self.inception2 = Inception(trunk, reduced)
        self.inception3 = Inception(trunk, reduced)
        self.conv3_1 = ConvBN(trunk, trunk, 1)
        self.conv3_2 = ConvBN(trunk, 2 * trunk, 3, 2)
        self.conv4_1 = ConvBN(2 * trunk, trunk, 1)
        self.conv4_2 = ConvBN(trunk, 2 * trunk, 3, 2)
        counts = [sum(repeats**2 for _, repeats in level) for level in LEVEL_ANCHORS]
        sources = (trunk, 2 * trunk, 2 * trunk)
        self.loc = nn.Sequential(
            *(nn.Conv2d(c, 4 * n, 3, 1, 1) for c, n in zip(sources, counts, strict=True))
        )
        self.conf = nn.Sequential(
            *(nn.Conv2d(c, 2 * n, 3, 1, 1) for c, n in zip(sources, counts, strict=True))
        )
        self._initialise()

    def _initialise(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                fan_in = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
                nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_in))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for head in (*self.loc, *self.conf):
            nn.init.normal_(head.weight, 0.0, 0.01)
        for head in self.conf:
            head.bias.data[0::2] = 2.0  # type: ignore[operator]  # most anchors hold no face

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.max_pool2d(self.conv1(image), 3, 2, 1)
        x = functional.max_pool2d(self.conv2(x), 3, 2, 1)
        first = self.inception3(self.inception2(self.inception1(x)))
        second = self.conv3_2(self.conv3_1(first))
        third = self.conv4_2(self.conv4_1(second))
        sources = (first, second, third)
        offsets = [head(x).permute(0, 2, 3, 1).flatten(1) for head, x in zip(self.loc, sources, strict=True)]
        logits = [head(x).permute(0, 2, 3, 1).flatten(1) for head, x in zip(self.conf, sources, strict=True)]
        return torch.cat(offsets, 1).unflatten(1, (-1, 4)), torch.cat(logits, 1).unflatten(1, (-1, 2))

    def anchors(self, height: int, width: int) -> np.ndarray:
        """float32 [P, 4]: centre x, centre y, width, height in pixels of a `height` x `width` image."""
        return np.concatenate([grid.reshape(-1, 4) for grid in self.anchor_grids(height, width)])

    def step(self, size: int) -> int:
        """Pixels that height and width of an image may be multiples of, up to `size`; 0 where there is only
        `size` itself."""
        coarsest = self.strides[-1]
        return coarsest if size % coarsest == 0 and size > coarsest else 0

    def anchor_grids(self, height: int, width: int) -> list[np.ndarray]:
        """`anchors` of each level, float32 [rows, columns, anchors of a cell, 4]."""
        grids: list[np.ndarray] = []
        for stride, level in zip(self.strides, LEVEL_ANCHORS, strict=True):
            y, x = np.mgrid[0 : math.ceil(height / stride), 0 : math.ceil(width / stride)]
            cell: list[tuple[float, float, float]] = []
            for size, repeats in level:
                # A single anchor sits in the middle of its cell, repeated ones begin at its corner.
                steps = [0.5] if repeats == 1 else [k / repeats for k in range(repeats)]
                cell += [(dx, dy, size * stride) for dy in steps for dx in steps]
            shape = np.array(cell)
            centre_x = (x[..., None] + shape[:, 0]) * stride
            centre_y = (y[..., None] + shape[:, 1]) * stride
            side = np.broadcast_to(shape[:, 2], centre_x.shape)
            grids.append(np.stack([centre_x, centre_y, side, side], -1).astype(np.float32))
        return grids


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Coded `offsets` [..., P, 4] at `anchors` [P, 4] (centre, size) to boxes [..., P, 4], x0 y0 x1 y1."""
    centre = anchors[:, :2] + offsets[..., :2] * (VARIANCE_CENTRE * anchors[:, 2:])
    half = 0.5 * anchors[:, 2:] * torch.exp(offsets[..., 2:] * VARIANCE_SIZE)
    return torch.cat([centre - half, centre + half], -1)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `decode`: boxes [P, 4] at anchors [P, 4] to offsets [P, 4]."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1e-3)
    return torch.cat(
        [
            (centre - anchors[:, :2]) / (VARIANCE_CENTRE * anchors[:, 2:]),
            torch.log(size / anchors[:, 2:]) / VARIANCE_SIZE,
        ],
        1,
    )


class FaceBoxesDetector(nn.Module):
    """The engine as exported: normalisation, network, decoding.

    forward: uint8 [B, H, W, 3] RGB, H and W multiples of the coarsest stride up to `size` (or `size`
    itself) → boxes float32 [B, P, 4] (x0 y0 x1 y1, pixels of the input) and scores float32 [B, P] (0..1).
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        network: FaceBoxes,
        size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        bgr: bool = False,
        doubt: float = 0.0,
    ) -> None:
        """`mean` and `std` are RGB, 0..255; `bgr`: the network was trained on BGR images.

        `doubt` is subtracted from every face's logit: hard negative mining shows a network far more faces
        than there are, so that its own 0.5 is too sure.
        """
        super().__init__()
        self.network = network
        self.doubt = doubt
        self.order = [2, 1, 0] if bgr else [0, 1, 2]
        self.register_buffer("mean", torch.tensor([mean[k] for k in self.order]).view(1, 3, 1, 1))
        self.register_buffer("scale", 1.0 / torch.tensor([std[k] for k in self.order]).view(1, 3, 1, 1))
        for level, anchors in enumerate(network.anchor_grids(size, size)):
            self.register_buffer(f"anchors{level}", torch.from_numpy(anchors))

    def normalise(self, image: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] RGB to what the network was trained on, float32 [B, 3, H, W]."""
        pixels = image.permute(0, 3, 1, 2).float()
        if self.order != [0, 1, 2]:
            pixels = torch.cat([pixels[:, k : k + 1] for k in self.order], 1)
        return (pixels - self.mean) * self.scale

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        offsets, logits = self.network(self.normalise(image))
        scores = torch.sigmoid(logits[..., 1] - logits[..., 0] - self.doubt)
        return decode(offsets, self.anchors(image.shape[1], image.shape[2])), scores

    def anchors(self, height: int, width: int) -> Tensor:
        """float32 [P, 4]: those of the network that lie in an image of `height` x `width`."""
        parts = []
        for level, stride in enumerate(self.network.strides):
            whole: Tensor = getattr(self, f"anchors{level}")
            rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
            parts.append(whole[:rows, :columns].reshape(-1, 4))
        return torch.cat(parts)
