"""Training of the default regressor: mirrored labels, patches, losses that fall, checkpoints, the exported
engine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facecap_batch.capturing.regressor import Regressor
from facecap_batch.checks.output_parity import difference, limit_of
from facecap_batch.coefficients import ARKIT_NAMES, OUTPUT_NAMES, UPPER_FACE
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import EngineMismatch
from facecap_batch.training.crops import batches as face_batches
from facecap_batch.training.crops import distillation
from facecap_batch.training.crops.alignment import (
    OwnAlignment,
    marks_in_patch,
    warp_patches,
)
from facecap_batch.training.crops.batches import FaceBatch, FaceBatches, mirror
from facecap_batch.training.crops.examples import hidden_share
from facecap_batch.training.crops.negatives import negatives
from facecap_batch.training.mirror import LEFT_CHANNELS, MIRRORED_CHANNELS, RIGHT_CHANNELS
from facecap_batch.training.networks.expression import Expression, Patches
from facecap_batch.training.networks.face_regressor import FaceRegressor
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.networks.patches import cut, points_in_crop
from facecap_batch.training.networks.sizes import DEFAULT, FAST, Design
from facecap_batch.training.optimisation.checkpoint import Training
from facecap_batch.training.regressor import export
from facecap_batch.training.rendering import dataset
from tests.support.crops import batch_of, true_alignment

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import train_regressor


def test_mirroring_twice_is_nothing(shard):
    batch = batch_of(shard, len(shard.image))
    every = np.ones(len(shard.image), bool)
    once = mirror(batch, every)
    twice = mirror(once, every)
    np.testing.assert_array_equal(twice.image, batch.image)
    for name in ("coefficients", "head", "points", "covered"):
        torch.testing.assert_close(getattr(twice, name), getattr(batch, name))
    left, right = ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")
    torch.testing.assert_close(once.coefficients[:, left], batch.coefficients[:, right])
    torch.testing.assert_close(once.points[:, 68, 0], -batch.points[:, 69, 0])
    assert batch.covered.any()
    torch.testing.assert_close(hidden_share(once.covered), hidden_share(batch.covered)[:, [1, 0, 2]])


def test_landmarks_under_a_hand_are_known_as_covered(shard, tmp_path, monkeypatch):
    """On grey crops a landmark is covered where something of another colour was laid."""
    blank = np.full_like(shard.image, 128)
    bare = dataclasses.replace(shard, image=blank, covered=np.zeros_like(shard.covered))
    dataset.save(tmp_path / "faces_0001.npz", dataclasses.asdict(bare))
    monkeypatch.setattr(face_batches, "OCCLUDED", 0.1)
    batches = FaceBatches([tmp_path], 32, seed=3)
    hidden = 0
    for _ in range(12):
        batch = next(batches)
        place = np.floor((batch.points.numpy() + 1) * (dataset.CROP / 2)).astype(int)
        inside = ((place >= 0) & (place < dataset.CROP)).all(axis=2)
        x, y = place.clip(0, dataset.CROP - 1).transpose(2, 0, 1)
        painted = (batch.image[np.arange(32)[:, None], y, x] != 128).any(axis=2) & inside
        np.testing.assert_array_equal(batch.covered.numpy(), painted)
        hidden += int((hidden_share(batch.covered) > 0.5).sum())
    assert hidden > 3


def patches_of(batch: FaceBatch, design: Design) -> list[torch.Tensor]:
    """As the exported graph gathers them: float32 [B, 3, side, side] in 0..2, in the order of its windows."""
    crop = torch.from_numpy(dataset.resized(batch.image, design.crop))
    return cut(crop, true_alignment(batch).affines(design), [window.side for window in design.windows.each])


@pytest.mark.parametrize("design", [DEFAULT, FAST])
def test_patches_of_training_are_those_of_the_network(shard, design):
    """uint8 warps in training and the exported graph's gathering show the same pixels."""
    batch = batch_of(shard, 16)
    warped = warp_patches(batch.image, true_alignment(batch), design)
    for graph, patch in zip(patches_of(batch, design), warped, strict=True):
        pixels = graph.permute(0, 2, 3, 1).numpy() * 127.5
        # A position halfway between two pixels may be rounded either way.
        assert (np.abs(pixels - patch).max(axis=-1) > 1.5).mean() < 0.01


