"""Landmarks from crops to pixels of the upright frame, whichever way the picture was coded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.coefficients import (
    GAZE_NAMES,
    SCHEMA,
    SHOT_NAME,
    CoefficientTable,
    read_tracks,
    to_arrow,
    write_tracks,
)
from facecap_batch.errors import EngineError
from facecap_batch.exporting.common_rows import with_rows_of
from facecap_batch.solve.people import solve_tracks
from tests.support.discs import HEIGHT, SHARP, WIDTH, DiscDetector, DiscRegressor, disc_video, scene, walk
from tests.support.people import crowd
from tests.support.pointed import CORNER, MIDDLE, POINTS, TOP, PointedRegressor
from tests.support.videos import write_video

FRAMES = 40
COLUMNS = [f"landmark0{number}{axis}" for number in range(POINTS) for axis in "XY"]


def taken(path: Path, **settings: Any) -> tuple[CoefficientTable, ...]:
    wanted = CaptureSettings(**{"landmarks": True, **settings})
    return FaceCapture(DiscDetector(), PointedRegressor(), wanted).capture_tracks(Clip("clip", str(path)))


def assert_on_discs(table: CoefficientTable, places: np.ndarray, within: float = 1.5) -> None:
    """Middle and top are those of discs of (centre x, centre y, radius), pixels of the upright frame."""
    rows = np.flatnonzero(table.face_found)
    assert len(rows) > len(places) / 2
    middle, top = table.landmarks[rows, MIDDLE], table.landmarks[rows, TOP]
    np.testing.assert_allclose(middle, places[rows, :2], atol=within)
    np.testing.assert_allclose(top - middle, np.stack([0 * rows, -places[rows, 2]], 1), atol=within)


def test_landmarks_are_pixels_of_the_frame_and_null_where_nobody_is(tmp_path: Path) -> None:
    places = walk(FRAMES)
    (table,) = taken(disc_video(tmp_path / "walk.mp4", places, hidden=range(12, 26)))
    assert table.landmarks.shape == (FRAMES, POINTS, 2) and table.landmarks.dtype == np.float32
    assert_on_discs(table, places)
    assert np.isnan(table.landmarks[~table.face_found]).all() and not table.face_found[14:24].any()


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_clips_on_their_side(turn: int, tmp_path: Path) -> None:
    """Told by the file, and not told."""
    told = disc_video(tmp_path / "told.mp4", walk(FRAMES), turn=turn, rotation=(360 - turn) % 360)
    untold = disc_video(tmp_path / "untold.mp4", walk(FRAMES), turn=turn)
    for path in (told, untold):
        (table,) = taken(path)
        assert (table.info.width, table.info.height) == (WIDTH, HEIGHT)
        assert_on_discs(table, walk(FRAMES))


def test_portrait(tmp_path: Path) -> None:
    places = np.column_stack([100 + np.arange(FRAMES), 200 + np.arange(FRAMES), np.full(FRAMES, 30.0)])
    frames = [scene(HEIGHT, WIDTH, place) for place in places]
    (table,) = taken(write_video(tmp_path / "tall.mp4", frames, options=SHARP))
    assert table.info.height > table.info.width
    assert_on_discs(table, places)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    """Landmarks and boxes are in the same pixels: those of the picture as it is shown."""
    squeezed = [
        cv2.resize(scene(WIDTH, HEIGHT, place), (WIDTH // 2, HEIGHT), interpolation=cv2.INTER_AREA)
        for place in walk(FRAMES)
    ]
    path = write_video(tmp_path / "wide.mkv", squeezed, options=SHARP, pixel_aspect=Fraction(2))
    (table,) = taken(path)
    assert (table.info.width, table.info.height) == (WIDTH, HEIGHT)
    assert_on_discs(table, walk(FRAMES), 3.0)


def test_points_outside_of_the_picture_are_kept(tmp_path: Path) -> None:
    places = np.tile([WIDTH - 12.0, 14.0, 36.0], (FRAMES, 1))
    (table,) = taken(disc_video(tmp_path / "edge.mp4", places))
    assert table.face_found.all()
    assert (table.landmarks[:, CORNER, 1] < 0).all() and np.isfinite(table.landmarks).all()
    assert_on_discs(table, places, 12.0)  # a part of a disc has its middle elsewhere


def test_a_crop_that_was_cut_again_gives_the_point_of_the_second_one(tmp_path: Path) -> None:
    """The head lies far from its nominal place, so each crop is refined."""
    path = disc_video(tmp_path / "walk.mp4", walk(FRAMES))
    nominal = {"nominal_u": 0.0, "nominal_v": 0.5, "nominal_s": 3.6}
    regressor = PointedRegressor(**nominal)
    settings = CaptureSettings(landmarks=True)
    (table,) = FaceCapture(DiscDetector(), regressor, settings).capture_tracks(Clip("clip", str(path)))
    assert regressor.crops > 1.5 * FRAMES
    assert_on_discs(table, walk(FRAMES))


def test_everyone_has_landmarks(tmp_path: Path) -> None:
    ada, ben = (130.0, 120.0, 36.0, 30), (350.0, 120.0, 30.0, 220)
    pictures = [crowd(ada, ben) if k < 30 else crowd(ada) for k in range(FRAMES)]
    path = write_video(tmp_path / "two.mkv", pictures, codec="ffv1", pixel_format="bgr0")
    tables = taken(path, faces="all")
    assert len(tables) == 2
    for table, place in zip(tables, (ada, ben), strict=True):
        assert_on_discs(table, np.tile(place[:3], (len(table), 1)))
    assert to_arrow(tables[1]).column_names == [*SCHEMA.names, SHOT_NAME, *COLUMNS, *GAZE_NAMES]
    whole = with_rows_of(tables[1], tables[0])
    assert whole.landmarks.shape == tables[0].landmarks.shape and np.isnan(whole.landmarks[-1]).all()
    for solved in solve_tracks(tables):
        np.testing.assert_allclose(
            solved.landmarks[:20, MIDDLE], tables[solved.track].landmarks[:20, MIDDLE], atol=0.5
        )


def test_files_keep_them_and_nobody_else_has_them(tmp_path: Path) -> None:
    path = disc_video(tmp_path / "walk.mp4", walk(FRAMES), hidden=range(12, 26))
    with_points, plain = taken(path), taken(path, landmarks=False)
    arrow = to_arrow(with_points[0])
    assert arrow.column_names == [*SCHEMA.names, *COLUMNS, *GAZE_NAMES]
    assert {"landmark_convention", "gaze_convention"} <= {key.decode() for key in arrow.schema.metadata}
    assert (
        arrow["landmark01Y"].null_count
        == arrow["gazeLeftYaw"].null_count
        == FRAMES - sum(with_points[0].face_found)
    )
    assert to_arrow(plain[0]).equals(arrow.select(SCHEMA.names))
    assert not [key for key in to_arrow(plain[0]).schema.metadata if b"landmark" in key or b"gaze" in key]
    write_tracks(with_points, tmp_path / "a.parquet")
    write_tracks(read_tracks(tmp_path / "a.parquet"), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_regressor_without_landmarks_is_refused() -> None:
    with pytest.raises(EngineError, match=r"'discs' has no output 'landmarks' of shape \['N', points, 2\]"):
        FaceCapture(DiscDetector(), DiscRegressor(), CaptureSettings(landmarks=True))
