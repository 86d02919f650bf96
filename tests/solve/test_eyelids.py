"""Closed lids do not flicker; everything else stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from facecap_batch.solve.eyelids import FLICKER_S, SHUT, without_flicker

FPS = 30.0


def times(rows: int) -> np.ndarray:
    return np.arange(rows) / FPS


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0, 240.0])
def test_closed_lids_do_not_flicker_and_two_blinks_stay_two(fps: float) -> None:
    """A dip that is shorter than lids can part goes; a longer one, and whatever lies lower, stays."""
    time_s = np.arange(0, 4, 1 / fps)
    lid = np.full(len(time_s), 0.1)
    lid[(time_s > 0.5) & (time_s < 1.5)] = 0.9
    inside = int(FLICKER_S * fps - 0.01) - 1  # rows, so that those around them are no further apart
    flicker = (time_s >= 1.0) & (time_s < 1.0 + (inside - 0.5) / fps)
    lid[flicker] = 0.3
    opened = (time_s > 2.0) & (time_s < 2.5)
    lid[opened] = 0.8
    twice = (time_s > 2.2) & (time_s < 2.2 + FLICKER_S + 2 / fps)
    lid[twice] = 0.2
    held = without_flicker(time_s, lid)
    assert (held[flicker] >= SHUT).all() and flicker.sum() == inside
    np.testing.assert_array_equal(held[~flicker], lid[~flicker])


def test_a_held_lid_goes_evenly_between_its_ends() -> None:
    lid = np.array([0.6, 0.1, 0.2, 0.9, 0.1])
    np.testing.assert_allclose(without_flicker(times(5), lid), [0.6, 0.7, 0.8, 0.9, 0.1])
    np.testing.assert_array_equal(without_flicker(times(0), np.zeros(0)), np.zeros(0))
