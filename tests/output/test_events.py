"""The view and macro `events`: known movements give exactly their events, at any frame rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecap_batch.api.captures import Capture
from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.output.query import BadQuery, connect, query
from facecap_batch.output.sql.movements import MOVEMENTS
from facecap_batch.output.sql.thresholds import MovementThresholds
from tests.support.animations import with_tongue
from tests.support.movements import BLINK_SHAPE, BOTH_LIDS, moving, output_of

pytest.importorskip("duckdb")

BLINKS = "SELECT * FROM events WHERE event = 'blink' ORDER BY clip_id, track, start_s"


def blinks(folder: Path, sql: str = BLINKS) -> list[dict[str, Any]]:
    return query(folder, sql).to_pylist()


def variable_times(frames: int) -> np.ndarray:
    steps = np.random.default_rng(5).choice([1 / 60, 1 / 30, 1 / 24, 0.1], frames - 1)
    return np.concatenate([[0.5], 0.5 + np.cumsum(steps)])


@pytest.mark.parametrize(
    "time_s",
    [np.arange(80) / 24, np.arange(80) / 30, np.arange(80) / 60, variable_times(80)],
    ids=["24", "30", "60", "variable"],
)
def test_a_blink_begins_peaks_and_ends_at_its_frames(tmp_path: Path, time_s: np.ndarray) -> None:
    made = moving("a", time_s, [(BOTH_LIDS, 10, BLINK_SHAPE), (BOTH_LIDS, 40, BLINK_SHAPE)])
    folder = output_of(tmp_path, [made], actors={"a": "Ada"})
    at = made.time_s()
    assert blinks(folder) == [
        {
            "clip_id": "a",
            "track": 0,
            "actor": "Ada",
            "event": "blink",
            "side": "both",
            "start_s": at[first],
            "peak_s": at[first + 1],
            "end_s": at[first + 3],
            "seconds": pytest.approx(at[first + 4] - at[first]),
            "peak": 1.0,
            "frames": 4,
            "is_cut_off": False,
        }
        for first in (11, 41)
    ]


def test_one_eye_and_eyes_that_close_one_after_the_other(tmp_path: Path) -> None:
    movements = [
        (BOTH_LIDS[:1], 10, BLINK_SHAPE),
        (BOTH_LIDS[1:], 30, BLINK_SHAPE),
        (BOTH_LIDS[:1], 50, BLINK_SHAPE),  # frames 51 to 54
        (BOTH_LIDS[1:], 52, BLINK_SHAPE),  # frames 53 to 56
        (BOTH_LIDS[:1], 70, BLINK_SHAPE),  # frames 71 to 74
        (BOTH_LIDS[1:], 74, BLINK_SHAPE),  # frames 75 to 78: no frame with both
    ]
    folder = output_of(tmp_path, [moving("a", np.arange(90) / 30, movements)])
    found = [(row["side"], round(row["start_s"] * 30), row["frames"]) for row in blinks(folder)]
    assert found == [("left", 11, 4), ("right", 31, 4), ("both", 51, 6), ("left", 71, 4), ("right", 75, 4)]
    assert {row["actor"] for row in blinks(folder)} == {None}


def test_a_gap_ends_a_blink_and_joins_no_two(tmp_path: Path) -> None:
    """Values that the solve put into a gap are nobody's blink."""
    made = moving(
        "a", np.arange(60) / 30, [(BOTH_LIDS, 10, [0.9] * 9), (BOTH_LIDS, 40, [0.9] * 9)], unseen=[14, 15]
    )
    found = made.face_found.copy()
    found[44] = False  # bridged by the solve: not seen, but there are values
    folder = output_of(tmp_path, [made.replace(face_found=found)])
    rows = [
        (round(row["start_s"] * 30), round(row["end_s"] * 30), row["is_cut_off"]) for row in blinks(folder)
    ]
    assert rows == [(10, 13, True), (16, 18, True), (40, 43, True), (45, 48, True)]


def test_frames_far_apart_are_a_gap(tmp_path: Path) -> None:
    """A recording that dropped seconds: nobody knows what the lids did."""
    time_s = np.arange(30) / 30 + 5.0 * (np.arange(30) >= 12)
    folder = output_of(tmp_path, [moving("a", time_s, [(BOTH_LIDS, 10, [0.9] * 4)])])
    rows = [(row["frames"], row["is_cut_off"]) for row in blinks(folder)]
    assert rows == [(2, True), (2, True)]
    assert sum(row["seconds"] for row in blinks(folder)) == pytest.approx(4 / 30)