def test_the_network_sees_both_sides_alike(shard):
    """Eyes and sides swapped, as in a mirror, give the same numbers with left and right swapped."""
    torch.manual_seed(0)
    expression = Expression().eval()
    for head in (expression.upper_paired_out, expression.lower_paired_out):
        torch.nn.init.normal_(head[-1].weight, 0, 0.1)
    # A face that is its own mirror image, as far as the network knows.
    expression.mirrored = torch.nn.Identity()
    batch = batch_of(shard, 4)
    left_eye, right_eye, left_side, right_side, face = patches_of(batch, DEFAULT)
    angles = batch.head[:, :3]
    mirror_angles = angles * torch.tensor([-1.0, 1.0, -1.0])
    with torch.inference_mode():
        plain, _ = expression(Patches(left_eye, right_eye, left_side, right_side, face), angles)
        swapped, _ = expression(Patches(right_eye, left_eye, right_side, left_side, face), mirror_angles)
    torch.testing.assert_close(plain.hidden, swapped.hidden[:, [1, 0, 2]])
    torch.testing.assert_close(plain.coefficients[:, LEFT_CHANNELS], swapped.coefficients[:, RIGHT_CHANNELS])
    torch.testing.assert_close(plain.log_spread[:, LEFT_CHANNELS], swapped.log_spread[:, RIGHT_CHANNELS])
    assert (plain.coefficients[:, LEFT_CHANNELS] - plain.coefficients[:, RIGHT_CHANNELS]).abs().max() > 1e-3


def test_what_a_mouth_does_moves_neither_lids_nor_brows(shard):
    torch.manual_seed(0)
    expression = Expression().eval()
    for name, weight in expression.named_parameters():
        if name.endswith("_out.2.weight"):
            torch.nn.init.normal_(weight, 0, 0.1)
    patches = dict(zip(("left_eye", "right_eye", "left_side", "right_side", "face"),
                       patches_of(batch_of(shard, 4), DEFAULT), strict=True))  # fmt: skip
    angles = torch.zeros(4, 3)
    with torch.inference_mode():
        before, _ = expression(Patches(**patches), angles)
        other = {name: patches[name].flip(0) for name in ("left_side", "right_side", "face")}
        after, _ = expression(Patches(**patches | other), angles)
    upper = torch.tensor(UPPER_FACE)
    torch.testing.assert_close(before.coefficients[:, upper], after.coefficients[:, upper])
    assert ((before.coefficients - after.coefficients)[:, ~upper].abs() > 1e-3).any()


def test_aligned_patches_turn_the_head_that_the_whole_crop_shows(shard):
    torch.manual_seed(0)
    whole = FaceRegressor().eval()
    crop = torch.from_numpy(shard.image[:4])
    turn = torch.tensor([0.1, -0.2, 0.3])
    torch.nn.init.zeros_(whole.expression.turn_out[-1].weight)
    with torch.inference_mode():
        head, *_ = whole.locator(whole.locator.shrunk(crop))
        whole.expression.turn_out[-1].bias.copy_(turn)
        outputs, *_ = whole(crop)
    torch.testing.assert_close(outputs[:, 51:54], head[:, :3] + turn)
    torch.testing.assert_close(outputs[:, 54:], head[:, 3:])


def test_a_mirrored_crop_gives_mirrored_patches(shard):
    batch = batch_of(shard, 6)
    crops = [patches_of(b, DEFAULT) for b in (batch, mirror(batch, np.ones(6, bool)))]
    for own, other in ((0, 1), (1, 0), (2, 3), (3, 2)):  # the right ones are cut in a mirror already
        assert_nearly_all_alike(crops[0][own], crops[1][other])
    assert_nearly_all_alike(crops[0][4], crops[1][4].flip(3))


