"""Several people in one clip, from its pictures to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.settings import MAX_FACES, CaptureSettings, faces_from
from facecap_batch.clip import Clip
from facecap_batch.coefficients import (
    SCHEMA,
    SHOT_NAME,
    CoefficientTable,
    read_parquet,
    read_tracks,
    to_arrow,
    write_tracks,
)
from facecap_batch.exporting.common_rows import with_rows_of
from facecap_batch.solve.actors import ActorStatistics
from facecap_batch.solve.people import solve_tracks
from tests.support.discs import DiscDetector, DiscRegressor
from tests.support.people import crowd
from tests.support.videos import write_video

ADA, BEN, CY = 30, 220, 80  # the shades that they wear
FRAMES = 120


def film(tmp_path: Path) -> Path:
    """Ada (the larger) and Ben change places, Ben leaves and returns; then they stand the other way round, in
    another shot; then there is Cy beside Ada, in a third."""
    pictures = []
    for k in range(FRAMES):
        if k < 60:
            slide = 100 * np.cos(np.pi * min(k / 30, 1))
            ada, ben = (240 - slide, 84.0, 40.0, ADA), (240 + slide, 200.0, 32.0, BEN)
            pictures.append(crowd(*([ada] if 38 <= k < 50 else [ada, ben])))
        elif k < 90:
            pictures.append(crowd((130, 120, 36, ADA), (350, 120, 30, BEN), background=200))
        else:
            pictures.append(crowd((340, 130, 44, ADA), (120, 120, 34, CY), background=60))
    return write_video(tmp_path / "film.mkv", pictures, codec="ffv1", pixel_format="bgr0")


def taken(path: Path, **settings: Any) -> tuple[CoefficientTable, ...]:
    capture = FaceCapture(DiscDetector(), DiscRegressor(), CaptureSettings(**settings))
    return capture.capture_tracks(Clip("film", str(path)))


def middles(table: CoefficientTable) -> dict[int, float]:
    """Frame -> where the face is, across the picture."""
    return {
        int(frame): float(box[[0, 2]].mean())
        for frame, box, found in zip(table.frame_index, table.box, table.face_found, strict=True)
        if found
    }


def test_everyone_keeps_an_id_through_crossing_absence_and_cuts(tmp_path: Path) -> None:
    ada, ben, cy = taken(film(tmp_path), faces="all")
    assert [table.track for table in (ada, ben, cy)] == [0, 1, 2]
    assert ada.shot is not None
    assert ada.shot.tolist() == [0] * 60 + [1] * 30 + [2] * 30
    of_ada, of_ben, of_cy = middles(ada), middles(ben), middles(cy)
    assert set(of_ada) == set(range(FRAMES)) and ada.face_found.all()
    assert of_ada[0] < 160 and of_ada[59] > 320 and of_ada[75] < 150 and of_ada[100] > 320
    assert of_ben[0] > 320 and of_ben[59] < 160 and of_ben[75] > 320
    assert not {*range(44, 48)} & set(of_ben) and {*range(51, 60)} <= set(of_ben)
    assert set(of_cy) == set(range(90, 120))


def test_rows_of_others_are_from_their_first_frame_to_their_last(tmp_path: Path) -> None:
    ada, ben, cy = taken(film(tmp_path), faces="all")
    assert ada.frame_index.tolist() == list(range(FRAMES))
    assert ben.frame_index.tolist() == list(range(90)) and not ben.face_found.all()
    assert cy.frame_index.tolist() == list(range(90, 120)) and cy.pts[0] == ada.pts[90]
    whole = with_rows_of(cy, ada)
    assert len(whole) == FRAMES and np.isnan(whole.box[:90]).all() and not whole.face_found[:90].any()
    np.testing.assert_array_equal(whole.coefficients[90:], cy.coefficients)


def test_a_number_takes_the_most_important(tmp_path: Path) -> None:
    path = film(tmp_path)
    two, everyone = taken(path, faces=2), taken(path, faces="all")
    assert len(two) == 2 and len(everyone) == 3
    for some, one in zip(two, everyone, strict=False):
        assert middles(some) == middles(one)


def test_one_face_is_as_ever(tmp_path: Path) -> None:
    """No shots, no further column, and the regressor reads no more than before."""
    (table,) = taken(film(tmp_path))
    assert table.shot is None and to_arrow(table).column_names == SCHEMA.names
    assert CaptureSettings().tracked_faces == CaptureSettings().max_faces == 2


def test_a_picture_is_looked_at_once_whatever_the_faces(tmp_path: Path) -> None:
    path, looks = film(tmp_path), []
    for faces in (1, "all"):
        detector, regressor = DiscDetector(), DiscRegressor()
        settings = CaptureSettings(faces=faces, try_turns=False)  # type: ignore[arg-type]
        FaceCapture(detector, regressor, settings).capture_tracks(Clip("film", str(path)))
        looks.append((detector.images, regressor.crops))
    (images, crops), (images_of_all, crops_of_all) = looks
    assert images_of_all == images
    assert crops_of_all <= crops + 2 * 8  # what is held at cuts and before returns


@pytest.mark.parametrize("batch", [2, 3])
def test_batches_change_nothing(batch: int, tmp_path: Path) -> None:
    path = film(tmp_path)
    first, second = taken(path, faces="all"), taken(path, faces="all", detect_batch=batch)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.box, other.box)
        np.testing.assert_array_equal(one.shot, other.shot)


def test_parquet_keeps_everyone(tmp_path: Path) -> None:
    tracks = taken(film(tmp_path), faces="all")
    write_tracks(tracks, tmp_path / "a.parquet")
    write_tracks(read_tracks(tmp_path / "a.parquet"), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    kept = read_tracks(tmp_path / "a.parquet")
    assert [(table.track, len(table), table.name) for table in kept] == [
        (0, FRAMES, "film"),
        (1, 90, "film.track1"),
        (2, 30, "film.track2"),
    ]
    for one, other in zip(tracks, kept, strict=True):
        assert to_arrow(one.replace(metadata={})).equals(to_arrow(other.replace(metadata={})))
    assert len(read_parquet(tmp_path / "a.parquet")) == FRAMES
    assert to_arrow(kept[0]).column_names == [*SCHEMA.names, SHOT_NAME]


def test_nothing_is_smoothed_or_filled_across_a_cut(tmp_path: Path) -> None:
    tracks = taken(film(tmp_path), faces="all")
    ada, ben, _ = solve_tracks(tracks)
    assert ada.metadata == ben.metadata and '"rejected": 0' in ada.metadata["solve"]
    # Each shot has another distance of Ada's, which holds up to the cut.
    for cut in (60, 90):
        before, after = ada.head[cut - 3 : cut, 5], ada.head[cut : cut + 3, 5]
        assert np.ptp(before) < 0.5 and np.ptp(after) < 0.5 and abs(before[-1] - after[0]) > 5
    lost = tracks[1].replace(face_found=tracks[1].face_found & ~np.isin(tracks[1].frame_index, range(57, 63)))
    _, filled = solve_tracks([tracks[0], lost])
    assert not np.isfinite(filled.box[57:63]).any()


def test_the_actor_is_the_main_subject_alone(tmp_path: Path) -> None:
    tracks = taken(film(tmp_path), faces=2)
    statistics = ActorStatistics("Ada")
    statistics.add(tracks[0])
    by_card, by_actor = (solve_tracks(tracks, None, actor) for actor in (None, statistics.calibration()))
    np.testing.assert_array_equal(by_card[1].coefficients, by_actor[1].coefficients)
    assert "calibration" in by_actor[1].metadata["solve"]


@pytest.mark.parametrize("text", ["0", "-1", "33", "many", "1.5", ""])
def test_numbers_of_faces_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match=f"1 to {MAX_FACES} or 'all'"):
        faces_from(text)


def test_numbers_of_faces() -> None:
    assert [faces_from(text) for text in ("1", " 12", "all", "ALL")] == [1, 12, "all", "all"]
    for wrong in (0, 33, "some"):
        with pytest.raises(ValueError, match="faces must be"):
            CaptureSettings(faces=wrong)  # type: ignore[arg-type]


def test_a_clip_without_faces_has_its_main_subject_all_the_same(tmp_path: Path) -> None:
    path = write_video(tmp_path / "nobody.mkv", [crowd()] * 9, codec="ffv1", pixel_format="bgr0")
    (table,) = taken(path, faces="all")
    assert len(table) == 9 and not table.face_found.any() and table.shot is not None