def test_events_at_the_edges_are_cut_off(tmp_path: Path) -> None:
    movements = [(BOTH_LIDS, 0, [0.9, 0.8]), (BOTH_LIDS, 57, [0.8, 0.9, 0.95])]
    folder = output_of(
        tmp_path, [moving("a", np.arange(60) / 30, movements)], [moving("b", np.array([0.0]), rest=0.9)]
    )
    rows = [(row["clip_id"], row["frames"], row["peak_s"] * 30, row["is_cut_off"]) for row in blinks(folder)]
    assert rows == [("a", 2, 0, True), ("a", 3, pytest.approx(59), True), ("b", 1, 0, True)]


def test_noise_about_the_threshold_is_one_event_and_less_is_none(tmp_path: Path) -> None:
    movements = [
        (BOTH_LIDS, 10, [0.52, 0.47, 0.53, 0.46, 0.51]),
        (BOTH_LIDS, 30, [0.49] * 5),
        (("jawOpen",), 20, [0.6, 0.3, 0.6]),
    ]
    folder = output_of(tmp_path, [moving("a", np.arange(60) / 30, movements)])
    counts = query(
        folder, "SELECT event, side, count(*) AS n FROM events GROUP BY ALL ORDER BY 1"
    ).to_pylist()
    assert counts == [
        {"event": "blink", "side": "both", "n": 1},
        {"event": "jaw_open", "side": "both", "n": 2},
    ]


def test_thresholds_of_ones_own_and_by_the_amplitude_of_the_take(tmp_path: Path) -> None:
    """Lids that rest at 0.3 and close to 0.45; lids that tremble by 0.06."""
    shape = [0.3 + 0.15 * value for value in BLINK_SHAPE]
    weak = moving("weak", np.arange(60) / 30, [(BOTH_LIDS, 10, shape), (BOTH_LIDS, 30, shape)], rest=0.3)
    idle = moving("idle", np.arange(60) / 30, [(BOTH_LIDS, 10, [0.1, 0.11])])
    folder = output_of(tmp_path, [weak], [idle])
    count = "SELECT clip_id, count(*) AS n FROM events({0}) WHERE event = 'blink' GROUP BY 1 ORDER BY 1"
    by_threshold = {
        parameters: [tuple(row.values()) for row in query(folder, count.format(parameters)).to_pylist()]
        for parameters in ("", "relative := true", "threshold := 0.4, release := 0.35", "threshold := 0.4")
    }
    assert by_threshold == {
        "": [],
        "relative := true": [("weak", 2)],
        "threshold := 0.4, release := 0.35": [("weak", 2)],
        "threshold := 0.4": [("weak", 1)],  # its release, 0.28, is below where these lids rest
    }
    trembling = query(folder, count.format("relative := true, least_amplitude := 0.05"))
    assert trembling.to_pylist() == [{"clip_id": "idle", "n": 1}, {"clip_id": "weak", "n": 2}]


def test_tracks_and_hidden_sides(tmp_path: Path) -> None:
    """The second person's blinks are that person's; an eye behind a hand says nothing."""
    main = moving(
        "a", np.arange(60) / 30, [(BOTH_LIDS, 10, BLINK_SHAPE), (("browOuterUpLeft",), 40, [0.9] * 5)]
    )
    hidden = main.coefficients.copy()
    hidden[12:, 0] = np.nan  # the left eye, from the blink's peak on
    other = moving("a", np.arange(60) / 30, [(BOTH_LIDS, 30, BLINK_SHAPE)], track=1)
    folder = output_of(tmp_path, [main.replace(coefficients=hidden), other], actors={"a": "Ada"})
    rows = [(row["track"], row["side"], row["frames"], row["is_cut_off"]) for row in blinks(folder)]
    assert rows == [(0, "both", 4, True), (1, "both", 4, False)]
    brows = blinks(folder, "SELECT side, frames FROM events WHERE event = 'brow_raise'")
    assert brows == [{"side": "left", "frames": 5}]


