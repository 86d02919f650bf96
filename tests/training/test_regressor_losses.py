"""What the regressor's losses, schedule and figures make of errors."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facecap_batch.training.crops.alignment import (
    Alignment,
)
from facecap_batch.training.mirror import LEFT_CHANNELS, RIGHT_CHANNELS
from facecap_batch.training.networks.expression import Expression
from facecap_batch.training.optimisation.checkpoint import Training, learning_rate
from facecap_batch.training.regressor import losses, quality
from facecap_batch.training.regressor.balance import pulls
from facecap_batch.training.rendering import dataset
from tests.support.crops import batch_of, example_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import train_regressor


def test_a_wrong_pose_is_turned_back_by_what_is_learnt(shard):
    """The loss is least where the turn makes up for the error of the angles."""
    batch = batch_of(shard, 16)
    torch.manual_seed(0)
    expression = Expression().eval()
    off = torch.tensor([0.1, -0.05, 0.08, 0.0, 0.0, 0.0])

    def loss(turn: torch.Tensor) -> float:
        with torch.no_grad():
            expression.turn_out[-1].bias.copy_(turn)
            given = example_of(batch, Alignment(batch.head + off, batch.points, batch.points))
            return losses.expression_loss(expression, given, torch.ones(51)).item()

    assert loss(-off[:3]) < loss(torch.zeros(3)) < loss(off[:3])


def test_an_error_shared_by_all_pictures_of_a_person_weighs_less():
    """The same squared error costs OFFSET_WEIGHT where it is one person's offset."""
    weights = torch.ones(51)

    def loss(labels: torch.Tensor) -> float:
        return losses.movement_error(torch.full((16, 51), 0.1), labels, weights).item()

    predicted = torch.full((16, 51), 0.1)
    assert loss(predicted) == 0
    offset = loss(predicted + 0.5)
    signs = torch.from_numpy(np.tile([1.0, -1.0], 8)).float()[:, None]
    moving = loss(predicted + 0.5 * signs)
    assert offset == pytest.approx(losses.OFFSET_WEIGHT * 0.25, rel=1e-3)
    assert moving == pytest.approx(0.25 * 8 / 7, rel=1e-3)


def test_what_one_side_does_alone_is_a_signal_of_its_own():
    """Of two errors of one size, the one by which left and right differ costs more where they hardly do."""
    rng = np.random.default_rng(0)
    both = rng.normal(0, 0.3, (512, len(LEFT_CHANNELS)))
    apart = rng.normal(0, 0.05, both.shape)
    labels = np.zeros((512, 51), np.float32)
    labels[:, LEFT_CHANNELS], labels[:, RIGHT_CHANNELS] = both + apart, both - apart
    weights = losses.signal_weights(labels)
    torch.testing.assert_close(losses.signals() @ losses.signals().T, torch.eye(51))
    truth = torch.zeros(16, 51)
    error = torch.zeros(16, 51)
    error[::2] = 0.1
    same, other = error.clone(), error.clone()
    same[:, [*RIGHT_CHANNELS]] = error[:, [*LEFT_CHANNELS]]
    other[:, [*RIGHT_CHANNELS]] = -error[:, [*LEFT_CHANNELS]]
    assert losses.movement_error(other, truth, weights) > 2 * losses.movement_error(same, truth, weights)


def test_parted_lips_count_more_than_where_the_chin_is():
    """Of two errors of one size in jawOpen and mouthClose, the one that parts the lips costs more."""
    labels = np.zeros((512, 51), np.float32)
    jaw = np.random.default_rng(0).beta(1, 3, 512)
    labels[:, losses.JAW_OPEN], labels[:, losses.MOUTH_CLOSE] = jaw, jaw * (np.arange(512) % 4 == 0)
    weights = losses.signal_weights(labels)
    truth, parted = torch.zeros(16, 51), torch.zeros(16, 51)
    parted[::2, losses.JAW_OPEN] = 0.1
    closed = parted.clone()
    parted[::2, losses.MOUTH_CLOSE], closed[::2, losses.MOUTH_CLOSE] = -0.1, 0.1
    assert losses.movement_error(parted, truth, weights) > 2 * losses.movement_error(closed, truth, weights)


def test_a_spread_is_least_costly_where_it_is_the_errors_own():
    errors = torch.randn(20000, generator=torch.Generator().manual_seed(0)) * 0.1
    costs = [losses.spread_error(errors, torch.full_like(errors, float(np.log(s)))) for s in (0.05, 0.1, 0.2)]
    assert costs[1] < costs[0] and costs[1] < costs[2]


