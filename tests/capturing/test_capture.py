"""From a file to its raw table: every row, its time, its box and its head, in good clips and bad ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.capturing.clip_info import clip_info
from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.coefficients import CoefficientTable, read_parquet, write_parquet
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import BadVideo, NoVideoStream
from facecap_batch.geometry import euler_from_matrix, focal_length, ray_rotation
from facecap_batch.video.decoder import probe
from tests.support import videos
from tests.support.discs import (
    DIAMETER_CM,
    HEIGHT,
    SHARP,
    WIDTH,
    DiscDetector,
    DiscRegressor,
    disc_video,
    scene,
    walk,
)
from tests.support.videos import write_video


def taken(path: Path, settings: CaptureSettings | None = None, **clip: object) -> CoefficientTable:
    given = Clip("clip", str(path), **clip)  # type: ignore[arg-type]
    return FaceCapture(DiscDetector(), DiscRegressor(), settings).capture(given)


def assert_all_missing(table: CoefficientTable, rows: np.ndarray) -> None:
    for values in (table.score, table.box, table.coefficients, table.head):
        assert np.isnan(values[rows]).all()


def test_one_row_per_frame_with_box_and_head(tmp_path: Path) -> None:
    places = walk(97)
    table = taken(disc_video(tmp_path / "walk.mp4", places), source="walk.mp4")
    assert table.frame_index.tolist() == list(range(97)) and table.face_found.all()
    assert (table.info.width, table.info.height, table.info.fps) == (WIDTH, HEIGHT, 30)
    assert table.info.source == "walk.mp4" and not table.info.variable_rate and table.info.rotation == 0
    center, radius = places[:, :2], places[:, 2]
    assert np.abs((table.box[:, :2] + table.box[:, 2:]) / 2 - center).max() < 4
    assert np.abs(np.diff(table.box[:, [0, 2]]).ravel() / 2 - radius).max() < 3
    # Where the disc is, in centimetres, from a focal length of 1.2 times the long side.
    focal = focal_length(WIDTH, HEIGHT)
    depth = focal * DIAMETER_CM / (2 * radius)
    np.testing.assert_allclose(table.head[:, 5], -depth, rtol=0.03)
    np.testing.assert_allclose(table.head[:, 3], (center[:, 0] - WIDTH / 2) * depth / focal, atol=0.4)
    np.testing.assert_allclose(table.head[:, 4], (HEIGHT / 2 - center[:, 1]) * depth / focal, atol=0.4)
    expected = euler_from_matrix(ray_rotation(center[:, 0], center[:, 1], WIDTH, HEIGHT))
    assert np.abs(table.head[:, :3] - expected).max() < 0.02
    assert (np.abs(table.score - 0.9) < 1e-5).all()
    write_parquet(table, tmp_path / "walk.parquet")
    again = read_parquet(tmp_path / "walk.parquet")
    np.testing.assert_array_equal(again.head, table.head)
    assert again.info == table.info


@pytest.mark.parametrize("kind", ["variable", "b-frames", "edit list", "matroska"])
def test_times_are_the_containers(kind: str, tmp_path: Path) -> None:
    how: dict[str, object] = {}
    if kind in ("variable", "matroska"):
        steps = np.random.default_rng(3).choice([17, 33, 34, 120], 90)
        how = {"pts": np.cumsum(steps).tolist(), "time_base": Fraction(1, 1000)}
    path = tmp_path / ("clip.mkv" if kind == "matroska" else "clip.mp4")
    path = write_video(path, 90, options={"bf": "3", "g": "24"}, **how)  # type: ignore[arg-type]
    if kind == "edit list":
        videos.trim(path, 15 * 512)
    table = taken(path)
    expected = videos.container_pts(path)
    assert len(table) == (75 if kind == "edit list" else 90)
    assert table.pts.tolist() == expected
    exact = [float(pts * table.info.time_base) for pts in expected]
    assert table.time_s().tolist() == exact
    assert table.info.variable_rate == (kind in ("variable", "matroska"))


JITTERED = [3000 * k + int(np.random.default_rng(k).integers(-90, 90)) for k in range(40)]


@pytest.mark.parametrize(
    ("said", "time_base", "pts", "rate"),
    [
        ("150528/6359", "1/12288", range(2048, 2048 + 95 * 512, 512), "24"),  # a last frame held for long
        ("30000/1001", "1/1000", [round(n * 1001 / 30) for n in range(300)], "30000/1001"),  # rounded steps
        ("30", "1/1000", [0, 33, 66], "30"),  # too short to contradict
        ("25", "1/1000", [7], "25"),
        ("1000", "1/1000", [round(k * 1000 / 30) for k in range(30)], "30"),  # an average made up
        ("1000", "1/1000", [round(n * 1001 / 30) for n in range(400)], "30000/1001"),
        ("1000/33", "1/1000", [33 * k for k in range(30)], "30"),  # each step cut to milliseconds
        ("59/2", "1/1000", [round(k * 2000 / 59) for k in range(400)], "59/2"),  # no standard rate
        ("24006/1000", "1/90000", [3749 * k for k in range(8)], "24"),
        ("15/13", "1/1000", [round(k * 1000 / 30) + 20_000 * (k > 11) for k in range(24)], "30"),  # a pause
        ("20", "1/16000", [16 * round(k * 1000 / 30) for k in range(90) if k % 3], "30"),  # a third dropped
        ("27", "1/10000", [333 * k + 666 * (k > 20) for k in range(28)], "30"),  # tenths of milliseconds
        ("27", "1/1000", [0, 17, 50, 200, 230], "27"),  # no usual step: the average stands
        ("15/13", "1/90000", [3000 * k + 1_800_000 * (k > 11) for k in range(24)], "30"),  # a pause
        ("720/23", "1/90000", [*JITTERED, JITTERED[-1]], "30"),  # an odd last frame
        ("25", "1/90000", [round(k * 90_000 / 29.97) + k % 3 * 40 for k in range(900)], "30000/1001"),
        ("1", "1/1000", [33 * k + 5000 * (k > 60) for k in range(90)], "30"),
        ("20", "1/1000", [round(k * 1000 / 24) for k in range(400) if k % 7], "24"),  # dropped frames
        ("20", "1/90000", [4000 * k + 900 * (k > 9) for k in range(30)], "45/2"),  # no standard rate
    ],
)
def test_the_rate_is_that_of_the_frames(
    said: str, time_base: str, pts: Sequence[int], rate: str, tmp_path: Path
) -> None:
    told = dataclasses.replace(
        probe(write_video(tmp_path / "clip.mp4", 2)), fps=Fraction(said), time_base=Fraction(time_base)
    )
    assert clip_info(Clip("a", "a.mp4"), told, np.array(pts, np.int64)).fps == Fraction(rate)


def test_a_face_that_goes_and_comes_is_null_in_between(tmp_path: Path) -> None:
    hidden = range(31, 68)
    table = taken(disc_video(tmp_path / "gap.mp4", walk(100), hidden))
    seen = np.array([k not in hidden for k in range(100)])
    np.testing.assert_array_equal(table.face_found, seen)
    assert_all_missing(table, ~seen)
    assert np.isfinite(table.coefficients[seen]).all()


def test_a_clip_without_a_face_is_all_null_and_cheap(tmp_path: Path) -> None:
    path = write_video(tmp_path / "empty.mp4", [scene(WIDTH, HEIGHT, shade=90 + k % 7) for k in range(400)])
    detector, regressor = DiscDetector(), DiscRegressor()
    table = FaceCapture(detector, regressor).capture(Clip("clip", str(path)))
    assert len(table) == 400 and not table.face_found.any()
    assert_all_missing(table, np.ones(400, bool))
    assert regressor.crops == 0
    assert detector.images <= 400 / 6 + 2 + 4 * 3 * 8  # four looks in three orientations, eight images each


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_clip_on_its_side_is_set_upright(turn: int, tmp_path: Path) -> None:
    """The pictures lie turned by `turn` in a file that does not say so, and the face comes late."""
    places = walk(160)
    table = taken(disc_video(tmp_path / "side.mp4", places, range(0, 40), turn))
    assert table.info.rotation == (360 - turn) % 360
    assert (table.info.width, table.info.height) == (WIDTH, HEIGHT)
    assert table.face_found[40:].all() and not table.face_found[:40].any()
    # Before the first detection that saw it, at frame 42, the box of that one is held.
    assert np.abs((table.box[42:, :2] + table.box[42:, 2:]) / 2 - places[42:, :2]).max() < 4


def test_an_upright_face_that_the_detector_doubts_is_not_looked_for_sideways(tmp_path: Path) -> None:
    detector = DiscDetector(score=0.6)
    path = disc_video(tmp_path / "walk.mp4", walk(60))
    assert FaceCapture(detector, DiscRegressor()).capture(Clip("clip", str(path))).face_found.all()
    assert detector.images <= 60 / 6 + 2


def test_turning_can_be_switched_off(tmp_path: Path) -> None:
    path = disc_video(tmp_path / "side.mp4", walk(30), turn=90)
    table = taken(path, CaptureSettings(try_turns=False))
    assert table.info.rotation == 0 and not table.face_found.any()


def test_display_rotation_and_turn_add_up(tmp_path: Path) -> None:
    path = disc_video(tmp_path / "both.mp4", walk(40), turn=180, rotation=90)
    table = taken(path)
    assert table.info.rotation == 180 and table.face_found.all()
    path = disc_video(tmp_path / "phone.mp4", walk(40), turn=270, rotation=90)
    table = taken(path)
    assert (table.info.rotation, table.info.width, table.info.height) == (90, WIDTH, HEIGHT)
    assert table.face_found.all()


def test_the_main_subject_is_chosen_at_the_end(tmp_path: Path) -> None:
    """A small face is there from the beginning, a large one comes later and stays."""
    frames = [scene(WIDTH, HEIGHT, (60, 60, 20), *([(220, 140, 50)] if k >= 30 else [])) for k in range(100)]
    table = taken(write_video(tmp_path / "two.mp4", frames, options=SHARP))
    assert not table.face_found[:24].any() and table.face_found[30:].all()
    assert (table.box[30:, 0] > 150).all()


def test_a_range_counts_from_its_own_first_frame(tmp_path: Path) -> None:
    path = disc_video(tmp_path / "walk.mp4", walk(90))
    whole = taken(path)
    part = taken(path, start=Fraction(1), end=Fraction(2))
    assert part.frame_index.tolist() == list(range(30))
    assert part.pts.tolist() == whole.pts[30:60].tolist()
    assert np.abs(part.box - whole.box[30:60]).max() < 4


def test_batches_threads_and_repetition_change_nothing(tmp_path: Path) -> None:
    path = disc_video(tmp_path / "walk.mp4", walk(77), range(20, 40), pts=None)
    first = taken(path)
    for settings in (
        CaptureSettings(),
        CaptureSettings(regress_batch=3, detect_batch=4),
        CaptureSettings(decode_threads=3),
    ):
        again = taken(path, settings)
        for name in ("pts", "face_found", "score", "box", "coefficients", "head"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    write_parquet(first, tmp_path / "a.parquet")
    write_parquet(taken(path), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_few_frames_may_be_held(tmp_path: Path) -> None:
    """With room for less than an interval every frame is detected, and nothing is lost."""
    places = walk(60)
    path = disc_video(tmp_path / "walk.mp4", places)
    tight = taken(path, CaptureSettings(held_bytes=1))
    assert tight.face_found.all()
    assert np.abs((tight.box[:, :2] + tight.box[:, 2:]) / 2 - places[:, :2]).max() < 4


def test_a_crude_box_is_cut_again(tmp_path: Path) -> None:
    """The disc jumps between detections: interpolation is off, the regressor's own reading puts it right."""
    places = walk(60)
    places[:, 0] += 25 * np.sin(np.arange(60) * np.pi / 6)  # zero in every detected frame
    path = disc_video(tmp_path / "shaken.mp4", places)
    plain, crude = DiscRegressor(), DiscRegressor(nominal_u=0.0, nominal_v=0.0, nominal_s=float(np.log(21)))
    without = FaceCapture(DiscDetector(), plain).capture(Clip("clip", str(path)))
    corrected = FaceCapture(DiscDetector(), crude).capture(Clip("clip", str(path)))
    assert crude.crops > plain.crops
    truth = -focal_length(WIDTH, HEIGHT) * DIAMETER_CM / (2 * places[:, 2])
    error = [np.abs(table.head[:, 5] - truth).max() for table in (without, corrected)]
    assert error[1] < 0.05 * np.abs(truth).max() and error[1] < error[0]