def test_columns_that_not_every_table_has(tmp_path: Path) -> None:
    plain = moving("a", np.arange(30) / 30, [(BOTH_LIDS, 10, BLINK_SHAPE)])
    more = moving("b", np.arange(30) / 30, [(BOTH_LIDS, 10, BLINK_SHAPE)])
    more = with_tongue(more)
    for order in (("a", "b"), ("b", "a")):
        folder = tmp_path / order[0]
        output_of(folder, [plain if order[0] == "a" else more.replace(info=plain.info)])
        output_of(folder, [more if order[0] == "a" else plain.replace(info=more.info)])
        assert [row["clip_id"] for row in blinks(folder)] == ["a", "b"]
        with_own = "SELECT count(tongueOut) AS n, (SELECT count(*) FROM events) AS events FROM coefficients"
        assert query(folder, with_own).to_pylist() == [{"n": 30, "events": 2}]


def test_a_folder_without_tables_has_no_events(tmp_path: Path) -> None:
    folder = output_of(tmp_path, actors={"a": "Ada"})
    assert blinks(folder) == [] and query(folder, "FROM summary").num_rows == 0
    assert query(folder, "FROM events").column_names[:5] == ["clip_id", "track", "actor", "event", "side"]


def test_events_read_the_tables_alone(tmp_path: Path) -> None:
    folder = output_of(tmp_path, [moving("a", np.arange(30) / 30)])
    with pytest.raises(
        BadQuery, match=r"\nevents: clip_id, track, actor, event, side(.|\n)*\nsummary: clip_id"
    ):
        query(folder, "SELECT nothing FROM events")
    with connect(folder) as connection:
        connection.sql("FROM events(threshold := 0.1)").fetchall()
    with pytest.raises(BadQuery):
        query(folder, "SELECT * FROM events(threshold := (SELECT 1 FROM read_csv('/etc/passwd')))")


@pytest.mark.parametrize("kind", ["events", "summary"])
def test_a_view_is_its_macro_without_thresholds(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    movements = [((name,), 3, random.uniform(0, 1, 190).tolist()) for name in ARKIT_NAMES]
    clips = [[moving(name, np.arange(200) / 30, movements, unseen=[9, 60])] for name in "ab"]
    folder = output_of(tmp_path, *clips)
    view = query(folder, f"FROM {kind} ORDER BY ALL")
    macro = query(folder, f"FROM {kind}() ORDER BY ALL")
    assert len(view) > 20 and view.schema == macro.schema
    for row, other in zip(view.to_pylist(), macro.to_pylist(), strict=True):
        # The order of sums, and so their last digit, is another in another plan.
        assert row == {
            name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            for name, value in other.items()
        }


@pytest.mark.parametrize("kind", ["events", "summary"])
@pytest.mark.parametrize(
    "arguments", [{}, {"relative": True, "threshold": 0.8}, {"threshold": 0.4, "release": 0.1}]
)
def test_a_capture_has_the_events_that_its_folder_has(
    tmp_path: Path, kind: str, arguments: dict[str, Any]
) -> None:
    made = moving("a", variable_times(80), [(BOTH_LIDS, 10, BLINK_SHAPE), (BOTH_LIDS[:1], 40, BLINK_SHAPE)])
    capture = Capture((made,), (made,))
    given = ", ".join(f"{name} := {value}" for name, value in arguments.items())
    order = "track, start_s, event" if kind == "events" else "track, event"
    folder = output_of(tmp_path, [made], actors={"a": "Ada"})
    wanted = query(folder, f"SELECT * EXCLUDE (actor) FROM {kind}({given}) ORDER BY {order}")
    found = getattr(capture, kind)(MovementThresholds(**arguments))
    if not arguments:
        assert getattr(capture, kind)().equals(found)
    assert found.column_names == wanted.column_names
    assert found.to_pylist() == [  # in what order sums are taken is free
        {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in wanted.to_pylist()
    ]
    assert found.num_rows == (2 if kind == "events" else len(MOVEMENTS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.5}, r"threshold must be 0\.\.1, not 1\.5"),
        ({"least_amplitude": float("nan")}, r"least_amplitude must be 0\.\.1"),
        ({"threshold": 0.4, "release": 0.5}, r"release \(0\.5\) is above threshold \(0\.4\)"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MovementThresholds(**arguments)
