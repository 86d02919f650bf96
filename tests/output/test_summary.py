"""The view and macro `summary`: how much of each movement there is, by time and not by frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecap_batch.output.query import query
from tests.support.movements import BLINK_SHAPE, BOTH_LIDS, moving, output_of

pytest.importorskip("duckdb")

SMILE = ("mouthSmileLeft", "mouthSmileRight")


def test_rates_divide_by_the_seconds_in_which_the_face_was_seen(tmp_path: Path) -> None:
    """60 frames a second at first, then 10: a smile over half of the frames is a seventh of the time."""
    time_s = np.concatenate([np.arange(60) / 60, 1 + np.arange(60) / 10])
    seen = moving(
        "a", time_s, [(SMILE, 0, [0.8] * 60), (BOTH_LIDS, 20, BLINK_SHAPE), (BOTH_LIDS, 40, BLINK_SHAPE)]
    )
    half = moving("b", np.arange(120) / 30, [(BOTH_LIDS, 20, BLINK_SHAPE)], unseen=range(60, 120))
    folder = output_of(tmp_path, [seen], [half], actors={"a": "Ada", "b": "Bo"})
    rows = query(
        folder, "SELECT * FROM summary WHERE event IN ('blink', 'smile') ORDER BY clip_id, event"
    ).to_pylist()
    assert [(row["clip_id"], row["event"], row["events"], row["actor"]) for row in rows] == [
        *(
            ("a", "blink", 2, "Ada"),
            ("a", "smile", 1, "Ada"),
            ("b", "blink", 1, "Bo"),
            ("b", "smile", 0, "Bo"),
        ),
    ]
    blink, smile, half_blink, half_smile = rows
    assert blink["seconds"] == blink["seen_s"] == pytest.approx(7.0)
    assert blink["per_minute"] == pytest.approx(2 * 60 / 7)
    assert (smile["active_s"], smile["share"]) == (pytest.approx(1.0), pytest.approx(1 / 7))
    assert smile["mean"] == pytest.approx((0.8 + 6 * 0.05) / 7)
    assert smile["sd"] == pytest.approx(np.sqrt((0.64 + 6 * 0.0025) / 7 - ((0.8 + 0.3) / 7) ** 2), rel=1e-5)
    assert (smile["min"], smile["max"]) == (pytest.approx(0.05), pytest.approx(0.8))
    assert (half_blink["seconds"], half_blink["seen_s"]) == (pytest.approx(4.0), pytest.approx(2.0))
    assert half_blink["per_minute"] == pytest.approx(30.0)
    assert half_smile["share"] == 0 and half_smile["max"] == pytest.approx(0.05)


def test_a_clip_without_a_face_and_one_of_a_single_frame(tmp_path: Path) -> None:
    none = moving("none", np.arange(30) / 30, unseen=range(30))
    still = moving("still", np.array([0.0]), rest=0.3)
    folder = output_of(tmp_path, [none], [still])
    rows = query(folder, "SELECT * FROM summary WHERE event = 'jaw_open' ORDER BY clip_id").to_pylist()
    assert [(row["seen_s"], row["events"], row["per_minute"], row["mean"]) for row in rows] == [
        (0, 0, None, None),
        (0, 0, None, pytest.approx(0.3)),
    ]


def test_rows_are_those_of_tracks_and_movements_and_take_the_parameters_of_events(tmp_path: Path) -> None:
    main = moving("a", np.arange(60) / 30, [(BOTH_LIDS, 10, [0.3, 0.4, 0.3])])
    folder = output_of(tmp_path, [main, moving("a", np.arange(60) / 30, track=1)])
    counted = query(
        folder, "SELECT track, count(*) AS n, count(DISTINCT event) AS e FROM summary GROUP BY 1 ORDER BY 1"
    )
    assert [(row["track"], row["n"] == row["e"]) for row in counted.to_pylist()] == [(0, True), (1, True)]
    for parameters, blinks in (("", 0), ("threshold := 0.4", 1), ("relative := true", 1)):
        sql = f"SELECT sum(events)::INT AS n FROM summary({parameters}) WHERE event = 'blink'"
        assert query(folder, sql).to_pylist() == [{"n": blinks}]
