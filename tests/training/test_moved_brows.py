"""Brows moved in eye patches: what is seen, where landmarks are then, and what coefficients are asked for."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.crops import brows
from facecap_batch.training.crops.augmentation import AUGMENTATION
from facecap_batch.training.crops.bending import Bend
from facecap_batch.training.crops.examples import example
from facecap_batch.training.networks.expression import LEFT_EYE_MARKS
from facecap_batch.training.networks.sizes import DEFAULT
from tests.support.crops import batch_of, true_alignment

SIDE, UNIT = 48, 2 / 68  # pixels of an eye patch; patch units of a millimetre
INDEX = {name: channel for channel, name in enumerate(ARKIT_NAMES)}
# An eye whose corners lie on the middle line of its patch, and a brow 20 mm above it.
EYE = np.zeros((12, 2), np.float32)
EYE[:6, 0] = (-0.4, -0.15, 0.15, 0.4, 0.15, -0.15)
EYE[brows.BROW, 0], EYE[brows.BROW, 1] = np.linspace(-0.5, 0.5, 5), -20 * UNIT


def asked(**changes: float) -> np.ndarray:
    """The changes of one picture, float32 [1, 51]."""
    more = np.zeros((1, 51), np.float32)
    for name, amount in changes.items():
        more[0, INDEX[name]] = amount
    return more


@pytest.mark.parametrize(
    ("stem", "amount", "inner", "outer"),
    [("browInnerUp", 0.5, 2.8, 0.6), ("browOuterUp", 0.5, 0.6, 4.3), ("browDown", 0.5, -1.2, -1.8)],
)
def test_a_brow_goes_as_far_as_the_heads_shapes_move_it(
    stem: str, amount: float, inner: float, outer: float
) -> None:
    """Its own side's shape moves it, the other's does not, and the eye below stays."""
    name = stem if stem in INDEX else f"{stem}Left"
    move = brows.moved(EYE[None], asked(**{name: amount}), False, SIDE, UNIT)
    risen = (EYE - move.found(EYE[None])[0])[:, 1] / UNIT
    assert risen[6] == pytest.approx(inner, abs=0.15)
    assert risen[9] == pytest.approx(outer, abs=0.35)
    assert not risen[:6].any()
    right = brows.moved(EYE[None], asked(**{name: amount}), True, SIDE, UNIT)
    assert right.moves.any() == (stem == "browInnerUp")


def test_dots_on_a_moved_brow_are_found_where_its_landmarks_are() -> None:
    picture = np.zeros((SIDE, SIDE), np.float32)
    pixels = (EYE[brows.BROW] + 1) * (SIDE / 2) - 0.5
    y, x = np.mgrid[:SIDE, :SIDE]
    for u, v in pixels:
        picture = np.maximum(picture, np.exp(-((x - u) ** 2 + (y - v) ** 2) / 4))
    straight = Bend(1, np.eye(2, dtype=np.float32)[None], np.zeros((1, 4, 4, 2), np.float32)).shown(SIDE)[0]
    move = brows.moved(EYE[None], asked(browInnerUp=0.7, browDownLeft=0.2), False, SIDE, UNIT)
    shown = move.shown(0, straight)
    seen = cv2.remap(picture, shown[..., 0], shown[..., 1], cv2.INTER_LINEAR)
    for u, v in (move.found(EYE[None])[0, brows.BROW] + 1) * (SIDE / 2) - 0.5:
        near = (np.abs(x - u) < 4) & (np.abs(y - v) < 4)
        weight = seen * near
        assert (weight * x).sum() / weight.sum() == pytest.approx(u, abs=0.6)
        assert (weight * y).sum() / weight.sum() == pytest.approx(v, abs=0.6)


def test_coefficients_stay_in_range_and_others_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    before = rng.random((4000, 51), dtype=np.float32)
    still = np.arange(4000) % 4 == 0
    more = brows.changes(before, still, rng)
    assert not more[still].any()
    assert (more != 0).any(1)[~still].mean() == pytest.approx(brows.SHARE, abs=0.05)
    assert (before + more).min() >= 0 and (before + more).max() <= 1
    assert set(np.flatnonzero(more.any(0))) == set(brows.CHANNELS)
    left, right = more[:, INDEX["browOuterUpLeft"]] > 0, more[:, INDEX["browOuterUpRight"]] > 0
    assert (left & ~right).sum() > 100 and (right & ~left).sum() > 100 and (left & right).sum() > 100


def test_what_a_network_learns_from_says_what_it_shows(shard) -> None:
    """Landmarks and coefficients of moved brows change together; teachers' words change as the labels do; a
    face in profile, or behind something, stays as it is."""
    batch = batch_of(shard, 16)
    batch = dataclasses.replace(
        batch,
        coefficients=torch.zeros(16, 51),
        distilled=torch.full((16, 51), 0.1),
        covered=0 * batch.covered,
    )
    batch.head[:8, 0], batch.head[8:, 0] = 1.2, 0.0
    torch.manual_seed(0)
    given = example(batch, true_alignment(batch), np.random.default_rng(1), AUGMENTATION, DEFAULT)
    more = given.coefficients
    assert not more[:8].any() and more[8:].any(1).sum() >= 2
    torch.testing.assert_close(given.distilled, more + 0.1)
    torch.manual_seed(0)
    plain = example(batch, true_alignment(batch), np.random.default_rng(1), 0.0, DEFAULT)
    assert not plain.coefficients.any() and plain.marks[0].shape == (16, len(LEFT_EYE_MARKS), 2)
