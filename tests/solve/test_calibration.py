"""Movements are stretched about rest and bent toward 1."""

from __future__ import annotations

import numpy as np

from facecap_batch.solve.calibration import KNEE, Calibration, bent, calibrated


def test_below_the_knee_a_gain_is_a_gain_and_the_largest_value_comes_to_1() -> None:
    calibration = Calibration(np.array([0.1, 0.1, 0.0]), np.array([2.0, 1.0, 1.2]), np.full(3, KNEE))
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
    steps = np.diff(bent(near, np.array([1.9]), np.array([KNEE])), axis=0)
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-4)
