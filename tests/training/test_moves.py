"""Faces moved in pictures: what is seen, where landmarks are then, and what the labels say."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import CROP, POINTS
from facecap_batch.training.crops import moves
from facecap_batch.training.crops.alignment import noisy_alignment
from facecap_batch.training.crops.batches import FaceBatch
from facecap_batch.training.crops.examples import Examples
from facecap_batch.training.networks.sizes import DEFAULT
from tests.support.crops import batch_of

INDEX = {name: channel for channel, name in enumerate(ARKIT_NAMES)}
PER_MM = 0.8  # pixels
BROW, LIDS = slice(22, 27), [43, 44]


@pytest.fixture
def batch(shard) -> FaceBatch:
    """Faces that look at the camera and rest, with nothing before them: the same 16 times."""
    found = batch_of(shard, 16)
    head = torch.zeros(16, 6)
    head[:, 5] = float(np.log(CROP / (10 * PER_MM)))
    points = torch.from_numpy(_face())[None].repeat(16, 1, 1)
    covered = torch.zeros_like(found.covered)
    return FaceBatch(found.image, torch.zeros(16, 51), head, points, covered)


def _face() -> np.ndarray:
    """Landmarks of a face of rough proportions, crop units: float32 [POINTS, 2]."""
    millimetres = np.zeros((POINTS, 2))
    millimetres[:17] = np.stack(
        [70 * np.cos(np.linspace(np.pi, 0, 17)), 70 * np.sin(np.linspace(0, np.pi, 17))], 1
    )
    millimetres[17:22] = np.stack([np.linspace(-50, -12, 5), np.full(5, -20)], 1)
    millimetres[22:27] = np.stack([np.linspace(12, 50, 5), np.full(5, -20)], 1)
    millimetres[27:36, 1] = np.linspace(0, 40, 9)
    aside, eye = np.array([31, 0]), np.array([(-14, 0), (-5, -5), (5, -5), (14, 0), (5, 5), (-5, 5)])
    millimetres[36:42], millimetres[42:48] = eye - aside, eye + aside
    mouth = np.linspace(0, 2 * np.pi, 21)[:20]
    millimetres[48:68] = np.stack([-25 * np.cos(mouth), 65 - 8 * np.sin(mouth)], 1)
    millimetres[68], millimetres[69], millimetres[70] = (31, 0), (-31, 0), (0, 65)
    return (millimetres * (PER_MM * 2 / CROP)).astype(np.float32)


def _asked(monkeypatch: pytest.MonkeyPatch, **more: float) -> None:
    """Have every picture show that much more."""
    row = np.zeros(51, np.float32)
    for name, amount in more.items():
        row[INDEX[name]] = amount
    monkeypatch.setattr(moves, "changes", lambda batch, rng: np.tile(row, (len(batch.image), 1)))


def _moved(batch: FaceBatch) -> FaceBatch:
    return moves.moved(batch, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "landmark", "up"),
    [
        ("browInnerUp", 22, 5.6),
        ("browOuterUpLeft", 25, 8.7),
        ("browDownRight", 19, -4.3),
        ("mouthFrownLeft", 54, -4.7),
    ],
)
def test_skin_goes_where_the_heads_shapes_take_it_and_labels_as_far(
    batch: FaceBatch, monkeypatch: pytest.MonkeyPatch, name: str, landmark: int, up: float
) -> None:
    _asked(monkeypatch, **{name: 0.5})
    found = _moved(batch)
    risen = -(found.points - batch.points)[0, :, 1].numpy() / (PER_MM * 2 / CROP)
    share = float(found.coefficients[0, INDEX[name]]) / 0.5
    assert 0.6 < share <= 1
    assert risen[landmark] == pytest.approx(0.5 * up * share, abs=0.8)
    assert np.abs(risen[[68, 69, 70]]).max() < 0.2  # pupils, and where the mouth rests
    others = [channel for channel in range(51) if channel != INDEX[name]]
    assert not found.coefficients[:, others].any()


def test_what_is_painted_on_a_brow_is_seen_at_its_landmarks(
    batch: FaceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = (batch.points[0].numpy() + 1) * (CROP / 2) - 0.5
    picture = np.zeros((CROP, CROP, 3), np.uint8)
    for point in (*range(22, 27), 43, 44, 54):
        cv2.circle(
            picture, tuple(np.round(pixels[point] * 16).astype(int)), 24, (255,) * 3, -1, cv2.LINE_AA, 4
        )
    painted = dataclasses.replace(batch, image=np.stack([picture] * 16))
    _asked(monkeypatch, browInnerUp=0.6, browDownLeft=0.3, eyeWideLeft=0.5, mouthFrownLeft=0.7)
    found = _moved(painted)
    y, x = np.mgrid[:CROP, :CROP]
    ended = (found.points[0].numpy() + 1) * (CROP / 2) - 0.5
    assert np.abs(ended - pixels)[[22, 43, 54]].max(1).min() > 0.5
    for point in (22, 24, 43, 44, 54):
        u, v = ended[point]
        seen = found.image[0, ..., 0] * ((np.abs(x - u) < 4) & (np.abs(y - v) < 4)) + 1e-9
        assert (seen * x).sum() / seen.sum() == pytest.approx(u, abs=0.5)
        assert (seen * y).sum() / seen.sum() == pytest.approx(v, abs=0.5)
    assert np.array_equal(found.image[0, 150:, :90], picture[150:, :90])  # pixels far from it are the same


def test_the_right_side_is_the_left_one_in_a_mirror(
    batch: FaceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    _asked(monkeypatch, eyeSquintLeft=0.6)
    left = (_moved(batch).points - batch.points)[0]
    _asked(monkeypatch, eyeSquintRight=0.6)
    right = (_moved(batch).points - batch.points)[0]
    assert left[[46, 47], 1].max() < -0.005 and left[[40, 41]].abs().max() < 1e-6
    torch.testing.assert_close(right[[41, 40]], left[[46, 47]] * torch.tensor([-1.0, 1.0]), atol=1e-5, rtol=0)


def test_a_head_that_lies_on_its_side_moves_its_brows_sideways(
    batch: FaceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head's own up counts: rolled by a right angle it points along the picture's rows."""
    batch.head[:, 2] = np.pi / 2
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    turned = dataclasses.replace(batch, points=batch.points @ quarter)
    _asked(monkeypatch, browInnerUp=0.5)
    off = (_moved(turned).points - turned.points)[0, 22]
    upward = turned.points[0, 27] - turned.points[0, 33]
    assert torch.cosine_similarity(off, upward, dim=0) > 0.98


