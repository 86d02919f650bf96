"""Movements are stretched about rest and bent toward 1; an actor's clips say where that actor rests."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.solve.actors import ActorStatistics
from facecap_batch.solve.calibration import KNEE, Calibration, bent, calibrated, of_card
from facecap_batch.solve.eyelids import CLOSED, LIDS
from tests.support.animations import constant_rate

JAW, BLINK = ARKIT_NAMES.index("jawOpen"), LIDS[0]


def test_below_the_knee_a_gain_is_a_gain_and_the_largest_value_comes_to_1() -> None:
    calibration = Calibration(np.array([0.1, 0.1, 0.0]), np.array([2.0, 1.0, 1.2]))
    values = np.linspace(0, 1, 501)[:, None] * np.ones(3)
    out = calibrated(values, calibration)
    assert (np.diff(out, axis=0) > 0).all() and out.max() <= 1 + 1e-12
    np.testing.assert_allclose(out[-1], 1.0)
    np.testing.assert_allclose(out[:, 1], values[:, 1])  # a gain of 1 changes nothing
    below = out[:, 0] < KNEE
    np.testing.assert_allclose(
        out[below, 0], np.where(values > 0.1, 0.1 + (values - 0.1) * 2, values)[below, 0]
    )


def test_the_bend_has_no_corner() -> None:
    near = KNEE + np.array([[-1e-6], [0.0], [1e-6]])
    steps = np.diff(bent(near, np.array([1.9])), axis=0)
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-4)


def take(rest: float, peak: float, rows: int = 300) -> CoefficientTable:
    """A raw table that rests at `rest` and blinks up to `peak` every two seconds."""
    table = constant_rate(Fraction(30), rows)
    coefficients = np.full((rows, len(ARKIT_NAMES)), rest, np.float32)
    for row in range(20, rows - 5, 60):
        coefficients[row - 2 : row + 4, list(LIDS)] = (
            rest + (peak - rest) * np.array([0.1, 0.6, 1.0, 0.7, 0.3, 0.1])[:, None]
        )
    return table.replace(coefficients=coefficients, face_found=np.ones(rows, bool))


def test_an_actor_rests_where_all_clips_together_do_in_any_order() -> None:
    clips = [take(0.2, 0.6, 600), take(0.2, 0.6, 300), take(0.5, 0.8, 120)]
    card = of_card(clips[0])
    found = []
    for order in (clips, clips[::-1]):
        statistics = ActorStatistics()
        for clip in order:
            statistics.add(clip)
        assert (statistics.clips, statistics.frames) == (3, 1020)
        found.append(statistics.calibration(card))
    np.testing.assert_array_equal(found[0].rest, found[1].rest)
    np.testing.assert_array_equal(found[0].gain, found[1].gain)
    assert found[0].rest[JAW] == pytest.approx(0.2, abs=1e-3)
    gain = found[0].gain[BLINK]
    assert 0.2 + (0.6 - 0.2) * gain == pytest.approx(CLOSED, abs=0.01)
    assert found[0].gain[JAW] == 1.0  # what blinks say is of lids alone


def test_an_actor_who_is_never_seen_keeps_the_card() -> None:
    hidden = take(0.2, 0.6).replace(face_found=np.zeros(300, bool))
    statistics = ActorStatistics()
    statistics.add(hidden)
    card = Calibration(np.full(51, 0.05), np.full(51, 1.3))
    own = statistics.calibration(card)
    np.testing.assert_array_equal(own.rest, card.rest)
    np.testing.assert_array_equal(own.gain, card.gain)
