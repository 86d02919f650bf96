"""Training of the default regressor: mirrored labels, patches, losses that fall, checkpoints, the exported
engine."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facecap_batch.capture.regressor import Regressor
from facecap_batch.checks.output_parity import difference, limit_of
from facecap_batch.coefficients import ARKIT_NAMES, OUTPUT_NAMES
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import EngineMismatch
from facecap_batch.training.networks.face_regressor import (
    LEFT_CHANNELS,
    RIGHT_CHANNELS,
    Expression,
    FaceRegressor,
    cut_face,
    cut_parts,
    halve,
    points_in_crop,
)
from facecap_batch.training.regressor import batches as face_batches
from facecap_batch.training.regressor import distillation, export, losses
from facecap_batch.training.regressor.batches import FaceBatch, FaceBatches, mirror, to_input
from facecap_batch.training.regressor.distillation import MIRRORED_CHANNELS
from facecap_batch.training.regressor.negatives import negatives
from facecap_batch.training.rendering import dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import train_regressor


def true_alignment(batch: FaceBatch) -> losses.Alignment:
    """Cuts where the labels say."""
    return losses.Alignment(batch.head, batch.points, batch.points)


def batch_of(shard: dataset.FaceShard, count: int) -> FaceBatch:
    names = ("coefficients", "head", "points", "covered")
    tensors = [torch.from_numpy(getattr(shard, name)[:count]) for name in names]
    return FaceBatch(shard.image[:count], *tensors)


def test_mirroring_twice_is_nothing(shard):
    batch = batch_of(shard, 8)
    every = np.ones(8, bool)
    once = mirror(batch, every)
    twice = mirror(once, every)
    np.testing.assert_array_equal(twice.image, batch.image)
    for name in ("coefficients", "head", "points", "covered"):
        torch.testing.assert_close(getattr(twice, name), getattr(batch, name))
    left, right = ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")
    torch.testing.assert_close(once.coefficients[:, left], batch.coefficients[:, right])
    torch.testing.assert_close(once.points[:, 68, 0], -batch.points[:, 69, 0])
    assert batch.covered.any()
    torch.testing.assert_close(
        losses.hidden_share(once.covered), losses.hidden_share(batch.covered)[:, [1, 0, 2]]
    )


def test_landmarks_under_a_hand_are_known_as_covered(shard, tmp_path, monkeypatch):
    """On grey crops a landmark is covered where something of another colour was laid."""
    blank = np.full_like(shard.image, 128)
    bare = dataclasses.replace(shard, image=blank, covered=np.zeros_like(shard.covered))
    dataset.save(tmp_path / "faces_0001.npz", dataclasses.asdict(bare))
    monkeypatch.setattr(face_batches, "OCCLUDED", 0.1)
    batches = FaceBatches(tmp_path, 32, seed=3)
    hidden = 0
    for _ in range(12):
        batch = next(batches)
        place = np.floor((batch.points.numpy() + 1) * (dataset.CROP / 2)).astype(int)
        inside = ((place >= 0) & (place < dataset.CROP)).all(axis=2)
        x, y = place.clip(0, dataset.CROP - 1).transpose(2, 0, 1)
        painted = (batch.image[np.arange(32)[:, None], y, x] != 128).any(axis=2) & inside
        np.testing.assert_array_equal(batch.covered.numpy(), painted)
        hidden += int((losses.hidden_share(batch.covered) > 0.5).sum())
    assert hidden > 3


def patches_of(batch: FaceBatch) -> tuple[torch.Tensor, ...]:
    crop = torch.from_numpy(batch.image)
    face, _ = cut_face(halve(crop), batch.head, batch.points)
    return *cut_parts(crop, batch.head, batch.points), face


def test_patches_of_training_are_those_of_the_network(shard):
    """uint8 warps in training and the exported graph's gathering show the same pixels."""
    batch = batch_of(shard, 16)
    warped = losses.warp_patches(batch.image, true_alignment(batch))
    for graph, patch, zero in zip(patches_of(batch), warped, (0.0, 0.0, 0.0, 127.5), strict=True):
        pixels = graph.permute(0, 2, 3, 1).numpy() * 127.5 + zero
        # A position halfway between two pixels may be rounded either way.
        assert (np.abs(pixels - patch).max(axis=-1) > 1.5).mean() < 0.01