def test_what_moves_is_what_can_be_seen_to_move(batch: FaceBatch) -> None:
    """Coefficients stay in 0..1; profiles, what is covered, and lids that are shut stay as they are."""
    many = dataclasses.replace(
        batch,
        image=np.repeat(batch.image, 200, 0),
        coefficients=torch.rand(3200, 51, generator=torch.Generator().manual_seed(0)),
        head=batch.head.repeat(200, 1),
        points=batch.points.repeat(200, 1, 1),
        covered=batch.covered.repeat(200, 1),
    )
    many.head[:800, 0], many.covered[800:1600, 36:48] = 1.2, True
    many.coefficients[1600:2400, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = 0.9
    more = moves.changes(many, np.random.default_rng(0))
    after = many.coefficients.numpy() + more
    assert after.min() >= 0 and after.max() <= 1
    assert not more[:800].any()
    assert (more[2400:] != 0).any(1).mean() == pytest.approx(moves.SHARE, abs=0.06)
    lids = [channel for name, channel in INDEX.items() if name.startswith(("eyeWide", "eyeSquint"))]
    wide = [channel for name, channel in INDEX.items() if name.startswith("eyeWide")]
    assert more[800:1600].any() and not more[800:1600][:, lids].any()
    assert more[1600:2400].any() and not more[1600:2400][:, wide].any() and more[2400:][:, wide].any()
    left, right = (more[:, INDEX[f"browOuterUp{side}"]] > 0 for side in ("Left", "Right"))
    assert min((left & ~right).sum(), (right & ~left).sum(), (left & right).sum()) > 20


def test_teachers_say_of_moved_faces_what_labels_say(
    batch: FaceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    _asked(monkeypatch, browDownLeft=0.4)
    found = moves.moved(
        dataclasses.replace(batch, distilled=torch.full((16, 51), 0.2)), np.random.default_rng(0)
    )
    torch.testing.assert_close(found.distilled, found.coefficients + 0.2)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_only_augmented_pictures_are_moved(batch: FaceBatch, strength: float) -> None:
    class Batches:
        def seed(self, seed: object) -> None: ...

        def __iter__(self):
            yield batch

    given = next(iter(Examples(Batches(), (1,), strength, noisy_alignment, DEFAULT)))
    assert bool(given.coefficients.any()) == bool(strength)
