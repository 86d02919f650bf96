"""The job that judges a regressor, on the crude head of the tests and an engine of random weights."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.mirror import MIRRORED_CHANNELS
from facecap_batch.training.people.rig import Family, Rig
from facecap_batch.training.regressor import evaluation, movements
from facecap_batch.training.rendering import dataset
from tests.support.head import rig_for_tests

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import evaluate


def test_an_engine_is_judged_by_family_on_every_channel(
    folder, random_engines, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(evaluate, "PEOPLE_ALONE", 1)
    monkeypatch.setattr(evaluate, "Sources", lambda *_: HeadOnly())
    report, figures = tmp_path / "quality.md", tmp_path / "quality.json"
    picture = tmp_path / "images" / "quality.jpg"
    engines = str(random_engines.folder)
    heldout = [tmp_path / family / "faces" for family in ("ict", "hm08")]
    for other in heldout:
        shutil.copytree(folder, other)
    evaluate.main(heldout, engines, "onnxruntime-cpu", tmp_path, None, tmp_path, figures, report, picture)
    text = report.read_text()
    assert "](images/quality.jpg)" in text
    drawn = cv2.imread(str(picture))
    assert drawn.shape[1] == evaluate.COLUMNS * evaluation.TILE and drawn.std() > 20
    assert text in capsys.readouterr().out
    assert text.count("| all | 32 |") == 2 and "closed eyes, F1" in text
    assert all(f"| `{name}` |" in text for name in ARKIT_NAMES)
    families = json.loads(figures.read_text())["families"]
    assert list(families) == ["ict", "hm08"] and families["ict"] == families["hm08"]
    found = families["hm08"]
    assert set(found["r"]) == set(ARKIT_NAMES) and found["slices"]["all"]["crops"] == 32
    sizes = [found["slices"][f"face of {pixels} pixels"] for pixels in evaluate.FACES]
    assert all(size["crops"] == 32 for size in sizes)
    assert len({size["landmarks_percent"] for size in (*sizes, found["slices"]["all"])}) == 4
    assert all(value > 0 for name, value in found["single"].items() if name.startswith("taken again"))
    assert set(found["moved"]["together"]) == set(ARKIT_NAMES)
    assert len(found["moved"]["one side"]) == len(movements.PAIRS)


class HeadOnly:
    """The tests' crude head as every family."""

    def load(self, family: Family) -> Rig:
        return rig_for_tests()


def test_crops_are_grouped_by_the_age_of_their_people_where_it_is_known(shard):
    ages = np.array([3, 14.9, 15, 59.9, 60, 85, np.nan, np.nan], np.float32)
    aged = dataclasses.replace(shard, age=np.resize(ages, len(shard.image)))
    found = {name: rows for name, rows in evaluate._slices(aged).items() if name.endswith("years")}
    assert list(found) == ["child, 0-15 years", "adult, 15-60 years", "old, 60-120 years"]
    assert [np.flatnonzero(rows[:8]).tolist() for rows in found.values()] == [[0, 1], [2, 3], [4, 5]]
    assert not any(rows.any() for name, rows in evaluate._slices(shard).items() if name.endswith("years"))


def test_a_folder_named_after_no_family_is_refused_before_anything_is_measured(
    folder, random_engines, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluate, "Sources", lambda *_: HeadOnly())
    monkeypatch.setattr(evaluate, "_judged", None)
    with pytest.raises(typer.BadParameter, match=r"no family of rigs \(ict, hm08\)"):
        evaluate.main([folder], str(random_engines.folder), "onnxruntime-cpu", tmp_path, None, tmp_path)


def test_single_movements_are_known_by_which_side_does_them(monkeypatch):
    """A reader that knows what is rendered, and one that takes left for right as well."""
    faces: list[np.ndarray] = []
    drawn = movements.render
    monkeypatch.setattr(movements, "render", lambda *given: faces.append(given[2]) or drawn(*given))

    def knowing(image: np.ndarray) -> np.ndarray:
        return np.stack(faces[-len(image) :]) * 0.5 + 0.1

    def blind(image: np.ndarray) -> np.ndarray:
        known = knowing(image)
        return (known + known[:, list(MIRRORED_CHANNELS)]) / 2

    known, alike = (movements.measure(rig_for_tests(), reader, people=2) for reader in (knowing, blind))
    np.testing.assert_allclose(known.together, 0.4, atol=1e-6)
    np.testing.assert_allclose(known.gain, 0.5, atol=1e-6)
    np.testing.assert_allclose(known.leak, 0.0, atol=1e-6)
    np.testing.assert_allclose(known.sides_r, 1.0, atol=1e-6)
    assert known.rest == pytest.approx([0.1] * 3, abs=1e-6)
    np.testing.assert_allclose(alike.gain, 0.25, atol=1e-6)
    np.testing.assert_allclose(alike.leak, 0.2, atol=1e-6)
    np.testing.assert_allclose(alike.sides_r, 0.0, atol=1e-6)