def test_progress_rises_to_the_number_of_frames(tmp_path: Path) -> None:
    seen: list[int] = []
    path = disc_video(tmp_path / "walk.mp4", walk(50))
    FaceCapture(DiscDetector(), DiscRegressor()).capture(Clip("clip", str(path)), seen.append)
    assert seen == sorted(seen) and seen[-1] == 50 and len(seen) >= 8


@pytest.mark.parametrize("size", [1, 16])
def test_tiny_videos_yield_rows_without_faces(size: int, tmp_path: Path) -> None:
    grey = [np.full((size, size, 3), 90, np.uint8)] * 5
    path = write_video(tmp_path / "tiny.mkv", grey, codec="ffv1", pixel_format="bgr0")
    table = taken(path)
    assert len(table) == 5 and not table.face_found.any()


@pytest.mark.parametrize("size", [1, 16])
def test_tiny_videos_survive_real_engines(size: int, random_engines: EngineSet, tmp_path: Path) -> None:
    grey = [np.full((size, size, 3), 90, np.uint8)] * 3
    path = write_video(tmp_path / "tiny.mkv", grey, codec="ffv1", pixel_format="bgr0")
    engines = [
        open_engine(card, "onnxruntime-cpu") for card in (random_engines.detector, random_engines.regressor)
    ]
    assert len(FaceCapture(*engines).capture(Clip("clip", str(path)))) == 3


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "still.png", [scene(WIDTH, HEIGHT, (100, 100, 40))], codec="png", pixel_format="rgb24"
    )
    table = taken(path)
    assert len(table) == 1 and table.face_found.all()


