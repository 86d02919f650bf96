"""Faces painted by their landmarks: what is painted, and where."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facecap_batch.engines.default_crop import CROP
from facecap_batch.training.rendering import dataset
from facecap_batch.training.rendering.retouch import LIPS, Style, random_style, retouch
from tests.support.head import rig_for_tests

NOTHING = Style(
    moustache=0.0,
    chin=0.0,
    beard=0.0,
    brows=0.0,
    hair=np.array([20, 15, 10], np.float32),
    lips=0.0,
    lip_colour=np.array([160, 60, 60], np.float32),
    eyeballs=0.0,
    sockets=0.0,
    lashes=0.0,
    reach=0.6,
    light=np.ones((3, 3), np.float32),
)


def pixels(points: np.ndarray) -> np.ndarray:
    return (points + 1) * (CROP / 2) - 0.5


def ellipse(count: int, width: float, height: float, middle: np.ndarray) -> np.ndarray:
    """Landmarks from the image's left corner over the top."""
    turn = np.linspace(np.pi, -np.pi, count, endpoint=False)
    return np.stack([width * np.cos(turn), -height * np.sin(turn)], 1) + middle


@pytest.fixture
def points() -> np.ndarray:
    """A face from the front: 71 landmarks in crop units."""
    face = np.zeros((71, 2))
    face[0:17] = np.stack([np.linspace(-0.5, 0.5, 17), 0.6 * np.sin(np.linspace(0, np.pi, 17))], 1)
    face[17:22] = np.stack([np.linspace(-0.38, -0.12, 5), np.full(5, -0.3)], 1)
    face[22:27] = -face[17:22][::-1] * [1, -1]
    face[27:31] = np.stack([np.zeros(4), np.linspace(-0.2, 0.05, 4)], 1)
    face[31:36] = np.stack([np.linspace(-0.09, 0.09, 5), np.full(5, 0.1)], 1)
    face[36:42] = ellipse(6, 0.08, 0.04, np.array([-0.22, -0.2]))
    face[42:48] = ellipse(6, 0.08, 0.04, np.array([0.22, -0.2]))
    face[48:60] = ellipse(12, 0.16, 0.06, np.array([0.0, 0.28]))
    face[60:68] = ellipse(8, 0.1, 0.01, np.array([0.0, 0.28]))
    return face


def painted(points: np.ndarray, **strengths: float) -> np.ndarray:
    image = np.full((CROP, CROP, 3), 180, np.uint8)
    retouch(image, points, dataclasses.replace(NOTHING, **strengths), np.random.default_rng(0))
    return image


def rows_painted(image: np.ndarray) -> tuple[int, int]:
    changed = np.flatnonzero((image != 180).any(axis=(1, 2)))
    return int(changed[0]), int(changed[-1])


def test_a_style_of_nothing_leaves_the_crop(points):
    assert (painted(points) == 180).all()


def test_hair_grows_where_it_grows_and_not_on_lips(points):
    mouth, nose, chin = (pixels(points)[row, 1] for row in (51, 33, 8))
    top, bottom = rows_painted(painted(points, moustache=0.9))
    assert nose - 3 < top < mouth < bottom < pixels(points)[57, 1]
    top, bottom = rows_painted(painted(points, chin=0.9))
    assert mouth < top and chin - 3 < bottom < chin + 6
    everywhere = painted(points, moustache=0.9, chin=0.9, beard=0.9)
    middle = pixels(points[list(LIPS)]).mean(0).round().astype(int)
    assert (everywhere[middle[1], middle[0]] > 170).all()
    cheek = pixels(np.array([[-0.3, 0.35]])).round().astype(int)[0]
    assert (everywhere[cheek[1], cheek[0]] < 130).all()


def test_lids_shade_eyes_and_brows_darken(points):
    shaded = painted(points, eyeballs=0.4)
    eye = pixels(points[36:42]).mean(0).round().astype(int)
    assert (np.abs(shaded[eye[1], eye[0]].astype(int) - 180 * 0.6) < 8).all()
    brows = painted(points, brows=0.9)
    brow = pixels(points[[19]])[0].round().astype(int)
    assert (brows[brow[1], brow[0]] < 120).all() and (brows[eye[1], eye[0]] == 180).all()


def test_light_falls_from_one_side(points):
    lit = painted(points, light=np.array([[0.5, 1, 1.2]] * 3, np.float32))
    assert lit[:, :20].mean() < 110 < 170 < lit[:, -20:].mean()


def test_people_differ_and_are_reproducible():
    styles = [random_style(np.random.default_rng(number)) for number in range(200)]
    bearded = np.mean([style.moustache > 0 for style in styles])
    assert 0.25 < bearded < 0.6
    assert (
        dataclasses.astuple(random_style(np.random.default_rng(1)))[:4] == dataclasses.astuple(styles[1])[:4]
    )


def test_shards_show_painted_people_and_others(monkeypatch):
    """One in RETOUCHED of people is painted, all pictures of one alike."""
    seen: list[Style | None] = []
    finish = dataset.finish
    monkeypatch.setattr(dataset, "finish", lambda *given: seen.append(given[2]) or finish(*given))
    dataset.face_shard(rig_for_tests(), 3, 12 * dataset.IMAGES_PER_PERSON)
    people = [seen[k : k + dataset.IMAGES_PER_PERSON] for k in range(0, len(seen), dataset.IMAGES_PER_PERSON)]
    assert all(len({id(style) for style in person}) == 1 for person in people)
    assert any(person[0] is None for person in people) and any(person[0] for person in people)
