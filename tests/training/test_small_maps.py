"""The convolution of small maps: the same answers and gradients as any other."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from facecap_batch.training.networks import small_maps
from facecap_batch.training.networks.patch_network import Convolution


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (7, 1), (6, 2), (7, 2)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_weights_have_the_gradient_of_a_convolution(
    side: int, stride: int, order: torch.memory_format
) -> None:
    torch.manual_seed(0)
    maps = torch.randn(5, 4, side, side).contiguous(memory_format=order)
    weight = torch.randn(6, 4, 3, 3, requires_grad=True)
    out = functional.conv2d(maps, weight, stride=stride, padding=1)
    gradient = torch.randn_like(out)
    out.backward(gradient)
    assert weight.grad is not None
    torch.testing.assert_close(small_maps.weight_gradient(maps, gradient, stride), weight.grad)


def test_a_layer_learns_the_same_in_bfloat16_from_small_maps_as_in_float32() -> None:
    torch.manual_seed(0)
    layer = Convolution(32, 64, 2)
    small, large = 2 * small_maps.LARGEST_SIDE, 2 * small_maps.LARGEST_SIDE + 2
    for side in (small, large):
        found = []
        for in_bfloat16 in (False, True):
            layer.zero_grad()
            maps = torch.randn(4, 32, side, side, generator=torch.Generator().manual_seed(1))
            maps.requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
                out = layer(maps)
            assert out.dtype == (torch.bfloat16 if in_bfloat16 else torch.float32)
            out.float().square().sum().backward()
            assert layer.weight.grad is not None and maps.grad is not None
            found.append((out.detach().float(), layer.weight.grad.clone(), maps.grad))
        for plain, quick in zip(*found, strict=True):
            assert (plain - quick).norm() < 0.01 * plain.norm()
