"""The figures of the list: what is lost, what trembles, what is clipped, what the strips show."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.output.compaction import compact
from facecap_batch.output.reports import NoRun
from facecap_batch.reporting import takes as takes_module
from facecap_batch.reporting.figures import NOTHING, STRIP_CELLS, STRIPS, person_row
from facecap_batch.reporting.overview import overview
from facecap_batch.reporting.takes import Takes
from tests.support.movements import BLINK_SHAPE, BOTH_LIDS, moving
from tests.support.reported import failed, reported_folder
from tests.support.tables import BLINK, JAW, noise, pulse, still, table


def strips_of(row: object) -> dict[str, np.ndarray]:
    content = np.frombuffer(base64.b64decode(row.strips), np.uint8)  # type: ignore[attr-defined]
    return dict(zip(STRIPS, content.reshape(len(STRIPS), STRIP_CELLS), strict=True))


def test_the_time_that_is_lost() -> None:
    found = np.ones(100, bool)
    found[[10, 50, 51, 52]] = False
    times = np.arange(100) / 10
    times[52:] += 2.0  # a pause in which the face was not seen
    row = person_row(table(still(100), found=found, time_s=times), [])
    assert row.lost == pytest.approx(0.04)
    assert row.longest_gap_s == pytest.approx(2.3, abs=1e-3)
    assert row.seen_s == pytest.approx(12.0 - 0.1 - 2.3, abs=1e-3)


def test_jitter_is_noise_and_no_movement() -> None:
    calm = still(300)
    calm[100:107, BLINK] += pulse(3, 0.6)
    assert person_row(table(calm), []).jitter == 0.0
    assert person_row(table(calm + noise(300, 0.01)), []).jitter == pytest.approx(0.0165, rel=0.1)
    assert person_row(table(still(2)), []).jitter is None


def test_a_blink_is_not_clipped_and_a_stuck_channel_is() -> None:
    values = still(300)
    values[100:109, BLINK] = 1.0
    values[:, JAW] = 1.0
    assert person_row(table(values), []).clipped == ("jawOpen",)
    assert person_row(table(still(9), found=np.zeros(9, bool)), []).clipped == ()


@pytest.mark.parametrize("rows", [1, 5, 47, 48, 1000])
def test_strips_show_peaks_and_gaps(rows: int) -> None:
    values, found = still(rows, 0.0), np.ones(rows, bool)
    values[rows // 2, JAW] = 1.0
    found[0] = rows == 1
    strips = strips_of(person_row(table(values, found=found), []))
    known = strips["jaw"][strips["jaw"] != NOTHING]
    assert known.max() == 254
    assert (strips["face"][0] < 254) == (rows > 1)
    assert (strips["yaw"][-1], strips["smile"][-1]) == (127, 0)


def test_a_take_without_rows_has_figures() -> None:
    row = person_row(table(still(0)), [])
    assert (row.lost, row.jitter, row.clipped) == (1.0, None, ())
    assert set(strips_of(row)["jaw"].tolist()) == {NOTHING}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    times = np.arange(60) / 30
    blinking = moving("a", times, [(BOTH_LIDS, 10, BLINK_SHAPE)])
    smiling = moving("b", times, [(["mouthSmileLeft"], 20, [0.9] * 9)], track=1)
    return reported_folder(
        tmp_path / "out",
        {"a": [blinking], "b": [moving("b", times), smiling], "c": [moving("c", times, unseen=range(60))]},
        [failed("d", "BadVideo", "it is cut off; copy it again")],
    )


@pytest.mark.parametrize("kind", ["small", "compact", "a take at a time"])
def test_takes_are_read_alike(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "compact":
        compact(folder, remove_originals=True)
        assert not list((folder / "coefficients").glob("*.parquet"))
    elif kind == "a take at a time":
        monkeypatch.setattr(takes_module, "BATCH_ROWS", 1)
    rows = [data.row for data in Takes(folder).each()]
    assert [row.clip_id for row in rows] == ["a", "b", "c", "d"]
    events = [[person.events for person in row.persons] for row in rows]
    assert events == [[{"blink": 1}], [{}, {"smile": 1}], [{}], []]
    assert rows[2].persons[0].lost == 1.0 and rows[3].error_type == "BadVideo"


def test_one_take_is_as_in_the_list(folder: Path) -> None:
    takes = Takes(folder)
    for data in takes.each():
        assert takes.one(data.row.number).row == data.row
    with pytest.raises(IndexError):
        takes.one(4)


def test_a_damaged_table_stays_with_its_take(folder: Path) -> None:
    (folder / "coefficients/a.parquet").write_bytes(b"PAR1 no more")
    rows = [data.row for data in Takes(folder).each()]
    assert "a.parquet" in rows[0].note and rows[0].persons == ()
    assert rows[1].persons and not rows[1].note


def test_the_run_at_a_glance_says_what_to_do(folder: Path) -> None:
    takes = Takes(folder)
    run = overview(folder, takes.rows)
    assert (run.done, run.failed, run.frames) == (3, 1, 180)
    assert run.times_real == pytest.approx(run.video_s / 10.0)
    assert {advice.kind: advice.count for advice in run.advice} == {"failed": 1, "no_face": 1}
    assert run.advice[0].command == f"facecap-batch retry {folder}"
    assert run.advice[1].command.endswith("--sheet --clip c")
    assert run.errors[0].error == "it is cut off; copy it again"


def test_a_run_that_was_killed_shows_what_it_has_done(folder: Path) -> None:
    """Its reports were written when it began; its records say more."""
    from facecap_batch.output.ledger import Ledger
    from facecap_batch.output.reports import clips_of, read_reports, write_clips

    _, rows = read_reports(folder)
    write_clips(folder, clips_of(rows), {})
    ledger = Ledger(folder)
    for name in ("a", "b"):
        record = ledger.get(name)
        assert record is not None
        ledger.put(dataclasses.replace(record, finished_at="2026-01-02T03:05:05+00:00"))
    found = [data.row for data in Takes(folder).each()]
    assert [row.status for row in found] == ["done", "done", "pending", "pending"]
    assert found[0].persons and not found[2].persons


def test_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoRun, match="not the output folder of a run"):
        Takes(tmp_path)