def test_the_network_sees_both_eyes_alike(shard):
    """Eyes swapped, as in a mirror, give the same numbers with left and right swapped."""
    torch.manual_seed(0)
    expression = Expression().eval()
    torch.nn.init.normal_(expression.eye_out[-1].weight, 0, 0.1)
    batch = batch_of(shard, 4)
    left, right, mouth, face = patches_of(batch)
    angles = batch.head[:, :3]
    with torch.inference_mode():
        said, hidden, _ = expression(left, right, mouth, face, angles)
        swapped, other, _ = expression(right, left, mouth, face, angles * torch.tensor([-1.0, 1.0, -1.0]))
    torch.testing.assert_close(hidden, other[:, [1, 0, 2]])
    torch.testing.assert_close(said[:, LEFT_CHANNELS], swapped[:, RIGHT_CHANNELS])
    assert (said[:, LEFT_CHANNELS] - said[:, RIGHT_CHANNELS]).abs().max() > 1e-3


def test_aligned_patches_turn_the_head_that_the_whole_crop_shows(shard):
    torch.manual_seed(0)
    whole = FaceRegressor().eval()
    crop = torch.from_numpy(shard.image[:4])
    turn = torch.tensor([0.1, -0.2, 0.3])
    torch.nn.init.zeros_(whole.expression.turn_out[-1].weight)
    with torch.inference_mode():
        head, *_ = whole.locator(halve(crop))
        whole.expression.turn_out[-1].bias.copy_(turn)
        outputs, *_ = whole(crop)
    torch.testing.assert_close(outputs[:, 51:54], head[:, :3] + turn)
    torch.testing.assert_close(outputs[:, 54:], head[:, 3:])


def test_a_wrong_pose_is_turned_back_by_what_is_learnt(shard):
    """The loss is least where the turn makes up for the error of the angles."""
    batch = batch_of(shard, 16)
    torch.manual_seed(0)
    expression = Expression().eval()
    off = torch.tensor([0.1, -0.05, 0.08, 0.0, 0.0, 0.0])

    def loss(turn: torch.Tensor) -> float:
        with torch.no_grad():
            expression.turn_out[-1].bias.copy_(turn)
            rng = np.random.default_rng(2)
            alignment = losses.Alignment(batch.head + off, batch.points, batch.points)
            arguments = (expression, batch, alignment, torch.ones(51))
            return losses.expression_loss(*arguments, rng, style=0.0).item()

    assert loss(-off[:3]) < loss(torch.zeros(3)) < loss(off[:3])


def test_a_picture_without_colour_has_none(shard, monkeypatch):
    monkeypatch.setattr(face_batches, "GREY", 1.0)
    grey = to_input(shard.image[:4], np.random.default_rng(0), style=1e-6)
    torch.testing.assert_close(grey[:, 0], grey[:, 2], atol=1e-3, rtol=0)
    plain = to_input(shard.image[:4], np.random.default_rng(0), style=0.0)
    torch.testing.assert_close(grey.mean(1), plain.mean(1), atol=1e-2, rtol=0)
    assert (plain[:, 0] - plain[:, 2]).abs().max() > 0.1


def test_a_mirrored_crop_gives_mirrored_patches(shard):
    batch = batch_of(shard, 6)
    crops = [patches_of(b) for b in (batch, mirror(batch, np.ones(6, bool)))]
    for own, other in ((0, 1), (1, 0)):  # the right eye is cut in a mirror already
        assert_nearly_all_alike(crops[0][own], crops[1][other])
    assert_nearly_all_alike(crops[0][2], crops[1][2].flip(3))


def assert_nearly_all_alike(one: torch.Tensor, other: torch.Tensor) -> None:
    # Places are rounded to quarters of a pixel, and in a mirror the other way: a patch or two of six move.
    assert ((one - other).abs().amax(dim=1) > 2e-3).float().mean() < 0.35


def test_marks_lie_where_they_are_seen(shard):
    """A landmark drawn into the crop is at its place in the patch."""
    batch = batch_of(shard, 4)
    image = np.zeros_like(batch.image)
    corner = ((batch.points[:, 45] + 1) * (dataset.CROP / 2) - 0.5).round().long().numpy()
    for row, (x, y) in enumerate(corner):
        image[row, y : y + 2, x : x + 2] = 255  # wide enough for the nearest pixel to hit it
    drawn = dataclasses.replace(batch, image=image)
    affine, side, size = true_alignment(batch).cuts()[0]
    marks = losses.marks_in_patch(batch.points, affine, side, size)
    back = points_in_crop(marks, affine, side, size)
    torch.testing.assert_close(back, batch.points, atol=1e-4, rtol=0)
    for picture, (u, v) in zip(patches_of(drawn)[0], marks[:, 45].numpy(), strict=True):
        y, x = divmod(int(picture[0].argmax()), side)
        step = 2 / side
        assert picture.max() > 1.9
        assert abs((x + 0.5) * step - 1 - u) < 2 * step and abs((y + 0.5) * step - 1 - v) < 2 * step


