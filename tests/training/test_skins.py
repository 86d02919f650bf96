"""MakeHuman's skins and brows land on the place of the head model they belong to; only CC0 files are used."""

from __future__ import annotations

import numpy as np
import pytest

from facecap_batch.training.heads import registration
from facecap_batch.training.people import skins
from tests.support.makehuman import SPAN, model_on_egg, write_skins

SIZE = 128


@pytest.fixture(scope="module")
def makehuman(tmp_path_factory):
    folder = tmp_path_factory.mktemp("makehuman")
    write_skins(folder)
    return folder


@pytest.fixture(scope="module")
def model():
    return model_on_egg()


def test_texels_take_the_colour_of_their_place_on_the_head(makehuman, model):
    built = skins.build(makehuman, model, registration.register, SIZE)
    assert built.names == ("free",) and built.brow_names == ("thick",)
    assert built.albedo.shape == (1, SIZE, SIZE, 3) and built.brows.shape == (1, SIZE, SIZE)
    place = built.albedo[0].astype(np.float64) ** (1 / 2.2)  # 0..1 over the span, within 0.01
    for x, y in ((4.5, -1), (-4.5, -1), (0, 6.5), (3, -5.5), (-3, 7), (0, -1), (-1, -5.2), (2, -4.5)):
        column, row = (x / SPAN / 2 + 0.5) * (SIZE - 1), (0.5 - y / SPAN / 2) * (SIZE - 1)
        red, green, _ = place[round(row), round(column)]
        assert (red - 0.5) * 2 * SPAN == pytest.approx(x, abs=0.8)
        assert (green - 0.5) * 2 * SPAN == pytest.approx(y, abs=0.8)


def test_brows_lie_below_the_brow_landmarks_on_both_sides(makehuman, model):
    brows = skins.build(makehuman, model, registration.register, SIZE).brows[0]
    rows, columns = np.nonzero(brows > 128)
    x, y = (columns / (SIZE - 1) - 0.5) * 2 * SPAN, (0.5 - rows / (SIZE - 1)) * 2 * SPAN
    marks = model.neutral[model.landmarks[17:27]]
    assert y.mean() == pytest.approx(marks[:, 1].mean() - registration.BROW_DROP, abs=0.6)
    assert (x > 0).sum() == pytest.approx((x < 0).sum(), rel=0.15)
    assert 1 < np.abs(x).min() < 2.5 and 4 < np.abs(x).max() < 6.5


def test_the_cache_gives_back_what_was_built(makehuman, model, tmp_path, monkeypatch):
    built = skins.build(makehuman, model, registration.register, SIZE)
    monkeypatch.setattr(skins, "build", lambda *_: built)
    cache = tmp_path / "cache" / "skins.npz"
    first = skins.load(makehuman, model, registration.register, cache)
    monkeypatch.delattr(skins, "build")
    again = skins.load(makehuman, model, registration.register, cache)
    assert again.names == first.names == ("free",) and isinstance(again.names[0], str)
    np.testing.assert_array_equal(again.albedo, built.albedo)
    np.testing.assert_array_equal(again.brows, built.brows)


def test_a_base_head_under_another_licence_is_refused(makehuman, model, tmp_path):
    (tmp_path / "base.obj").write_text((makehuman / "base.obj").read_text().replace("CC0", "AGPL"))
    with pytest.raises(ValueError, match=r"CC0.*base\.obj"):
        skins.build(tmp_path, model, registration.register, SIZE)