def test_what_both_sides_do_together():
    done = {
        name: set(np.array(ARKIT_NAMES)[movements.together(number) > 0])
        for number, name in enumerate(ARKIT_NAMES)
    }
    assert done["jawLeft"] == {"jawLeft"} and done["browInnerUp"] == {"browInnerUp"}
    assert done["mouthSmileLeft"] == {"mouthSmileLeft", "mouthSmileRight"}
    assert done["eyeLookInRight"] == {"eyeLookInRight", "eyeLookOutLeft"}
    assert done["eyeLookOutLeft"] == done["eyeLookInRight"]
    assert done["mouthClose"] == {"mouthClose", "jawOpen"}


def test_a_face_from_small_footage_has_lost_what_is_finer(shard):
    crops = shard.image[:4]

    def detail(pictures: np.ndarray) -> float:
        return float(np.abs(np.diff(pictures.astype(float), axis=2)).mean())

    details = [detail(evaluation.from_smaller_faces(crops, pixels)) for pixels in (24, 48, 96)]
    assert details == sorted(details) and details[-1] < detail(crops)
    assert evaluation.from_smaller_faces(crops, 24).shape == crops.shape


def test_a_crop_that_is_taken_again_is_the_same_face_elsewhere(shard):
    crops = shard.image[:4]
    again = evaluation.taken_again(crops, np.random.default_rng(0))
    assert again.shape == crops.shape and again.dtype == np.uint8 and (again != crops).mean() > 0.5
    here, there = (
        pictures.reshape(4, 24, 8, 24, 8, 3).astype(float).mean((2, 4)) for pictures in (crops, again)
    )
    assert np.abs(here - there).mean() < 8


def test_the_picture_goes_from_the_best_crop_to_the_worst(shard):
    predicted = shard.coefficients.copy()
    predicted[:, 0] += np.linspace(0.0, 1.0, len(predicted), dtype=np.float32)
    drawn = evaluation.picture(shard, predicted, shard.points, 3, 1)
    best = cv2.resize(shard.image[0], (evaluation.TILE, evaluation.TILE), interpolation=cv2.INTER_CUBIC)
    worst = cv2.resize(shard.image[-1], (evaluation.TILE, evaluation.TILE), interpolation=cv2.INTER_CUBIC)
    for tile, crop in ((drawn[:, : evaluation.TILE], best), (drawn[:, -evaluation.TILE :], worst)):
        assert (tile[: evaluation.TILE] == crop).mean() > 0.8  # all but the landmarks


def test_a_picture_of_an_unknown_kind_is_refused_before_anything_is_run(folder, random_engines, tmp_path):
    with pytest.raises(typer.BadParameter, match=r"quality\.tif.*\.jpg or \.png"):
        evaluate.main([folder], str(random_engines.folder), picture=tmp_path / "quality.tif")


def test_a_handful_of_crops_is_no_judgement(shard, random_engines, tmp_path):
    few = dataset.FaceShard(*(getattr(shard, name)[:8] for name in evaluate.FIELDS))
    dataset.save(tmp_path / "faces_0001.npz", dataclasses.asdict(few))
    with pytest.raises(typer.BadParameter, match="too few"):
        evaluate.main([tmp_path], str(random_engines.folder))


def test_resting_faces_show_what_skin_does_to_a_reading():
    def darkness(image: np.ndarray) -> np.ndarray:
        middle = image[:, 80:112, 80:112].mean((1, 2, 3)) / 255
        return np.repeat(1 - middle[:, None], len(ARKIT_NAMES), 1)

    fair, medium, deep = movements.measure(rig_for_tests(), darkness, people=3).rest
    assert fair < medium < deep
