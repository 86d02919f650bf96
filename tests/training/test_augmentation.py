"""Pixels as another camera might have taken them: colours, detail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facecap_batch.training.crops import augmentation
from facecap_batch.training.crops.augmentation import to_input
from facecap_batch.training.rendering.dataset import FaceShard


def test_a_picture_without_colour_has_none(shard: FaceShard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "GREY", 1.0)
    grey = to_input(shard.image[:4], np.random.default_rng(0), strength=1e-6)
    torch.testing.assert_close(grey[:, 0], grey[:, 2], atol=1e-3, rtol=0)
    plain = to_input(shard.image[:4], np.random.default_rng(0), strength=0.0)
    torch.testing.assert_close(grey.mean(1), plain.mean(1), atol=1e-2, rtol=0)
    assert (plain[:, 0] - plain[:, 2]).abs().max() > 0.1


def test_pictures_lose_detail_or_gain_it(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).integers(100, 156, (32, 48, 48, 3), np.uint8)

    def detail(soft: float, sharp: float) -> torch.Tensor:
        """float32 [32]: how far pixels are from their neighbours, all else drawn alike."""
        monkeypatch.setattr(augmentation, "SOFT", soft)
        monkeypatch.setattr(augmentation, "SHARP", sharp)
        return to_input(noise, np.random.default_rng(0)).diff(dim=3).abs().mean((1, 2, 3))

    as_they_are = detail(0, 0)
    softened, sharpened = detail(1, 0) / as_they_are, detail(0, 1) / as_they_are
    assert softened.max() < 1.01 and softened.median() < 0.6
    assert sharpened.min() > 0.99 and sharpened.median() > 1.1
    assert (detail(0.5, 0) == as_they_are).float().mean() == pytest.approx(0.5, abs=0.2)
