"""The sheet of real clips: which frames it shows, that the head stands where the actor does, what the job
makes of a run's folder."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from facecap_batch.coefficients import ARKIT_NAMES, read_parquet
from facecap_batch.exporting.preview.telling import most_different
from facecap_batch.geometry import project
from facecap_batch.training.sheets.bars import GROUND, NAMES, Series, bars, strongest
from facecap_batch.training.sheets.clip_sheet import (
    CELL_HEIGHT,
    CELL_WIDTH,
    FACE,
    GAP,
    HEADING,
    clip_block,
    has_face,
)
from facecap_batch.training.sheets.heads import Head, RigHead, ShippedHead
from facecap_batch.training.sheets.window import Window, around
from tests.support.head import rig_for_tests
from tests.support.runs import run_quietly, write_clips
from tests.support.tables import still, table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import clip_sheet

WIDTH, HEIGHT = 640, 480  # pixels, of the frames
BEFORE_CAMERA = np.array([0, 0, 0, 0, 0, -60], np.float32)


def face(**coefficients: float) -> np.ndarray:
    values = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in coefficients.items():
        values[ARKIT_NAMES.index(name)] = value
    return values


def seen(image: np.ndarray) -> np.ndarray:
    """bool [H, W], where a head is drawn."""
    return (image != np.array(GROUND)).any(axis=2)


@pytest.fixture(scope="module", params=["shipped", "rig"])
def head(request: pytest.FixtureRequest) -> Head:
    return ShippedHead() if request.param == "shipped" else RigHead(rig_for_tests())


@pytest.fixture(scope="module")
def camera():
    return Window(160, 80, 320).camera(WIDTH, HEIGHT, 160)


def test_frames_differ_as_much_as_they_can():
    values = still(40, 0.1)
    values[7, 3] = 0.9
    values[20:30, 8] = 0.6  # one face for a while
    values[33, 5] = 0.99
    usable = np.ones(40, bool)
    found = most_different(values, usable, 4)
    assert {7, 33} < set(found) and found == sorted(found)
    assert sum(20 <= row < 30 for row in found) == 1
    usable[33] = False
    assert 33 not in most_different(values, usable, 4)
    assert len(most_different(values, usable, 10)) == 3  # there are no more faces
    assert most_different(values, np.zeros(40, bool), 4) == []


def test_a_window_sees_what_the_frame_shows_there():
    window = around(np.array([100.0, 60.0, 220.0, 200.0]))
    assert window == Window(55, 25, 210)
    points = np.array([[3.0, -2.0, -60.0], [-9.0, 5.0, -41.0]])
    in_frame = project(points, WIDTH, HEIGHT)  # continuous; a pixel's centre is half a pixel on
    in_window = window.camera(WIDTH, HEIGHT, 70).project(points) + 0.5
    np.testing.assert_allclose(in_window, (in_frame - [55, 25]) / 3, atol=1e-3)


def test_a_window_over_the_edge_is_black_there():
    frame = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    cut = Window(-20, 460, 40).cut(frame, 80)
    assert cut.shape == (80, 80, 3)
    assert (cut[:36, 44:] == 200).all() and not cut[:, :36].any() and not cut[44:].any()


def test_a_head_stands_where_its_pose_says(head, camera):
    at_rest, aside = face(), BEFORE_CAMERA + np.array([0, 0, 0, 4, 0, 0], np.float32)
    still_there, moved = (seen(head.drawn(at_rest, pose, camera)) for pose in (BEFORE_CAMERA, aside))
    assert still_there[80, 80] and 0.1 < still_there.mean() < 0.9
    columns = [np.nonzero(mask)[1].mean() for mask in (still_there, moved)]
    assert columns[1] - columns[0] == pytest.approx(4 * camera.focal / 60, rel=0.15)
    turned = head.drawn(at_rest, BEFORE_CAMERA + np.array([0.6, 0, 0, 0, 0, 0], np.float32), camera)
    assert np.abs(turned.astype(int) - head.drawn(at_rest, BEFORE_CAMERA, camera)).mean() > 3


def test_a_head_does_what_its_coefficients_say(head, camera):
    at_rest, again, smile = (
        head.drawn(values, BEFORE_CAMERA, camera).astype(int)
        for values in (face(), face(), face(mouthSmileLeft=1))
    )
    np.testing.assert_array_equal(at_rest, again)
    assert np.abs(smile - at_rest).max() > 20


def test_the_shipped_head_winks_with_the_eye_that_it_is_told(camera):
    head = ShippedHead()
    open_eyes, wink = (
        head.drawn(values, BEFORE_CAMERA, camera).astype(int) for values in (face(), face(eyeBlinkLeft=1))
    )
    change = np.abs(wink - open_eyes).sum(axis=2)
    x = np.nonzero(change > 60)[1]
    assert len(x) > 30 and (x > 80).all()  # its left eye is on the right of the image
    blue = open_eyes[:, 80:, 2] - open_eyes[:, 80:, 0] > 20  # the iris
    assert blue.any() and not (wink[:, 80:, 2] - wink[:, 80:, 0] > 20).any()


def test_bars_name_the_strongest_and_are_as_long_as_their_values():
    values = face(jawOpen=0.5, mouthFunnel=1.0, browInnerUp=1.7)
    channels = strongest(values, 3)
    assert [ARKIT_NAMES[channel] for channel in channels] == ["browInnerUp", "mouthFunnel", "jawOpen"]
    colour = (250, 10, 10)
    drawn = bars(channels, (Series(values, colour, 1),), NAMES + 106)
    lengths = [(line[5] == colour).all(axis=1).sum() for line in np.split(drawn, 3)]
    assert lengths == [101, 101, 51]
    assert all(line[:, :NAMES].max() > 150 for line in np.split(drawn, 3))


def test_a_block_holds_a_cell_for_every_frame():
    made = table(still(5))
    images = [(row, np.full((HEIGHT, WIDTH, 3), 40 * row + 20, np.uint8)) for row in (0, 2, 4)]

    class Grey:
        def drawn(self, coefficients, pose, camera):
            return np.full((camera.height, camera.width, 3), 77, np.uint8)

    block = clip_block(made, images, Grey(), columns=2)
    assert block.shape == (HEADING + 2 * CELL_HEIGHT, 2 * (CELL_WIDTH + GAP), 3)
    middles = [(HEADING + FACE // 2, FACE // 2), (HEADING + FACE // 2, CELL_WIDTH + GAP + FACE // 2),
               (HEADING + CELL_HEIGHT + FACE // 2, FACE // 2)]  # fmt: skip
    assert [int(block[y, x, 0]) for y, x in middles] == [20, 100, 180]
    assert [int(block[y, x + FACE, 0]) for y, x in middles] == [77, 77, 77]
    nobody = clip_block(made, [], Grey(), columns=2)
    assert nobody.shape[0] == HEADING and nobody.max() > 150


@pytest.fixture(scope="module")
def run(tmp_path_factory, config, ray_floor) -> Path:
    """A run of two short videos, with engines that find faces in everything."""
    folder = tmp_path_factory.mktemp("run")
    summary = run_quietly(write_clips(folder, {"first": 12, "second": 8}), folder / "out", config, workers=1)
    assert summary.done == 2
    return folder / "out"


def test_the_sheet_of_a_run_has_its_clips(run, tmp_path):
    picture = tmp_path / "sheet.png"
    clip_sheet.main(str(run), picture, frames=2, columns=3)
    tables = [read_parquet(run / "coefficients" / f"{name}.parquet") for name in ("first", "second")]
    counts = [len(most_different(one.coefficients, has_face(one), 2)) for one in tables]
    assert min(counts) > 0
    drawn = cv2.imread(str(picture))
    assert drawn.shape == (2 * (HEADING + CELL_HEIGHT), 3 * (CELL_WIDTH + GAP), 3)
    again = tmp_path / "again.png"
    clip_sheet.main(str(run), again, frames=2, columns=3)
    assert picture.read_bytes() == again.read_bytes()


def test_the_sheet_shows_the_frames_that_were_asked_for(run, tmp_path, capsys):
    one = read_parquet(run / "coefficients" / "first.parquet")
    wanted = one.frame_index[has_face(one)][:2].tolist()
    clip_sheet.main(str(run), tmp_path / "sheet.jpg", ["first"], wanted)
    assert f"first: frames {wanted[0]}, {wanted[1]}" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape[0] == HEADING + CELL_HEIGHT


def test_what_cannot_be_drawn_is_named(run, tmp_path):
    sheet = tmp_path / "sheet.png"
    for arguments, message in (
        ({"picture": tmp_path / "sheet.gif"}, r"\.jpg or \.png"),
        ({"clip": ["third"]}, "third"),
        ({"frame": [3, 4000]}, "first: no face in frame 4000"),
        ({"makehuman": tmp_path}, "needs --ict"),
        ({"ict": tmp_path, "cache": tmp_path}, "is missing"),
        ({"output": str(tmp_path)}, "not the output folder"),
    ):
        with pytest.raises(typer.BadParameter, match=message):
            clip_sheet.main(**({"output": str(run), "picture": sheet} | arguments))
    assert not sheet.exists()