def assert_nearly_all_alike(one: torch.Tensor, other: torch.Tensor) -> None:
    # Places are rounded to quarters of a pixel, and in a mirror the other way: a patch or two of six move.
    assert ((one - other).abs().amax(dim=1) > 2e-3).float().mean() < 0.35


def test_marks_lie_where_they_are_seen(shard):
    """A landmark drawn into the crop is at its place in the patch."""
    batch = batch_of(shard, 4)
    image = np.zeros_like(batch.image)
    size, fold = DEFAULT.crop, dataset.CROP // DEFAULT.crop
    corner = ((batch.points[:, 45] + 1) * (size / 2) - 0.5).round().long().numpy() * fold
    for row, (x, y) in enumerate(corner):  # two pixels: wide enough for the nearest one to hit them
        image[row, y : y + 2 * fold, x : x + 2 * fold] = 255
    drawn = dataclasses.replace(batch, image=image)
    affine, side = true_alignment(batch).affines(DEFAULT)[0], DEFAULT.windows.eye.side
    marks = marks_in_patch(batch.points, affine, side, size)
    back = points_in_crop(marks, affine, side, size)
    torch.testing.assert_close(back, batch.points, atol=1e-4, rtol=0)
    for picture, (u, v) in zip(patches_of(drawn, DEFAULT)[0], marks[:, 45].numpy(), strict=True):
        y, x = divmod(int(picture[0].argmax()), side)
        step = 2 / side
        assert picture.max() > 1.9
        assert abs((x + 0.5) * step - 1 - u) < 2 * step and abs((y + 0.5) * step - 1 - v) < 2 * step


def test_a_batch_is_mixed_and_in_range(folder):
    batch = next(iter(FaceBatches([folder], 16, seed=0)))
    assert batch.image.shape == (16, dataset.CROP, dataset.CROP, 3)
    assert batch.coefficients.shape == (16, 51) and batch.coefficients.min() >= 0
    batches = FaceBatches([folder], 64, seed=1)
    shard = dataset.load_faces(folder / "faces_0001.npz")
    originals = {image.tobytes() for image in shard.image} | {
        image[:, ::-1].tobytes() for image in shard.image
    }
    covered = np.mean([image.tobytes() not in originals for _ in range(4) for image in next(batches).image])
    assert 0 < covered < 0.1  # OCCLUDED of them, and never the shard's own pictures
    with pytest.raises(ValueError, match="whole groups"):
        FaceBatches([folder], 12, seed=0)
    with pytest.raises(FileNotFoundError, match="synthesise"):
        next(iter(FaceBatches([folder / "none"], 8, seed=0)))


def test_negatives_are_pictures_of_many_kinds(shard):
    pictures = negatives(shard, 0, 24)
    assert pictures.shape == (24, dataset.CROP, dataset.CROP, 3)
    upright = {face.tobytes() for face in shard.image}
    assert not any(picture.tobytes() in upright for picture in pictures)
    assert len(np.unique(pictures.reshape(24, -1).mean(axis=1).round(2))) > 20


def test_batches_hold_as_many_people_of_each_family(shard, folder, tmp_path):
    other = dataclasses.replace(shard, tone=shard.tone + 7, coefficients=shard.coefficients * 0 + 0.77)
    dataset.save(tmp_path / "faces_0001.npz", dataclasses.asdict(other))
    batch = next(FaceBatches([folder, tmp_path], 32, seed=0))
    assert ((batch.coefficients - 0.77).abs() < 1e-6).all(1).sum() == 16
    with pytest.raises(ValueError, match="2 folders"):
        FaceBatches([folder, tmp_path], 24, seed=0)