def test_real_engines_give_a_full_table(random_engines: EngineSet, tmp_path: Path) -> None:
    path = disc_video(tmp_path / "walk.mp4", walk(40))
    detector = open_engine(random_engines.detector, "onnxruntime-cpu")
    regressor = open_engine(random_engines.regressor, "onnxruntime-cpu")
    first = FaceCapture(detector, regressor).capture(Clip("clip", str(path)))
    again = FaceCapture(detector, regressor).capture(Clip("clip", str(path)))
    assert len(first) == 40 and first.face_found.any()
    for name in ("score", "box", "coefficients", "head"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    found = first.face_found
    assert ((first.coefficients[found] >= 0) & (first.coefficients[found] <= 1)).all()
    assert (first.head[found, 5] < 0).all()


def test_damage_is_an_error_or_a_note(tmp_path: Path) -> None:
    whole = disc_video(tmp_path / "whole.mp4", walk(90), container_options={"movflags": "faststart"})
    cut = videos.truncate(whole, tmp_path / "cut.mp4")
    with pytest.raises(BadVideo, match="damaged"):
        taken(cut)
    table = taken(cut, CaptureSettings(damage="keep"))
    assert 10 < len(table) < 90 and table.face_found.all() and table.metadata["notes"]
    assert not taken(whole).metadata["notes"]
    with pytest.raises(NoVideoStream):
        taken(videos.write_audio(tmp_path / "sound.m4a"))


def test_settings_refuse_nonsense() -> None:
    for name, value in (("detect_every", 0), ("decode_threads", 0), ("damage", "ignore"), ("held_bytes", 0)):
        with pytest.raises(ValueError, match=name):
            dataclasses.replace(CaptureSettings(), **{name: value})


@pytest.mark.footage
def test_real_clips_have_one_row_per_frame(footage: Callable[[str], Path], random_engines: EngineSet) -> None:
    engines = [
        open_engine(card, "onnxruntime-cpu") for card in (random_engines.detector, random_engines.regressor)
    ]
    path = footage("intel_asl_no.mkv")
    table = FaceCapture(*engines).capture(Clip("clip", str(path)))
    assert table.pts.tolist() == videos.container_pts(path)


def test_a_picture_that_changes_its_shape(tmp_path: Path) -> None:
    """A phone is turned in a call: boxes and head are those of the upright picture of the moment."""
    halves = []
    for number, (width, height) in enumerate([(WIDTH, HEIGHT), (HEIGHT, WIDTH)]):
        frames = [scene(width, height, (width / 2 + k / 3, height / 2, 24)) for k in range(36)]
        pts = [36 * number + k for k in range(36)]
        path = tmp_path / f"{number}.ts"
        halves.append(write_video(path, frames, pts=pts, options={"bf": "0"}))
    table = taken(videos.joined(tmp_path / "turned.ts", *halves))
    alone = [taken(half) for half in halves]
    assert len(table) == 72 and table.face_found.all()
    assert (table.info.width, table.info.height) == (WIDTH, HEIGHT)
    for column in ("box", "head", "coefficients"):
        parts = np.concatenate([getattr(one, column) for one in alone])
        np.testing.assert_allclose(getattr(table, column), parts, atol=1e-6)
    assert f"the picture changes its shape to {HEIGHT}x{WIDTH}" in table.metadata["notes"]