def test_an_error_shared_by_all_pictures_of_a_person_weighs_less(shard):
    """The same squared error costs OFFSET_WEIGHT where it is one person's offset."""
    batch = batch_of(shard, 16)
    torch.manual_seed(0)
    expression = Expression()
    weights = torch.ones(51)

    def loss(labels: torch.Tensor) -> float:
        torch.manual_seed(1)
        changed = dataclasses.replace(batch, coefficients=labels)
        with torch.no_grad():
            return losses.expression_loss(
                expression, changed, true_alignment(batch), weights, np.random.default_rng(2)
            ).item()

    said = torch.full((16, 51), 0.1)  # what an untrained head says of everything
    marks_only = loss(said)
    offset = loss(said + 0.5) - marks_only
    signs = torch.from_numpy(np.tile([1.0, -1.0], 8)).float()[:, None]
    moving = loss(said + 0.5 * signs) - marks_only
    assert offset == pytest.approx(losses.OFFSET_WEIGHT * 0.25, rel=1e-3)
    assert moving == pytest.approx(0.25 * 8 / 7, rel=1e-3)


def test_a_batch_is_mixed_and_in_range(folder):
    batch = next(iter(FaceBatches(folder, 16, seed=0)))
    assert batch.image.shape == (16, dataset.CROP, dataset.CROP, 3)
    assert batch.coefficients.shape == (16, 51) and batch.coefficients.min() >= 0
    batches = FaceBatches(folder, 64, seed=1)
    shard = dataset.load_faces(folder / "faces_0001.npz")
    originals = {image.tobytes() for image in shard.image} | {
        image[:, ::-1].tobytes() for image in shard.image
    }
    covered = np.mean([image.tobytes() not in originals for _ in range(4) for image in next(batches).image])
    assert 0 < covered < 0.1  # OCCLUDED of them, and never the shard's own pictures
    with pytest.raises(ValueError, match="whole groups"):
        FaceBatches(folder, 12, seed=0)
    with pytest.raises(FileNotFoundError, match="synthesise"):
        next(iter(FaceBatches(folder / "none", 8, seed=0)))


def test_negatives_are_pictures_of_many_kinds(shard):
    pictures = negatives(shard, 0, 24)
    assert pictures.shape == (24, dataset.CROP, dataset.CROP, 3)
    upright = {face.tobytes() for face in shard.image}
    assert not any(picture.tobytes() in upright for picture in pictures)
    assert len(np.unique(pictures.reshape(24, -1).mean(axis=1).round(2))) > 20


def test_training_learns_resumes_and_exports(shard, folder, random_engines, tmp_path):
    run = tmp_path / "run"
    runner = CliRunner()

    def train(part: str, *more: str) -> None:
        arguments = [
            "train",
            part,
            "--data",
            str(folder),
            "--run",
            str(run),
            "--minutes",
            "0.05",
            "--batch",
            "8",
            "--empty-crops",
            "40",
            *more,
        ]
        result = runner.invoke(train_regressor.app, arguments)
        assert result.exit_code == 0, result.output

    for part in ("locator", "expression", "joint"):
        train(part)
    samples = torch.load(run / "expression.pt", weights_only=True)["samples"]
    train("expression")
    state = torch.load(run / "expression.pt", weights_only=True)
    assert state["samples"] > samples > 0
    assert [line.split()[1] for line in state["runs"]] == ["expression", "joint", "expression"]
    network = train_regressor.averaged(run)
    card = export.export(network, [shard], tmp_path / "engine", state["runs"])
    said = open_engine(card, "onnxruntime-cpu").run(shard.image[:5])
    assert card.output_names == OUTPUT_NAMES
    assert set(card.gains) == set(ARKIT_NAMES) and min(card.gains.values()) >= 1
    with torch.inference_mode():
        outputs, points, presence, hidden = network(torch.from_numpy(shard.image[:5]))
    # A patch whose place lies between two quarters of a pixel may be cut at either, whoever computes it.
    assert difference("outputs", outputs.numpy(), said["outputs"]).within(limit_of(card, "outputs", "fp32"))
    np.testing.assert_allclose(said["landmarks"], points, atol=1e-4)
    np.testing.assert_allclose(said["presence"], presence, atol=1e-4)
    np.testing.assert_allclose(said["hidden"], hidden, atol=1e-4)

    kept = ["keep", "--run", str(run), "--output", str(tmp_path / "kept")]
    assert runner.invoke(train_regressor.app, kept).exit_code == 0
    run = tmp_path / "next"
    teach = ["teach", "--data", str(folder), "--engines", str(random_engines.folder)]
    teach += ["--output", str(tmp_path / "taught")]
    assert "1 shards" in runner.invoke(train_regressor.app, teach).output
    assert "0 shards" in runner.invoke(train_regressor.app, teach).output
    taught = ["--taught", str(tmp_path / "taught"), "--style", "0.75"]
    train("expression", "--warm-start", str(tmp_path / "kept"), *taught)
    pupil = torch.load(run / "expression.pt", weights_only=True)
    assert pupil["samples"] > state["samples"]
    assert "--style 0.75 taught" in pupil["runs"][-1]

    mixed = ["mix", str(tmp_path / "run"), str(run), "--output", str(tmp_path / "mixed")]
    assert runner.invoke(train_regressor.app, mixed).exit_code == 0
    weights = torch.load(tmp_path / "mixed" / "expression.pt", weights_only=True)["average"]
    name = "mouth_hidden.weight"
    torch.testing.assert_close(weights[name], (state["average"][name] + pupil["average"][name]) / 2)
    train_regressor.averaged(tmp_path / "mixed")


