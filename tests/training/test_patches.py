"""Patches of a crop, cut folded."""

from __future__ import annotations

import pytest
import torch

from facecap_batch.training.networks.expression import Expression
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.networks.patches import cut
from facecap_batch.training.networks.sizes import DEFAULT, FAST
from facecap_batch.training.rendering import dataset
from tests.support.crops import batch_of, true_alignment


@pytest.mark.parametrize("design", [DEFAULT, FAST])
def test_patches_may_be_cut_folded(shard, design):
    """The order in which pixels are copied folds them as `pixel_unshuffle` does; what comes folded is read
    as what is folded later, and means of pixels come folded as they would be."""
    batch = batch_of(shard, 4)
    crop = torch.from_numpy(dataset.resized(batch.image, design.crop))
    sides = [window.side for window in design.windows.each]
    folds = [stages.fold for stages in (design.eye, design.eye, design.side, design.side, design.face)]
    affines = true_alignment(batch).affines(design)
    network = Expression(design).eval()
    for part, patch, fold in zip(
        cut(crop, affines, sides, folds), cut(crop, affines, sides), folds, strict=True
    ):
        assert torch.equal(part, torch.pixel_unshuffle(patch, fold))
    face, folded = cut(crop, affines, sides)[-1], cut(crop, affines, sides, folds)[-1]
    assert torch.equal(network.face(face), network.face(folded))
    locator = Locator(design)
    step = design.crop // design.locator_side
    means = torch.nn.functional.avg_pool2d(crop.permute(0, 3, 1, 2).float(), step) / 127.5 - 1
    expected = torch.pixel_unshuffle(means, design.locator.fold)
    torch.testing.assert_close(locator.shrunk(crop), expected, atol=1e-5, rtol=0)
