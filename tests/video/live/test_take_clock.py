"""The times of a take, from packets with every kind of clock."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import SimpleNamespace

import pytest

from facecap_batch.video.live.take_clock import TakeClock

TIME_BASE = Fraction(1, 90000)
STEP = 3600  # ticks of a frame at 25 frames per second
FRAME_S = Fraction(1, 25)


def packet(pts: int | None, dts: int | None) -> SimpleNamespace:
    return SimpleNamespace(pts=pts, dts=dts, time_base=TIME_BASE)


def connected(is_paced: bool = True, has_clock: bool = True) -> TakeClock:
    clock = TakeClock(is_paced)
    clock.connect(FRAME_S, has_clock)
    return clock


def placed(
    clock: TakeClock, stamps: Sequence[tuple[int | None, int | None]], at_s: float = 100.0
) -> list[int]:
    """Times of presentation, ms, of packets with these pts and dts that come at their pace from `at_s` on."""
    return [
        round(1000 * clock.place(packet(*stamp), at_s + number / 25).pts_s)
        for number, stamp in enumerate(stamps)
    ]


def test_the_first_frame_is_at_0_and_steps_are_the_sources():
    start = 8_000_000_000  # a broadcast's clock, a day after its beginning
    stamps = [(start + dts + 2 * STEP, start + dts) for dts in (0, STEP, 2 * STEP, 2 * STEP + 3601)]
    assert placed(connected(), stamps) == [0, 40, 80, 120]


def test_b_frames_come_before_the_frame_that_they_need():
    shown = [0, 3, 1, 2, 6, 4, 5]
    stamps = [((frame + 1) * STEP, number * STEP) for number, frame in enumerate(shown)]
    assert placed(connected(), stamps) == [40 * frame for frame in shown]


@pytest.mark.parametrize("first", [0, 5])
def test_b_frames_of_a_format_without_decoding_times(first: int):
    shown = [0, 3, 1, 2, 6, 4, 5]
    clock = connected()
    times = [clock.place(packet((first + frame) * STEP, None), 100 + n / 25) for n, frame in enumerate(shown)]
    assert [round(1000 * time.pts_s) for time in times] == [40 * frame for frame in shown]
    decoded = [time.dts_s for time in times]
    assert decoded == sorted(set(decoded))
    assert all(time.dts_s <= time.pts_s for time in times)


def test_frames_without_any_time_are_counted():
    assert placed(connected(), [(None, None)] * 4) == [0, 40, 80, 120]


def test_a_pause_stays_a_pause_and_counts_as_missing_frames():
    stamps = [(frame * STEP, frame * STEP) for frame in (*range(20), *range(30, 60))]
    clock = connected()
    assert placed(clock, stamps) == [40 * frame for frame in (*range(20), *range(30, 60))]
    assert clock.missing == 10
    assert clock.end_s == 60 * FRAME_S


def test_an_uneven_rate_misses_nothing():
    steps = [3600, 3000, 4200] * 20
    stamps = [(sum(steps[:n]), sum(steps[:n])) for n in range(len(steps))]
    clock = connected()
    placed(clock, stamps)
    assert clock.missing == 0


def test_a_new_connection_goes_on_after_the_time_that_has_passed():
    clock = connected()
    stamps = [(frame * STEP, frame * STEP) for frame in range(25)]
    placed(clock, stamps, 100.0)  # until 101 s
    clock.connect(FRAME_S, has_clock=True)
    assert placed(clock, [(7 + pts, 7 + dts) for pts, dts in stamps[:3]], 103.5) == [3500, 3540, 3580]
    assert clock.missing == 0


def test_a_new_connection_never_goes_back():
    """What was buffered came at once, so this machine's clock is behind the take's."""
    clock = connected()
    for frame in range(50):
        clock.place(packet(frame * STEP, frame * STEP), 100.0)
    clock.connect(FRAME_S, has_clock=True)
    assert placed(clock, [(0, 0), (STEP, STEP)], 100.1) == [2000, 2040]


def test_a_clock_that_falls_goes_on():
    clock = connected()
    placed(clock, [(frame * STEP, frame * STEP) for frame in range(1000, 1025)], 100.0)
    assert placed(clock, [(frame * STEP, frame * STEP) for frame in range(3)], 102.0) == [2000, 2040, 2080]


def test_a_clock_that_runs_away_goes_on_where_the_source_runs_by_the_wall():
    for is_paced, expected in ((True, 1000), (False, 3600_000)):
        clock = connected(is_paced)
        placed(clock, [(frame * STEP, frame * STEP) for frame in range(25)], 100.0)
        later = 3600 * 90000
        assert placed(clock, [(later, later)], 101.0) == [expected]


def test_a_long_pause_of_the_source_is_no_jump():
    clock = connected()
    placed(clock, [(frame * STEP, frame * STEP) for frame in range(25)], 100.0)
    later = 90 * 90000
    assert placed(clock, [(later, later)], 190.0) == [90_000]


def test_without_a_clock_pictures_are_shown_when_they_come():
    clock = connected(has_clock=False)
    shown = [round(1000 * clock.place(packet(n, n), at).pts_s) for n, at in enumerate((7.0, 7.1, 7.5, 7.501))]
    assert shown == [0, 100, 500, 501]
    assert clock.missing == 0