def test_teachers_say_of_a_mirrored_crop_what_they_say_of_the_crop(shard, random_engines):
    engine = open_engine(load_set(str(random_engines.folder)).regressor, "onnxruntime-cpu")
    teacher = Regressor(engine, distillation.BATCH)
    plain, mirrored = (
        distillation.said([teacher], crops) for crops in (shard.image, shard.image[:, :, ::-1])
    )
    np.testing.assert_allclose(mirrored[:, list(MIRRORED_CHANNELS)], plain, atol=1e-6)
    alone = teacher.read(list(shard.image)).coefficients
    assert np.abs(plain - alone).max() > 1e-6
    np.testing.assert_allclose(distillation.said([teacher, teacher], shard.image), plain, atol=1e-6)


def test_a_regressor_that_takes_other_crops_cannot_teach(shard, random_engines):
    engine = open_engine(load_set(str(random_engines.folder)).regressor, "onnxruntime-cpu")
    teacher = Regressor(engine)
    teacher.crop_scale = 1.9
    with pytest.raises(EngineMismatch, match=r"1\.9 times the face.*cannot teach"):
        distillation.said([teacher], shard.image)


def test_batches_bring_what_was_taught_of_their_own_crops(shard, folder, tmp_path):
    """Teachers that say the labels: whatever is drawn and mirrored, labels and lesson stay the same."""
    with pytest.raises(FileNotFoundError, match="teach"):
        next(FaceBatches(folder, 16, seed=0, taught=tmp_path))
    np.save(distillation.path_of(tmp_path, min(folder.glob("faces_*.npz"))), shard.coefficients)
    batches = FaceBatches(folder, 16, seed=0, taught=tmp_path)
    for _ in range(4):
        batch = next(batches)
        torch.testing.assert_close(batch.taught, batch.coefficients)


def test_a_pupil_is_drawn_to_what_its_teachers_say(shard):
    batch = batch_of(shard, 16)
    torch.manual_seed(0)
    expression, weights = Expression().eval(), torch.ones(51)
    patches = losses.warp_patches(batch.image, true_alignment(batch))
    rng = np.random.default_rng(0)
    with torch.no_grad():
        said, *_ = expression(*(to_input(patch, rng, 0.0) for patch in patches), batch.head[:, :3])

    def loss(taught: torch.Tensor | None) -> float:
        lesson = dataclasses.replace(batch, taught=taught)
        with torch.no_grad():
            rng = np.random.default_rng(2)
            arguments = (expression, lesson, true_alignment(batch), weights, rng)
            return losses.expression_loss(*arguments, style=0.0).item()

    own = (1 - losses.TEACHING) * loss(None)
    assert loss(said) == pytest.approx(own, abs=1e-5)
    signs = torch.from_numpy(np.tile([1.0, -1.0], 8)).float()[:, None]
    assert loss(said + 0.5 * signs) - own > 2 * losses.TEACHING * 0.25


def test_figures_of_perfect_and_of_constant_predictions(shard):
    perfect = np.concatenate([shard.coefficients, shard.head], axis=1)
    quality = losses.measure(perfect, shard.points, shard)
    moving = shard.coefficients.std(axis=0) > 0
    assert quality.correlation[moving].min() > 0.999
    assert quality.rotation_degrees < 0.1 and quality.points_percent == 0
    constant = np.repeat(perfect.mean(axis=0, keepdims=True), len(perfect), axis=0)
    assert abs(losses.measure(constant, shard.points, shard).mean_r) < 1e-6


def test_a_whole_regressor_gives_the_contract(shard):
    outputs, points, presence, hidden = FaceRegressor().eval()(torch.from_numpy(shard.image[:2]))
    assert outputs.shape == (2, 57) and points.shape == (2, 71, 2) and presence.shape == (2,)
    assert hidden.shape == (2, 3) and (hidden >= 0).all() and (hidden <= 1).all()
    assert (outputs[:, :51] >= 0).all() and (outputs[:, :51] <= 1).all()
