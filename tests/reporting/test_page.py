"""The report in a real browser: the list, a take, video and head at one time; and that nothing leaves."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.reporting import report
from facecap_batch.reporting.report import write_report
from facecap_batch.reporting.served import ServedReport
from facecap_batch.reporting.takes import TakeData, Takes
from tests.support.animations import with_tongue
from tests.support.browser import Browsed, browsed, chromium
from tests.support.movements import BLINK_SHAPE, BOTH_LIDS, moving
from tests.support.reported import failed, reported_folder
from tests.support.tables import still, table
from tests.support.videos import number_of, picture, write_video

FPS, FRAMES = 25, 50
VIDEO_SIZE = (256, 192)
PAINTED_WITHIN_S = 20.0
HOSTILE = '<img src=x onerror="document.title=1">'
ERROR = f"{HOSTILE}</script><script>document.title=2</script> cannot be decoded"
IRREGULAR = np.cumsum([0.04, 0.08, 0.12, 0.04, 0.2] * (FRAMES // 5)) - 0.04  # seconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Any) -> Iterator[Browsed]:
    """A page that must have asked nobody elsewhere, and have nothing to complain of, when the test ends."""
    with browsed(browser) as seen:
        yield seen
        assert seen.strayed == []
        assert seen.complaints == []


def nodding() -> CoefficientTable:
    """The jaw opens over the take, the head turns to the subject's left."""
    values, head = still(FRAMES, 0.02), np.zeros((FRAMES, 6))
    values[:, ARKIT_NAMES.index("jawOpen")] = np.linspace(0, 0.9, FRAMES)
    head[:, 0] = np.linspace(0, 0.7, FRAMES)
    return table(values, head=head, time_s=np.arange(FRAMES) / FPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes with a video each: of constant and of variable rate, a range (whose regressor reads the tongue),
    one that is gone; and a failure."""
    place = tmp_path_factory.mktemp("run")
    frames = [picture(number, *VIDEO_SIZE) for number in range(FRAMES)]
    write_video(place / "even take?.mp4", frames, FPS)
    base = Fraction(1, 1000)
    stamps = [round(second * 1000) for second in IRREGULAR]
    write_video(place / "uneven.mp4", frames, FPS, pts=stamps, time_base=base)
    uneven = moving("uneven", IRREGULAR, [(BOTH_LIDS, 10, BLINK_SHAPE)], unseen=range(30, 35))
    part = nodding()
    part = part.replace(pts=part.pts + 90000).rows(0, 20)  # from 1 s of the even video on
    other = moving("crowd", np.arange(FRAMES) / FPS, [(["mouthSmileLeft"], 20, [0.8] * 9)], track=1)
    return reported_folder(
        place / "out",
        {
            "even": [nodding()],
            "uneven": [uneven],
            "part": [with_tongue(part, np.linspace(0, 1, len(part)))],
            "crowd": [nodding(), other.rows(15, 40)],
        },
        [failed("broken", "BadVideo", ERROR)],
        videos={"even": "even take?.mp4", "part": "even take?.mp4", "broken": HOSTILE},
        starts={"part": 1.0},
    )


@pytest.fixture(scope="module")
def report_url(folder: Path) -> str:
    write_report(folder, folder / "report.html")
    return (folder / "report.html").as_uri()


def shown_number(page: Browsed, awaited: int) -> int:
    """The number that `picture` has painted into the frame of the video that is shown; a browser on a busy
    machine paints some time after it has sought, so `awaited` is given some time to come."""
    until = time.monotonic() + PAINTED_WITHIN_S
    while (number := painted_number(page)) != awaited and time.monotonic() < until:
        page.page.wait_for_timeout(100)
    return number


def painted_number(page: Browsed) -> int:
    box = page.ask(
        """(() => {
            const video = report.view.video, { x, y, width, height } = video.getBoundingClientRect();
            const scale = Math.min(width / video.videoWidth, height / video.videoHeight);
            const [wide, high] = [video.videoWidth * scale, video.videoHeight * scale];
            return { x: x + (width - wide) / 2, y: y + (height - high) / 2, width: wide, height: high };
        })()"""
    )
    image = cv2.imdecode(np.frombuffer(page.page.screenshot(clip=box), np.uint8), cv2.IMREAD_COLOR)
    return number_of(image)


def open_take(page: Browsed, number: int, with_video: bool = True) -> None:
    page.ask(f"location.hash = 'take={number}'")
    page.wait("report.view.clock && report.view.head")
    if with_video:
        page.wait("report.view.video.readyState >= 2 && report.view.clock.video")


def seek(page: Browsed, at: float) -> None:
    """Scrub to a time, and wait for the picture of the video."""
    page.ask(f"report.view.clock.seek({at})")
    page.wait("!report.view.video || !report.view.video.seeking")
    page.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_the_list_shows_every_take(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    rows = page.page.locator(".rows .row")
    assert rows.count() == 5
    assert "4 of 5 done" in page.page.locator("#glance").inner_text()
    assert "facecap-batch retry" in page.page.locator("#advice").inner_text()
    texts = rows.all_inner_texts()
    assert "even" in texts[0] and "BadVideo" in texts[4]
    assert page.page.locator(".rows canvas").count() == 4


def test_text_from_outside_stays_text(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    assert HOSTILE in page.page.locator(".rows .row").nth(4).inner_text()
    assert page.page.locator(".rows img").count() == 0
    open_hash = "location.hash = 'take=4'"
    page.ask(open_hash)
    assert ERROR in page.page.locator("#take").inner_text()
    assert page.page.title() == "out · facecap-batch"


def test_search_filter_and_sort(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    names = "[...document.querySelectorAll('.rows .name b')].map((name) => name.textContent)"
    page.page.fill("#search", "bad decoded")
    assert page.ask(names) == ["broken"]
    page.page.fill("#search", "")
    page.page.click("[data-filter=failed]")
    assert page.ask(names) == ["broken"]
    page.page.click("[data-filter=all]")
    page.page.click("[data-column=lost]")
    assert page.ask("report.table.order.map((take) => take.clip_id)")[0] == "uneven"
    assert (
        page.ask("report.table.order.map((take) => take.clip_id)")[-1] == "broken"
    )  # nothing is known of it
    page.page.click("[data-column=name]")
    assert page.ask("report.table.order.map((take) => take.clip_id)") == sorted(
        ["even", "uneven", "part", "crowd", "broken"]
    )


def test_scrubbing_moves_head_and_video(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    page.page.click(".rows .row >> nth=0")
    open_take(page, 0)
    head = page.page.locator(".screen.head canvas")
    seek(page, 0.0)
    at_rest = head.screenshot()
    assert shown_number(page, 0) == 0
    seek(page, 45 / FPS)
    assert shown_number(page, 45) == 45
    assert head.screenshot() != at_rest
    assert page.ask("report.view.row") == 45
    yaw, jaw = page.ask("[report.view.head.angles[0], report.view.head.weights[17]]")
    assert yaw == pytest.approx(0.7 * 45 / 49, abs=1e-3)
    assert jaw == pytest.approx(0.9 * 45 / 49, abs=1 / 254)
    seek(page, 0.0)
    assert head.screenshot() == at_rest


def test_the_timeline_scrubs_under_the_mouse(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    open_take(page, 0)
    box = page.page.locator(".timeline canvas").bounding_box()
    page.page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 200 + (box["width"] - 108) / 4, box["y"] + 60)
    page.page.mouse.up()
    page.wait("!report.view.video.seeking")
    scrubbed = page.ask("report.view.clock.time")
    row = int(scrubbed * FPS + 1e-6)
    assert 0.3 < scrubbed < 1.5 and (page.ask("report.view.row"), shown_number(page, row)) == (row, row)


def test_the_head_turns_to_the_side_of_the_video(page: Browsed, report_url: str) -> None:
    """headYaw > 0: toward the right edge of the image. The nose is then right of the head's middle."""
    page.open(report_url)
    open_take(page, 0)
    seek(page, 48 / FPS)
    x = page.ask("product(headRotation(report.view.head.angles), translation(0, 0, 10))[12]")
    assert x > 5


def test_frames_of_a_variable_rate_stand_at_their_own_times(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    open_take(page, 1)
    for row in (3, 4, 22, 41):
        seek(page, float(IRREGULAR[row]) + 0.01)
        assert (page.ask("report.view.row"), shown_number(page, row)) == (row, row)
    seek(page, float(IRREGULAR[31]))
    assert page.page.locator(".unseen").inner_text() == "no face"
    assert page.ask("report.view.head.isKnown") is False
    events = page.ask("report.view.timeline.events.map(({ name, side, peakAt }) => [name, side, peakAt])")
    assert events == [["blink", "both", pytest.approx(IRREGULAR[12], abs=1e-3)]]


def test_a_part_of_a_video_shows_that_part(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    open_take(page, 2)
    seek(page, 0.0)
    assert shown_number(page, 25) == 25
    seek(page, 10 / FPS)
    assert (page.ask("report.view.row"), shown_number(page, 35)) == (10, 35)


def test_the_tongue_is_a_channel_of_the_take_that_has_it(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    for number, has_it in ((0, False), (2, True)):
        open_take(page, number)
        seek(page, 19 / FPS)
        assert page.page.locator("[data-channel=tongueOut]").count() == has_it
        weight = page.ask(
            "report.view.head.weights[report.view.head.morphs.findIndex(({ name }) => name === 'tongueOut')]"
        )
        assert weight == pytest.approx(float(has_it))
    before = page.page.locator(".timeline canvas").screenshot()
    page.page.click("[data-channel=tongueOut]")
    assert page.page.locator(".timeline canvas").screenshot() != before


def test_playing_ends_with_the_take(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    open_take(page, 2)
    page.page.keyboard.press("Space")
    page.wait("report.view.clock.isPlaying")
    page.wait("!report.view.clock.isPlaying && report.view.row === 19")
    assert page.ask("report.view.video.paused") is True


def test_a_take_without_its_video_plays_head_and_curves(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    open_take(page, 3, with_video=False)
    assert page.page.locator(".screen.video").count() == 0
    page.ask("report.view.clock.play()")
    page.wait("report.view.row > 5")
    page.ask("report.view.clock.pause()")


def test_people_and_channels_are_chosen(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    open_take(page, 3, with_video=False)
    page.page.select_option("select", "1")
    assert page.ask("report.view.timeline.lanes") == ["smile"]
    page.ask("report.view.clock.seek(0)")
    assert page.page.locator(".unseen").inner_text() == "no face"  # the second person comes later
    before = page.page.locator(".timeline canvas").screenshot()
    page.page.click("[data-channel=mouthSmileLeft]")
    assert page.page.locator(".timeline canvas").screenshot() != before
    assert page.page.locator("[data-channel=mouthSmileLeft]").get_attribute("aria-pressed") == "false"


def test_keys_step_and_move_on(page: Browsed, report_url: str) -> None:
    page.open(report_url)
    open_take(page, 0)
    for _ in range(3):
        page.page.keyboard.press("ArrowRight")
    assert page.ask("report.view.row") == 3
    page.page.keyboard.press("n")
    page.wait("report.view.take.number === 1")
    page.page.keyboard.press("Escape")
    # The address leads and the page follows, a moment later.
    page.wait("!location.hash && document.getElementById('take').hidden")
    assert page.page.locator("#list").is_visible() and not page.page.locator("#take").is_visible()


def test_curves_beyond_the_budget_are_left_to_serve(
    page: Browsed, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "CURVES_BUDGET", 1500)
    write_report(folder, tmp_path / "small.html")
    page.open((tmp_path / "small.html").as_uri())
    held = page.ask("report.run.curves.held")
    assert 0 < held < 4
    assert f"{held} of 4 takes" in page.page.locator("#advice").inner_text()
    left_out = page.ask("report.takes.find((take) => take.persons && !take.has_curves).number")
    page.ask(f"location.hash = 'take={left_out}'")
    assert "facecap-batch serve" in page.page.locator(".message").inner_text()


def test_a_served_folder_shows_the_same(page: Browsed, folder: Path) -> None:
    served = ServedReport(folder)
    try:
        page.open(served.url)
        page.wait("document.querySelectorAll('.rows canvas').length === 4")
        open_take(page, 1)
        seek(page, float(IRREGULAR[22]) + 0.01)
        assert (page.ask("report.view.row"), shown_number(page, 22)) == (22, 22)
        assert page.ask("report.view.track.value('eyeBlinkLeft', 12)") == pytest.approx(1.0)
        page.page.go_back()  # leaves the take, before the server goes
        page.wait("document.getElementById('take').hidden")
    finally:
        served.close()


def test_twenty_thousand_takes_scroll(
    page: Browsed, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows exist where they are seen alone, and every take is found."""
    count = 20_000
    row = next(Takes(folder).each()).row

    def many(_: Takes) -> Iterator[TakeData]:
        for number in range(count):
            yield TakeData(dataclasses.replace(row, number=number, clip_id=f"take {number}"))

    monkeypatch.setattr(Takes, "each", many)
    write_report(folder, tmp_path / "many.html")
    page.open((tmp_path / "many.html").as_uri())
    assert page.ask("report.takes.length") == count
    page.ask("document.getElementById('table').scrollTop = 1e9")
    page.wait("document.querySelector('.rows').textContent.includes('take 19999')")
    assert page.page.locator(".rows .row").count() < 60
    page.page.fill("#search", "take 12345")
    assert page.page.locator(".rows .row").all_inner_texts()[0].startswith("take 12345")