def test_a_landmark_that_is_far_off_is_pulled_back_but_no_harder():
    wanted, spread = torch.zeros(1, 1, 2), torch.full((1, 1, 1), -2.0)

    def pull(place: float) -> float:
        predicted = torch.full((1, 1, 2), place, requires_grad=True)
        losses.marks_error(torch.cat([predicted, spread], 2), wanted).backward()
        return float(predicted.grad[0, 0, 0])

    assert 0 < pull(0.2) < pull(0.5)
    assert pull(0.5) == pytest.approx(pull(1.5), rel=1e-3)
    assert pull(-1.5) == pytest.approx(-pull(1.5), rel=1e-3)


def test_the_rate_rises_stays_and_falls_by_crops_alone():
    rates = [learning_rate(1.0, samples, 100, 1000, 0.2) for samples in (0, 50, 100, 500, 800, 900, 1000)]
    assert rates == [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0]
    assert learning_rate(1.0, 900, 100, 2000, 0.2) == 1.0  # a longer run is level for longer


def test_a_pupil_is_drawn_to_what_its_teachers_say(shard):
    batch = batch_of(shard, 16)
    torch.manual_seed(0)
    expression, weights = Expression().eval(), torch.ones(51)
    given = example_of(batch)
    with torch.no_grad():
        predicted = expression(given.patches, given.angles)[0].coefficients

    def loss(distilled: torch.Tensor) -> float:
        with torch.no_grad():
            lesson = dataclasses.replace(given, distilled=distilled)
            return losses.expression_loss(expression, lesson, weights).item()

    signs = torch.from_numpy(np.tile([1.0, -1.0], 8)).float()[:, None]
    readings = 2  # each of which costs as much
    assert loss(predicted + 0.5 * signs) - loss(predicted) == pytest.approx(
        readings * losses.COEFFICIENTS_WEIGHT * 2 * losses.DISTILLATION_SHARE * 0.25 * 8 / 7, rel=1e-3
    )


def test_pulls_are_the_gradients_of_each_term(shard):
    """Their sizes follow a term's weight, a term that does not see a network does not pull at it, and batches
    that are the same pull the same way."""
    torch.manual_seed(0)
    expression, weights = Expression(), torch.ones(51)
    for head in (expression.upper_paired_out, expression.upper_other_out, expression.lower_paired_out):
        torch.nn.init.normal_(head[-1].weight, std=0.1)
    given = example_of(batch_of(shard, 16))
    found = {(pull.network, pull.term): pull for pull in pulls(expression, [given, given], weights)}
    assert {network for network, _ in found} == {"eye", "side", "face"}
    assert ("eye", "seen") not in found and ("face", "hidden") not in found
    assert all(pull.steadiness == pytest.approx(1, abs=0.05) for pull in found.values())
    losses.expression_terms(expression, given, weights)["coefficients"].backward()
    whole = [weight.grad.flatten() for weight in expression.eye.parameters() if weight.ndim == 4]
    assert found["eye", "coefficients"].size == pytest.approx(float(torch.cat(whole).norm()), rel=0.05)


def test_the_balance_of_a_run_is_printed(shard, tmp_path):
    """A row for each network and term, the strongest of each network first."""
    torch.manual_seed(0)
    dataset.save(tmp_path / "faces_0001.npz", dataclasses.asdict(shard))
    network = Expression()
    torch.nn.init.normal_(network.lower_other_out[-1].weight, std=0.1)
    Training(network, 1e-3, network.READOUTS).save(tmp_path / "expression.pt")
    words = [
        "balance",
        "--data",
        str(tmp_path),
        "--weights",
        str(tmp_path),
        "--batches",
        "2",
        "--batch",
        "16",
    ]
    result = CliRunner().invoke(train_regressor.app, words)
    assert result.exit_code == 0, result.output
    rows = [line.strip("| ").split(" | ") for line in result.output.splitlines()[2:]]
    assert {(network, term) for network, term, _, _ in rows} >= {("side", "coefficients"), ("face", "marks")}
    for network in ("eye", "side", "face"):
        sizes = [float(size) for name, _, size, _ in rows if name == network]
        assert sizes == sorted(sizes, reverse=True) and sizes[0] > 0


def test_figures_of_perfect_and_of_constant_predictions(shard):
    perfect = np.concatenate([shard.coefficients, shard.head], axis=1)
    figures = quality.measure(perfect, shard.points, shard)
    moving = shard.coefficients.std(axis=0) > 0
    assert figures.correlation[moving].min() > 0.999
    assert figures.rotation_degrees < 0.1 and figures.points_percent == 0
    constant = np.repeat(perfect.mean(axis=0, keepdims=True), len(perfect), axis=0)
    assert abs(quality.measure(constant, shard.points, shard).mean_r) < 1e-6