def test_training_learns_resumes_and_exports(shard, folder, random_engines, tmp_path):
    run = tmp_path / "run"
    runner = CliRunner()

    def train(part: str, samples: int, *more: str) -> None:
        options = {"--data": folder, "--run": run, "--samples": samples, "--batch": 8, "--processes": 0}
        words = [word for name, value in options.items() for word in (name, str(value))]
        result = runner.invoke(
            train_regressor.app, ["train", part, *words, "--size", "fast", "--empty-crops", "40", *more]
        )
        assert result.exit_code == 0, result.output

    train("locator", 48)
    train("expression", 48)
    train("expression", 96, "--cuts", str(run))
    state = torch.load(run / "expression.pt", weights_only=True)
    assert state["samples"] == 96
    assert [line.split("# ")[1] for line in state["runs"]] == ["48 crops", "48 crops"]
    assert "--cuts" in state["runs"][1] and "--cuts" not in state["runs"][0]
    network = train_regressor.averaged(run, train_regressor.Size.fast)
    card = export.export(network, [shard], tmp_path / "engine", state["runs"], "mine")
    crops = dataset.resized(shard.image[:5], FAST.crop)
    predicted = open_engine(card, "onnxruntime-cpu").run(crops)
    assert card.output_names == OUTPUT_NAMES
    assert set(card.gains) == set(ARKIT_NAMES) and min(card.gains.values()) >= 1
    with torch.inference_mode():
        outputs, points, presence, hidden, spread = export.rounded(network)(torch.from_numpy(crops))
    # A patch whose place lies between two quarters of a pixel may be cut at either, whoever computes it.
    assert difference("outputs", outputs.numpy(), predicted["outputs"]).within(
        limit_of(card, "outputs", "fp32")
    )
    np.testing.assert_allclose(predicted["landmarks"], points, atol=1e-4)
    np.testing.assert_allclose(predicted["presence"], presence, atol=1e-4)
    np.testing.assert_allclose(predicted["hidden"], hidden, atol=1e-4)
    np.testing.assert_allclose(predicted["spread"], spread, atol=1e-4)

    kept = ["keep", "--run", str(run), "--output", str(tmp_path / "kept")]
    kept += ["--heldout", str(folder), "--size", "fast"]
    assert runner.invoke(train_regressor.app, kept).exit_code == 0
    card = json.loads((tmp_path / "kept" / "expression.json").read_text())
    assert card["samples"] == 96 and card["runs"] == state["runs"]
    assert card["sha256"] == hashlib.sha256((tmp_path / "kept" / "expression.pt").read_bytes()).hexdigest()
    assert {name.split("_", 1)[1] for name in card["quality"]} == {"mean_r", "sides_r", "median_slope"}
    run = tmp_path / "next"
    distill = ["distill", "--data", str(folder), "--engines", str(random_engines.folder)]
    distill += ["--output", str(tmp_path / "distilled")]
    assert "1 shards" in runner.invoke(train_regressor.app, distill).output
    assert "0 shards" in runner.invoke(train_regressor.app, distill).output
    distilled = ["--distilled", str(tmp_path / "distilled"), "--augmentation", "0.75"]
    train("expression", 144, "--warm-start", str(tmp_path / "kept"), *distilled)
    pupil = torch.load(run / "expression.pt", weights_only=True)
    assert pupil["samples"] == 144
    assert "--augmentation 0.75 --distilled" in pupil["runs"][-1]


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(folder, tmp_path):
    """A checkpoint holds weights, their average, the optimiser and the count of crops: all of what a step
    needs."""

    def module() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))

    def steps(training: Training, first: int, count: int) -> None:
        for number in range(first, first + count):
            inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(number))
            training.step(training.module(inputs).square().mean(), 1e-2, 8)

    whole, before, after = (Training(module(), 1e-2) for _ in range(3))
    steps(whole, 0, 20)
    steps(before, 0, 11)
    before.save(tmp_path / "half.pt")
    after.load(tmp_path / "half.pt")
    steps(after, 11, 9)
    assert (after.samples, after.steps) == (whole.samples, whole.steps) == (160, 20)
    for name in ("module", "average"):
        for one, other in zip(
            getattr(whole, name).parameters(), getattr(after, name).parameters(), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("design", [DEFAULT, FAST])
def test_a_network_cuts_in_training_where_it_cuts_as_an_engine(shard, design):
    torch.manual_seed(0)
    whole = FaceRegressor(design).eval()
    batch = batch_of(shard, 4)
    alignment = OwnAlignment(whole)(batch)
    with torch.inference_mode():
        crops = torch.from_numpy(dataset.resized(batch.image, design.crop))
        head, _, _ = whole.locator(whole.locator.shrunk(crops))
        _, points, *_ = whole(crops)
    torch.testing.assert_close(alignment.head, head, atol=1e-3, rtol=0)
    torch.testing.assert_close(alignment.points, points, atol=2e-3, rtol=0)


def test_teachers_say_of_a_mirrored_crop_what_they_say_of_the_crop(shard, random_engines):
    engine = open_engine(load_set(str(random_engines.folder)).regressor, "onnxruntime-cpu")
    teacher = Regressor(engine, distillation.BATCH)
    plain, mirrored = (
        distillation.predictions([teacher], crops) for crops in (shard.image, shard.image[:, :, ::-1])
    )
    np.testing.assert_allclose(mirrored[:, list(MIRRORED_CHANNELS)], plain, atol=1e-6)
    alone = teacher.read(list(shard.image)).coefficients
    assert np.abs(plain - alone).max() > 1e-6
    np.testing.assert_allclose(distillation.predictions([teacher, teacher], shard.image), plain, atol=1e-6)


def test_a_regressor_that_takes_other_crops_cannot_teach(shard, random_engines):
    engine = open_engine(load_set(str(random_engines.folder)).regressor, "onnxruntime-cpu")
    teacher = Regressor(engine)
    teacher.crop_scale = 1.9
    with pytest.raises(EngineMismatch, match=r"1\.9 times the face.*cannot teach"):
        distillation.predictions([teacher], shard.image)


def test_batches_bring_what_was_taught_of_their_own_crops(shard, folder, tmp_path):
    """Teachers that predict the labels: whatever is drawn and mirrored, labels and lesson stay the same."""
    with pytest.raises(FileNotFoundError, match="distill"):
        next(FaceBatches([folder], 16, seed=0, distilled=[tmp_path]))
    np.save(distillation.path_of(tmp_path, min(folder.glob("faces_*.npz"))), shard.coefficients)
    batches = FaceBatches([folder], 16, seed=0, distilled=[tmp_path])
    for _ in range(4):
        batch = next(batches)
        torch.testing.assert_close(batch.distilled, batch.coefficients)


def test_a_whole_regressor_gives_the_contract(shard):
    outputs, points, presence, hidden, spread = FaceRegressor().eval()(torch.from_numpy(shard.image[:2]))
    assert outputs.shape == (2, 57) and points.shape == (2, 71, 2) and presence.shape == (2,)
    assert hidden.shape == (2, 3) and (hidden >= 0).all() and (hidden <= 1).all()
    assert spread.shape == (2, 51) and (spread > 0).all()
    assert (outputs[:, :51] >= 0).all() and (outputs[:, :51] <= 1).all()


def test_a_folder_without_shards_is_named(tmp_path):
    words = ["train", "locator", "--data", str(tmp_path), "--run", str(tmp_path / "run"), "--samples", "8"]
    result = CliRunner().invoke(train_regressor.app, words, env={"COLUMNS": "400"})
    assert result.exit_code == 2 and f"{tmp_path} holds no faces_*.npz" in result.output


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_networks_learn_and_keep_their_names(folder, tmp_path):
    words = [
        "train",
        "locator",
        "--data",
        str(folder),
        "--run",
        str(tmp_path),
        "--samples",
        "16",
        "--batch",
        "8",
    ]
    words += ["--size", "fast", "--empty-crops", "40", "--compiled"]
    result = CliRunner().invoke(train_regressor.app, words)
    assert result.exit_code == 0, result.output
    state = torch.load(tmp_path / "locator.pt", weights_only=True)
    assert state["samples"] == 16
    Locator(FAST).load_state_dict(state["module"])
