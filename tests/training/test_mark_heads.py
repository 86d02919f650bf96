"""Coefficients that are read from landmarks alone, beside those that features tell."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
import typer
from torch import Tensor
from typer.testing import CliRunner

from facecap_batch.coefficients import ARKIT_NAMES, UPPER_FACE
from facecap_batch.engines.default_crop import POINTS
from facecap_batch.training.mirror import LEFT_CHANNELS, MIRRORED_POINTS, RIGHT_CHANNELS
from facecap_batch.training.networks.expression import (
    LEFT_EYE_MARKS,
    LEFT_SIDE_MARKS,
    Expression,
    Marks,
)
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.networks.sizes import DEFAULT, FAST, Design
from facecap_batch.training.regressor import losses
from tests.support.crops import batch_of, example_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import train_regressor

COUNTS = {
    "left_eye": len(LEFT_EYE_MARKS),
    "right_eye": len(LEFT_EYE_MARKS),
    "left_side": len(LEFT_SIDE_MARKS),
    "right_side": len(LEFT_SIDE_MARKS),
    "face": POINTS,
}


def talkative(design: Design = FAST) -> Expression:
    """A network whose heads say something else of everything."""
    torch.manual_seed(0)
    expression = Expression(design).eval()
    for name, weight in expression.named_parameters():
        if name.endswith(("_out.2.weight", "paired.5.weight", "other.5.weight")):
            torch.nn.init.normal_(weight, 0, 0.1)
    return expression


def drawn(people: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(people, count, 3, generator=generator) for name, count in COUNTS.items()}


def read(expression: Expression, marks: dict[str, Tensor], angles: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = expression.by_marks(Marks(**marks, places=()), angles)
    return found


def test_what_is_said_is_the_mean_of_both_readings(shard):
    expression = talkative(DEFAULT)
    given = example_of(batch_of(shard, 8))
    with torch.inference_mode():
        said, marks = expression(given.patches, given.angles)
        by_marks = expression.by_marks(marks, given.angles + said.turn)
    features, landmarks = said.readings
    torch.testing.assert_close(said.coefficients, (features + landmarks) / 2)
    torch.testing.assert_close(landmarks, by_marks)
    assert (features - landmarks).abs().max() > 0.1


def test_mirrored_landmarks_swap_what_the_sides_do():
    expression, marks, angles = talkative(), drawn(), torch.tensor([[0.3, 0.1, -0.2]]).repeat(3, 1)
    face = marks["face"][:, list(MIRRORED_POINTS)] * torch.tensor([-1.0, 1.0, 1.0])
    mirrored = {
        "left_eye": marks["right_eye"],
        "right_eye": marks["left_eye"],
        "left_side": marks["right_side"],
        "right_side": marks["left_side"],
        "face": face,
    }
    seen = read(expression, marks, angles)
    twin = read(expression, mirrored, angles * torch.tensor([-1.0, 1.0, -1.0]))
    left, right = list(LEFT_CHANNELS), list(RIGHT_CHANNELS)
    torch.testing.assert_close(twin[:, left], seen[:, right])
    torch.testing.assert_close(twin[:, right], seen[:, left])
    assert (seen[:, left] - seen[:, right]).abs().max() > 0.1


def test_lids_and_brows_follow_the_landmarks_of_the_eye_patches_alone():
    expression, marks, angles = talkative(), drawn(), torch.zeros(3, 3)
    before = read(expression, marks, angles)
    elsewhere = {name: marks[name].roll(1, 0) for name in ("left_side", "right_side", "face")}
    after, upper = read(expression, marks | elsewhere, angles), torch.tensor(UPPER_FACE)
    torch.testing.assert_close(after[:, upper], before[:, upper], rtol=0, atol=0)
    assert ((after - before)[:, ~upper].abs() > 1e-3).any(0).all()
    looking = read(expression, marks | {"left_eye": marks["left_eye"].roll(1, 0)}, angles)
    assert ((looking - before)[:, upper].abs() > 1e-3).any(0).all()


def test_landmarks_do_not_move_for_what_is_read_in_them(shard):
    expression = talkative()
    given = example_of(batch_of(shard, 8), design=FAST)
    said, _ = expression(given.patches, given.angles)
    said.readings[1].square().sum().backward()
    moved = {name.split(".")[0] for name, weight in expression.named_parameters() if weight.grad is not None}
    assert moved == {"by_marks"}


def test_each_reading_learns_by_its_own_errors(shard):
    """Readings whose errors cancel cost as much as two that err alike."""
    given = example_of(batch_of(shard, 16))
    expression = Expression().eval()
    weights = torch.ones(len(ARKIT_NAMES))

    def cost(features: float, landmarks: float) -> float:
        said, marks = expression(given.patches, given.angles)
        off = torch.arange(16)[:, None] % 2 * 2.0 - 1
        readings = (given.coefficients + features * off, given.coefficients + landmarks * off)
        said = dataclasses.replace(said, readings=readings)
        expression.forward = lambda patches, angles: (said, marks)
        try:
            return losses.expression_terms(expression, given, weights)["coefficients"].item()
        finally:
            del expression.forward

    assert cost(0.2, -0.2) == pytest.approx(cost(0.2, 0.2), rel=1e-4)
    assert cost(0.2, -0.2) == pytest.approx(2 * cost(0.2, 0.0), rel=1e-4)


def test_heads_learn_alone_what_a_kept_network_lacks(folder, tmp_path):
    """Weights without them are refused by `export`; `--only by_marks` trains them and nothing else."""
    torch.manual_seed(0)
    kept = {name: weight for name, weight in Expression(FAST).state_dict().items() if name[:9] != "by_marks."}
    old, run = tmp_path / "old", tmp_path / "run"
    old.mkdir()
    torch.save({"average": kept, "samples": 100, "runs": ["a command"]}, old / "expression.pt")
    torch.save({"average": Locator(FAST).state_dict(), "samples": 9, "runs": []}, old / "locator.pt")
    with pytest.raises(typer.BadParameter, match=r"expression.pt has no heads .* --only by_marks"):
        train_regressor.averaged(old, train_regressor.Size.fast)

    options = {"--data": folder, "--run": run, "--warm-start": old, "--size": "fast", "--batch": 8}
    options |= {"--samples": 180, "--processes": 0}
    words = [word for name, value in options.items() for word in (name, str(value))]
    train = ["train", "expression", *words, "--only"]
    wrong = CliRunner().invoke(train_regressor.app, [*train, "by_mark"])
    assert wrong.exit_code == 2 and "by_mark: expression has eye, side, face" in wrong.output
    result = CliRunner().invoke(train_regressor.app, [*train, "by_marks"])
    assert result.exit_code == 0, result.output
    state = torch.load(run / "expression.pt", weights_only=True)
    assert "--only by_marks" in state["runs"][-1]
    for weights in (state["module"], state["average"]):
        for name, weight in kept.items():
            torch.testing.assert_close(weights[name], weight, rtol=0, atol=0)
    answers = [name for name in state["module"] if name.startswith("by_marks.") and name.endswith("5.weight")]
    assert len(answers) == 4 and all(state["module"][name].any() for name in answers)  # they began as zeros
    (run / "locator.pt").write_bytes((old / "locator.pt").read_bytes())
    train_regressor.averaged(run, train_regressor.Size.fast)
