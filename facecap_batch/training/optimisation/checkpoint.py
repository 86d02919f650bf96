"""A network in training: its weights, their average, the optimiser, what it has seen. Saved whole, resumed
whole.

In: a module. Out: a file of a run, from which training goes on as if it had never stopped, and a smaller one
with the averaged weights alone, where another training may begin.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facecap_batch.storage.publish import publish_bytes, published
from facecap_batch.training.networks.grafting import grown
from facecap_batch.training.optimisation import replicas
from facecap_batch.training.optimisation.optimiser import Muon, mixing_weights

AVERAGE = 0.996  # decay of the averaged weights that are exported, per AVERAGE_EVERY steps
AVERAGE_EVERY = 5
MUON_RATE = 4.0  # times the learning rate: Muon's steps are counted otherwise than AdamW's
AVERAGE_WARM = 10  # updates after which about half of the first weights is forgotten


class Training:
    """A module, what trains it and how far it is."""

    def __init__(self, module: nn.Module, rate: float, readouts: Sequence[str] = ()) -> None:
        """`readouts`: names of the layers whose output leaves `module`."""
        self.module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(module).eval()
        mixing = mixing_weights(module, readouts)
        chosen = {id(weight) for weight in mixing}
        others = [weight for weight in module.parameters() if id(weight) not in chosen]
        self._optimisers = (
            (Muon(mixing, rate), MUON_RATE),
            (torch.optim.AdamW(others, lr=rate, weight_decay=0.01, fused=True), 1.0),
        )
        self.samples = 0  # crops seen
        self.steps = 0
        self.runs: list[str] = []  # the commands that trained it

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, or begin with weights kept by `keep`, which may lack modules that the
        network has by now (`grown`)."""
        device = next(self.module.parameters()).device
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        weights, _ = grown(self.module, state.get("module", state["average"]))
        average, more = grown(self.average, state["average"])
        self.module.load_state_dict(weights)
        self.average.load_state_dict(average)
        for (optimiser, _), kept in zip(self._optimisers, state.get("optimisers", ()), strict=False):
            optimiser.load_state_dict(kept)
        self.samples, self.steps = state["samples"], state.get("steps", 0)
        self.runs = [*state["runs"], *([f"{more} modules more"] if more else [])]

    def save(self, path: Path) -> None:
        """Publish all of it."""
        state = {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser, _ in self._optimisers],
            "samples": self.samples,
            "steps": self.steps,
            "runs": self.runs,
        }
        with published(path) as temporary:
            torch.save(state, temporary)

    def learn(self, only: str | None = None) -> None:
        """Put the module into training, all of it or the submodule `only`: the others keep their weights and
        what they know of their batches."""
        self.module.train().requires_grad_(only is None)
        if only is None:
            return
        for layer in self.module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.eval()
        self.module.get_submodule(only).train().requires_grad_()

    def step(self, loss: torch.Tensor, rate: float, crops: int, stop: bool = False) -> bool:
        """Learn from `loss` at the learning rate `rate`, together with all replicas.

        Args:
            loss: Of this replica's crops.
            rate: The learning rate.
            crops: Of all replicas.
            stop: Whether this replica was asked to stop.

        Returns:
            Whether any of them was.
        """
        self.module.zero_grad(set_to_none=True)
        loss.backward()
        stop = replicas.averaged(self.module, stop)
        nn.utils.clip_grad_norm_(self.module.parameters(), 2.0)
        for optimiser, times in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * times
            optimiser.step()
        self.samples += crops
        self.steps += 1
        if self.steps % AVERAGE_EVERY == 0:
            self._average()
        return stop

    def _average(self) -> None:
        decay = min(AVERAGE, 1 - AVERAGE_WARM / (AVERAGE_WARM + self.steps / AVERAGE_EVERY))
        with torch.no_grad():
            ours, new = self.average.state_dict().values(), self.module.state_dict().values()
            for mean, value in zip(ours, new, strict=True):
                mean.copy_(mean.lerp(value, 1 - decay) if mean.dtype.is_floating_point else value)


def keep(path: Path, output: Path, figures: Mapping[str, float] | None = None) -> None:
    """Publish what a later training begins with: the averaged weights as float16, and a card beside them.

    Args:
        path: Checkpoint of a run.
        output: File of the weights; the card gets its name with ``.json``.
        figures: Measured quality, by name, for the card.
    """
    state = torch.load(path, weights_only=True)
    small = {
        name: value.half() if value.dtype == torch.float32 else value
        for name, value in state["average"].items()
    }
    seen = {key: state.get(key, 0) for key in ("samples", "steps")} | {"runs": state["runs"]}
    with published(output) as temporary:
        torch.save({"average": small, **seen}, temporary)
    card = {"weights": output.name, "sha256": hashlib.sha256(output.read_bytes()).hexdigest(), **seen}
    publish_bytes(
        output.with_suffix(".json"), (json.dumps(card | {"quality": figures or {}}, indent=2) + "\n").encode()
    )


def mean(paths: Sequence[Path], output: Path) -> None:
    """Publish the mean of several trainings' averaged weights, from which a training may go on.

    Trainings that began with the same weights end in one valley: their mean reads people whom none of them
    knows better than each does (Wortsman et al. 2022, "Model soups"). Heat maps and heads that some lack are
    those of the others; a layer of the ones that lack heat maps is blind to them (`grown`).

    Args:
        paths: Checkpoints, or weights kept by `keep`; two or more.
        output: File of the mean, as float32.
    """
    states = [torch.load(path, weights_only=True, map_location="cpu") for path in paths]
    weights = [state["average"] for state in states]
    names = dict.fromkeys(name for each in weights for name in each)
    average = {name: _mean([each[name] for each in weights if name in each]) for name in names}
    longest = max(states, key=lambda state: state["samples"])
    runs = [*longest["runs"], f"mean of {len(states)} trainings"]
    with published(output) as temporary:
        torch.save({"average": average, "samples": longest["samples"], "runs": runs}, temporary)


def _mean(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of weights of one layer, some of which may see less than others; counts stay as the first has them."""
    if not values[0].dtype.is_floating_point:
        return values[0]
    widest = max(value.shape[-1] for value in values) if values[0].ndim == 2 else 0
    wide = [nn.functional.pad(value, (0, widest - value.shape[-1])) if widest else value for value in values]
    return torch.stack([value.float() for value in wide]).mean(0)


def learning_rate(highest: float, samples: int, warm: int, total: int, decay: float) -> float:
    """The rate after `samples` crops: rising over `warm`, then level, falling over the last share `decay` of
    `total`.

    A schedule by crops and not by the clock is the same on every machine; the level part can be made longer
    afterwards, the checkpoints before the fall are good for that (Hu et al. 2024, "warmup-stable-decay").
    """
    left = (total - samples) / max(decay * total, 1)
    return highest * min(samples / max(warm, 1), left, 1.0) if left > 0 else 0.0
