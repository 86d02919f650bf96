"""The optimiser, checkpoints, and replicas that train one network together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from facecap_batch.training.networks.expression import Expression
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.networks.patch_network import PatchNetwork, Stages
from facecap_batch.training.networks.sizes import FAST
from facecap_batch.training.optimisation.checkpoint import Training, keep
from facecap_batch.training.optimisation.optimiser import Muon, mixing_weights, orthogonal

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import train_regressor

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("shape", [(16, 48), (16, 200), (200, 16)])
def test_every_direction_gets_a_step_of_one_size(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(-1, 1, shape[1]))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.5 and values.max() < 1.4
    # The direction stays: what is orthogonal already comes back.
    straight, _ = torch.linalg.qr(torch.randn(64, 32))
    assert torch.nn.functional.cosine_similarity(orthogonal(straight).flatten(), straight.flatten(), 0) > 0.98


@pytest.mark.parametrize("network", [Expression(FAST), Locator(FAST)])
def test_answers_biases_and_single_channels_are_left_to_the_other_optimiser(
    network: Expression | Locator,
) -> None:
    chosen = {id(weight) for weight in mixing_weights(network, network.READOUTS)}
    names = {name for name, weight in network.named_parameters() if id(weight) in chosen}
    assert names and not [name for name in names if name.endswith("bias")]
    for readout in network.READOUTS:
        assert [name for name, _ in network.named_parameters() if name.startswith(readout)]
        assert not [name for name in names if name.startswith(readout)]
    depthwise = [
        f"{name}.weight"
        for name, layer in network.named_modules()
        if isinstance(layer, torch.nn.Conv2d) and layer.groups > 1
    ]
    assert not names.intersection(depthwise)


def test_a_step_moves_along_a_rare_direction_as_far_as_along_a_common_one() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.diag(torch.tensor([1.0, 0.01]))
    Muon([weight], 0.1).step()
    moved = weight.detach().diagonal()
    assert (moved < -0.06).all() and (moved > -0.13).all()


REPLICA = """
import json
import sys
from pathlib import Path

import torch
from facecap_batch.training.optimisation import replicas
from facecap_batch.training.optimisation.checkpoint import Training

replicas.join()
torch.manual_seed(0)
training = Training(torch.nn.Linear(3, 4), 1e-2)
inputs = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(1))
shares = inputs if replicas.count() == 1 else inputs[replicas.rank()]
for step in range(5):
    asked = step == 3 and replicas.rank() == replicas.count() - 1
    if training.step(training.module(shares).square().mean(), 1e-2, 16, asked):
        break
result = [training.steps, training.samples, training.module.weight.flatten().tolist()]
(Path(sys.argv[1]) / f"{replicas.rank()}.json").write_text(json.dumps(result))
replicas.leave()
"""


def test_replicas_learn_what_one_process_learns_of_all_their_crops(tmp_path: Path) -> None:
    script = tmp_path / "replica.py"
    script.write_text(REPLICA)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    found = []
    for command in ([sys.executable], torchrun):
        results = tmp_path / str(len(command))
        results.mkdir()
        run = subprocess.run(
            [*command, str(script), str(results)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        found += [json.loads(file.read_text()) for file in sorted(results.iterdir())]
    assert len(found) == 3
    weights = [torch.tensor(weight) for *_, weight in found]
    # One was asked to stop at the fourth step: all did, with the same weights.
    assert [counts for *counts, _ in found] == [[4, 64]] * 3
    torch.testing.assert_close(weights[1], weights[2], rtol=0, atol=0)
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-3)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    options = ["--data", str(tmp_path), "--run", str(tmp_path), "--samples", "8", "--batch", "64"]
    result = CliRunner().invoke(train_regressor.app, ["train", "expression", *options])
    assert result.exit_code == 2 and "cannot be shared by 3 processes" in result.output


def test_a_deeper_network_begins_as_the_one_whose_weights_it_takes(tmp_path: Path) -> None:
    torch.manual_seed(2)
    shallow = PatchNetwork(16, Stages(2, (8, 8, 8), (0, 1, 0), 12))
    for layer in shallow.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight)
    taught = Training(shallow, 1e-3)
    taught.runs = ["a command"]
    taught.save(tmp_path / "run.pt")
    keep(tmp_path / "run.pt", tmp_path / "kept.pt")
    deep = Training(PatchNetwork(16, Stages(2, (8, 8, 8), (1, 2, 0), 12), landmarks=5), 1e-3)
    deep.load(tmp_path / "kept.pt")
    assert deep.runs == ["a command", "3 modules more"]
    patch = torch.rand(3, 12, 8, 8)  # of 16 x 16 pixels, folded
    for network in (deep.module.eval(), deep.average):
        features, heat = network(patch)
        # Kept as float16.
        torch.testing.assert_close(features, shallow.eval()(patch)[0], atol=2e-3, rtol=0)
        assert heat.shape == (3, 5, 4, 4)
    with pytest.raises(RuntimeError, match="size mismatch"):
        Training(PatchNetwork(16, Stages(2, (8, 16, 8), (1, 2, 0), 12)), 1e-3).load(tmp_path / "kept.pt")


def test_a_mean_of_trainings_lies_between_them(tmp_path: Path) -> None:
    """Of one that has heat maps and one that lacks them, they are the first one's; both parts of a run are
    taken, and training goes on from them."""
    torch.manual_seed(3)
    plain, more = tmp_path / "plain", tmp_path / "more"
    for folder in (plain, more):
        locator = Locator(FAST)
        training = Training(locator, 1e-3, locator.READOUTS)
        training.samples, training.runs = (5, ["one"]) if folder is plain else (9, ["another"])
        training.save(folder / "locator.pt")
    expression = Expression(FAST)
    torch.nn.init.normal_(expression.turn_out[-1].weight)
    Training(expression, 1e-3, expression.READOUTS).save(more / "expression.pt")
    state = torch.load(more / "expression.pt", weights_only=True)
    weights = {name: value for name, value in state["average"].items() if ".places." not in name}
    head = weights["turn_out.0.weight"]
    weights["turn_out.0.weight"] = head[:, :-10] + 1.0
    torch.save({**state, "average": weights}, plain / "expression.pt")
    words = ["mean", "--run", str(plain), "--run", str(more), "--output", str(tmp_path / "mean")]
    assert CliRunner().invoke(train_regressor.app, words).exit_code == 0
    between = torch.load(tmp_path / "mean" / "expression.pt", weights_only=True)["average"]
    torch.testing.assert_close(between["turn_out.0.weight"][:, :-10], head[:, :-10] + 0.5)
    torch.testing.assert_close(between["turn_out.0.weight"][:, -10:], head[:, -10:] / 2)
    for name, value in state["average"].items():
        if name != "turn_out.0.weight":
            torch.testing.assert_close(between[name], value)
    went_on = Training(Locator(FAST), 1e-3, Locator.READOUTS)
    went_on.load(tmp_path / "mean" / "locator.pt")
    assert went_on.samples == 9 and went_on.runs == ["another", "mean of 2 trainings"]


def test_a_mean_of_one_is_refused(tmp_path: Path) -> None:
    words = ["mean", "--run", str(tmp_path), "--output", str(tmp_path / "mean")]
    result = CliRunner().invoke(train_regressor.app, words)
    assert result.exit_code == 2 and "two or more" in result.output
