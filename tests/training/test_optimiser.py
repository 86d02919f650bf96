"""The optimiser, and replicas that train one network together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facecap_batch.training.networks.expression import FAST, Expression
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.optimisation.optimiser import Muon, mixing_weights, orthogonal

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


@pytest.mark.parametrize("network", [Expression(FAST), Locator()])
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
print("RESULT", training.steps, training.samples, training.module.weight.flatten().tolist())
replicas.leave()
"""


def test_replicas_learn_what_one_process_learns_of_all_their_crops(tmp_path: Path) -> None:
    script = tmp_path / "replica.py"
    script.write_text(REPLICA)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = []
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command in ([sys.executable], torchrun):
        result = subprocess.run(
            [*command, str(script)], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        found.append([line.split(" ", 3) for line in result.stdout.splitlines() if "RESULT" in line])
    alone, together = found
    assert len(alone) == 1 and len(together) == 2
    weights = [
        torch.tensor([float(value) for value in line[3].strip("[]").split(",")]) for line in alone + together
    ]
    # One was asked to stop at the fourth step: all did, with the same weights.
    assert [line[1:3] for line in alone + together] == [["4", "64"]] * 3
    torch.testing.assert_close(weights[1], weights[2], rtol=0, atol=0)
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-3)
