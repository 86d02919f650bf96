"""An actor's clips, in any order, say where that actor rests and what closes that actor's blinks."""

from __future__ import annotations

import dataclasses
import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from facecap_batch.coefficients import (
    ARKIT_NAMES,
    GAINS_METADATA,
    REST_METADATA,
    SHAPE_NAMES,
    CoefficientTable,
)
from facecap_batch.output.actors import ACTORS_NAME, read_actors, write_actors
from facecap_batch.solve.actors import ActorCalibration, ActorStatistics
from facecap_batch.solve.eyelids import CLOSED, LIDS
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.solve.solver import solve_table
from tests.support.animations import constant_rate, with_tongue

JAW, BROW, BLINK = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("browInnerUp"), LIDS[0]
CARD = {REST_METADATA: json.dumps({"jawOpen": 0.05}), GAINS_METADATA: json.dumps({"jawOpen": 1.5})}


def take(rest: float, peak: float, rows: int = 300) -> CoefficientTable:
    """A raw table that rests at `rest` and blinks up to `peak` every two seconds."""
    table = constant_rate(Fraction(30), rows, metadata=dict(CARD))
    coefficients = np.full((rows, len(ARKIT_NAMES)), rest, np.float32)
    for row in range(20, rows - 5, 60):
        shape = np.array([0.1, 0.6, 1.0, 0.7, 0.3, 0.1])[:, None]
        coefficients[row - 2 : row + 4, list(LIDS)] = rest + (peak - rest) * shape
    return table.replace(coefficients=coefficients, face_found=np.ones(rows, bool))


def calibration_of(*clips: CoefficientTable) -> ActorCalibration:
    statistics = ActorStatistics("Ada")
    for clip in clips:
        statistics.add(clip)
    return statistics.calibration()


def test_an_actor_rests_where_all_clips_together_do_in_any_order() -> None:
    clips = [take(0.2, 0.6, 600), take(0.2, 0.6, 300), take(0.5, 0.8, 120)]
    found = calibration_of(*clips)
    assert (found.actor, found.clips, found.frames) == ("Ada", 3, 1020)
    for order in itertools.permutations(clips):
        assert calibration_of(*order) == found
        assert calibration_of(*order).digest() == found.digest()
    assert found.rest[JAW] == pytest.approx(0.2, abs=1e-3)
    gain = found.gain[BLINK]
    assert gain is not None and 0.2 + (0.6 - 0.2) * gain == pytest.approx(CLOSED, abs=0.01)
    assert found.gain[JAW] == 1.5  # the card's: what blinks say is of lids alone


def test_hidden_frames_do_not_count_and_what_is_never_shown_keeps_the_card() -> None:
    clip = take(0.2, 0.6)
    found = np.arange(300) >= 100
    coefficients = clip.coefficients.copy()
    coefficients[~found] = 0.9
    coefficients[:, JAW] = np.nan
    calibration = calibration_of(clip.replace(coefficients=coefficients, face_found=found))
    assert calibration.frames == 200
    assert calibration.rest[BROW] == pytest.approx(0.2, abs=1e-3)
    assert calibration.rest[JAW] == 0.05

    nobody = calibration_of(clip.replace(face_found=np.zeros(300, bool)))
    assert (nobody.frames, nobody.rest[JAW], nobody.rest[BROW], nobody.gain[BLINK]) == (0, 0.05, 0.0, None)
    with pytest.raises(ValueError, match="no clip of Ada"):
        calibration_of()


def test_a_digest_is_of_everything() -> None:
    found = calibration_of(take(0.2, 0.6))
    others = [
        dataclasses.replace(found, actor="Bob"),
        dataclasses.replace(found, clips=2),
        dataclasses.replace(found, frames=1),
        dataclasses.replace(found, rest=(0.5, *found.rest[1:])),
        dataclasses.replace(found, gain=(None, *found.gain[1:])),
    ]
    assert len({one.digest() for one in (found, *others)}) == 6


def test_a_clip_without_blinks_of_its_own_gets_the_actors_gain() -> None:
    """One blink tells nothing by itself; the actor's other clip does."""
    single, other = take(0.1, 0.5, 60), take(0.1, 0.5, 600)
    actor = calibration_of(single, other)
    alone, together = solve_table(single), solve_table(single, actor=actor)
    assert alone.coefficients[:, BLINK].max() < 0.6
    assert together.coefficients[:, BLINK].max() > 0.85  # smoothing takes a little of its peak
    open_eye = slice(30, None)
    np.testing.assert_allclose(
        together.coefficients[open_eye, BLINK], single.coefficients[open_eye, BLINK], atol=0.01
    )
    kept = solve_table(single, SolveSettings(close_blinks=False), actor)
    assert kept.coefficients[:, BLINK].max() < 0.6


def test_movements_are_stretched_about_the_actors_rest() -> None:
    """A face that rests at 0.2 is not lifted there, as the card would that has the rest at 0.05."""
    clip = take(0.2, 0.6)
    card, own = solve_table(clip), solve_table(clip, actor=calibration_of(clip))
    np.testing.assert_allclose(card.coefficients[:, JAW], 0.05 + 0.15 * 1.5, atol=1e-3)
    np.testing.assert_allclose(own.coefficients[:, JAW], 0.2, atol=1e-3)


def test_without_enough_blinks_each_clip_closes_its_own() -> None:
    still = take(0.2, 0.2)
    actor = calibration_of(still)
    assert actor.gain[BLINK] is None
    blinking = take(0.2, 0.6)
    np.testing.assert_array_equal(
        solve_table(blinking, actor=actor).coefficients[:, BLINK],
        solve_table(blinking).coefficients[:, BLINK],
    )


def test_a_solved_table_names_the_calibration() -> None:
    clip = take(0.2, 0.6)
    actor = calibration_of(clip)
    assert json.loads(solve_table(clip, actor=actor).metadata["solve"])["calibration"] == actor.digest()
    assert "calibration" not in json.loads(solve_table(clip).metadata["solve"])


def test_another_calibration_than_the_two_is_refused() -> None:
    with pytest.raises(ValueError, match="'card' or 'actor', not 'clip'"):
        SolveSettings(calibrate="clip")  # type: ignore[arg-type]
    assert not SolveSettings(enabled=False, calibrate="actor").by_actor


def test_the_tongue_rests_with_the_others_and_keeps_its_columns_in_the_folder(tmp_path: Path) -> None:
    plain = take(0.2, 0.6)
    found = calibration_of(with_tongue(plain, np.full(300, 0.1)))
    assert found.rest[:51] == calibration_of(plain).rest and found.rest[51] == pytest.approx(0.1, abs=1e-3)
    solved = solve_table(with_tongue(plain, np.full(300, 0.1)), actor=found)
    alone = solve_table(plain, actor=calibration_of(plain))
    np.testing.assert_array_equal(solved.coefficients[:, :51], alone.coefficients)
    for calibration, names in ((found, SHAPE_NAMES), (calibration_of(plain), ARKIT_NAMES)):
        write_actors(tmp_path, {"Ada": calibration})
        assert read_actors(tmp_path) == {"Ada": calibration}
        columns = pq.read_schema(tmp_path / ACTORS_NAME).names
        assert columns[3:] == [f"{name}{part}" for part in ("Rest", "Gain") for name in names]
