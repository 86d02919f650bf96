"""Blinks are found by their shape; a gain stretches them to closed, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.solve import eyelids
from facecap_batch.solve.calibration import calibrated, calibration_of
from facecap_batch.solve.eyelids import (
    CLOSED,
    FLICKER_S,
    LIDS,
    MAX_GAIN,
    SHUT,
    closing_gain,
    find_blinks,
    gain_to_close,
    without_flicker,
)
from tests.support.tables import still

FPS = 30.0


def clip(rows: int = 300, rest: float = 0.08, peaks: dict[int, float] | None = None) -> np.ndarray:
    """An eyelid at `rest` that blinks at the rows of `peaks`, up to their values, as real ones do."""
    shape = np.array([0.1, 0.6, 1.0, 0.7, 0.3, 0.1])
    lid = np.full(rows, rest)
    for row, peak in (peaks or {}).items():
        lid[row - 2 : row + 4] = rest + (peak - rest) * shape
    return lid


def times(rows: int) -> np.ndarray:
    return np.arange(rows) / FPS


def test_the_gain_of_half_seen_blinks_closes_them_and_the_resting_lid_stays() -> None:
    lid = clip(peaks={40: 0.5, 120: 0.55, 200: 0.52})
    gain = closing_gain(lid[find_blinks(times(300), lid)], 0.08)
    raw = still(300)
    raw[:, LIDS[0]] = lid
    gains = np.where(np.arange(len(ARKIT_NAMES)) == LIDS[0], gain, 1.0).tolist()
    out = calibrated(raw, calibration_of([0.08] * len(ARKIT_NAMES), gains))
    np.testing.assert_array_equal(np.delete(out, LIDS[0], 1), np.delete(raw, LIDS[0], 1))
    out = out[:, LIDS[0]]
    assert out[120] == pytest.approx(CLOSED, abs=0.06) and out.max() < 1
    np.testing.assert_array_equal(out[lid <= 0.08], lid[lid <= 0.08])
    assert (out >= lid).all()
    order = np.argsort(lid, kind="stable")
    assert (np.diff(out[order]) >= 0).all()  # what was lower stays lower


@pytest.mark.parametrize("fps", [24.0, 60.0, 240.0])
def test_blinks_are_found_at_any_rate(fps: float) -> None:
    slow = clip(rows=600, peaks={100: 0.6, 300: 0.6, 450: 0.5})
    time_s = np.arange(0, 600 / FPS, 1 / fps)
    found = find_blinks(time_s, np.interp(time_s, times(600), slow))
    assert len(found) == 3
    np.testing.assert_allclose(time_s[found], [100 / FPS, 300 / FPS, 450 / FPS], atol=0.07)


def test_closed_blinks_stay_and_no_lid_is_stretched_without_end() -> None:
    assert closing_gain(np.array([0.97, 0.95, 0.99]), 0.08) == 1
    assert closing_gain(np.array([0.25, 0.25, 0.25]), 0.08) == MAX_GAIN
    assert closing_gain(np.array([0.5]), 0.08) is None  # one may be anything
    assert gain_to_close(0.1, 0.2) == 1  # closed below rest: nothing to stretch


@pytest.mark.parametrize(
    "lid",
    [
        clip(),  # nothing
        np.clip(0.3 + 0.2 * np.sin(times(300) * 2), 0, 1),  # looking down and up
        np.concatenate([clip(100), np.full(100, 0.5), clip(100), np.full(100, 0.5), clip(50)]),  # long rests
        clip(rest=0.45, peaks={40: 0.7, 120: 0.7, 200: 0.7}),  # eyes half closed throughout
        np.zeros(0),
        np.zeros(2),
    ],
    ids=["still", "slow", "long", "drowsy", "empty", "tiny"],
)
def test_what_is_no_blink_is_left_alone(lid: np.ndarray) -> None:
    assert len(find_blinks(times(len(lid)), lid)) == 0


def test_twitches_among_full_blinks_do_not_stretch_them() -> None:
    lid = clip(600, peaks={40: 0.97, 120: 0.3, 180: 0.28, 240: 0.96, 300: 0.3, 400: 0.98, 500: 0.95})
    assert closing_gain(lid[find_blinks(times(600), lid)], 0.08) == pytest.approx(1, abs=0.01)


def test_noise_is_no_blink() -> None:
    noisy = clip() + np.random.default_rng(0).normal(0, 0.02, 300)
    assert len(find_blinks(times(300), noisy)) == 0


def test_a_long_clip_does_not_depend_on_how_it_is_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    lid = clip(600, peaks={40: 0.5, 99: 0.55, 200: 0.52, 597 - 3: 0.4})
    whole = find_blinks(times(600), lid)
    assert len(whole) == 4
    monkeypatch.setattr(eyelids, "BLOCK_ROWS", 7)
    np.testing.assert_array_equal(find_blinks(times(600), lid), whole)


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
