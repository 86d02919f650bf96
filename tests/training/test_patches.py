"""Patches of a crop: cut folded, and bent."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import CROP
from facecap_batch.training.crops.alignment import marks_in_patch, warp
from facecap_batch.training.crops.augmentation import AUGMENTATION
from facecap_batch.training.crops.batches import PICTURES
from facecap_batch.training.crops.bending import random_bends
from facecap_batch.training.crops.examples import example
from facecap_batch.training.networks.expression import Expression
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.networks.patches import cut
from facecap_batch.training.networks.sizes import DEFAULT, FAST
from facecap_batch.training.rendering import dataset
from tests.support.crops import batch_of, example_of, true_alignment


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
    assert torch.equal(network.look(face)[0].numbers, network.look(folded)[0].numbers)
    locator = Locator(design)
    step = design.crop // design.locator_side
    means = torch.nn.functional.avg_pool2d(crop.permute(0, 3, 1, 2).float(), step) / 127.5 - 1
    expected = torch.pixel_unshuffle(means, design.locator.fold)
    torch.testing.assert_close(locator.shrunk(crop), expected, atol=1e-5, rtol=0)


def test_bent_patches_show_landmarks_where_they_are_said_to_be(shard):
    """Dots drawn where landmarks lie are found in bent patches where their labels are put, and elsewhere
    than in straight ones; all pictures of a person are bent alike, two people otherwise."""
    batch, window = batch_of(shard, 4), DEFAULT.windows.face
    affine = true_alignment(batch).affines(DEFAULT)[-1]
    bend = random_bends(np.random.default_rng(3), people=2, pictures=2, strength=4.0)[-1]
    straight = marks_in_patch(batch.points, affine, window.side, CROP)
    bent = marks_in_patch(batch.points, affine, window.side, CROP, bend)
    assert (bent - straight).norm(dim=2).max() > 0.1
    seen = 0
    for mark in (30, 36, 45, 48, 54):
        dots = np.zeros_like(batch.image)
        for row, (x, y) in enumerate(
            ((batch.points[:, mark].numpy() + 1) * (CROP / 2) - 0.5).round().astype(int)
        ):
            cv2.circle(dots[row], (int(x), int(y)), 4, (255, 255, 255), -1)
        for row, patch in enumerate(warp(dots, affine, window.side, bend)):
            rows, columns = np.nonzero(patch[..., 0])
            place = (np.array([columns.mean(), rows.mean()]) + 0.5) * (2 / window.side) - 1
            np.testing.assert_allclose(bent[row, mark], place, atol=1.5 * 2 / window.side)
            seen += 1
    assert seen == 20
    shown = bend.shown(window.side)
    assert len(shown) == 2 and np.abs(shown[0] - shown[1]).max() > 1.0


def test_augmented_examples_are_bent_with_their_landmarks(shard):
    """Every window's landmarks lie elsewhere than in the straight patches of the same cuts."""
    batch = batch_of(shard, PICTURES)
    bent = example(batch, true_alignment(batch), np.random.default_rng(4), AUGMENTATION, DEFAULT)
    for straight, moved in zip(example_of(batch).marks, bent.marks, strict=True):
        assert (moved - straight).abs().max() > 0.01


def test_patches_show_forehead_and_chin(shard):
    """What folds above the brows and what the jaw moves is seen where brows and jaw are read: of faces that
    look at the camera the eye patches reach a centimetre above the brows and the sides reach the chin."""
    batch = batch_of(shard, 8)
    facing = batch.head[:, :2].abs().amax(1) < 0.4
    assert facing.sum() >= 2
    eye, _, side, _, _ = true_alignment(batch).affines(DEFAULT)
    brows = marks_in_patch(batch.points[:, 22:27], eye, DEFAULT.windows.eye.side, CROP)
    above = 1.0 / (DEFAULT.windows.eye.width / 2)  # one centimetre in patch units
    assert (brows[facing][..., 1].amin(1) - above > -1).all()
    chin = marks_in_patch(batch.points[:, 8:9], side, DEFAULT.windows.side.side, CROP)
    closed = batch.coefficients[:, ARKIT_NAMES.index("jawOpen")] < 0.2
    assert (chin[facing & closed][:, 0, 1] < 1.1).all()
