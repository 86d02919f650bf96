"""Train the default regressor on rendered faces: the locator, the expression half, or both together.

    python jobs/train_regressor.py train locator    --data data/faces --run runs/regressor --minutes 30
    python jobs/train_regressor.py train expression --data data/faces --run runs/regressor --minutes 60
    python jobs/train_regressor.py train joint      --data data/faces --run runs/regressor --minutes 15
    python jobs/train_regressor.py teach --data data/faces --engines engines/a --engines engines/b \\
        --output data/taught
    python jobs/train_regressor.py train expression --data data/faces --run runs/pupil --taught data/taught
    python jobs/train_regressor.py mix runs/a runs/pupil --output runs/mixed
    python jobs/train_regressor.py keep --run runs/regressor --output engines/checkpoints
    python jobs/train_regressor.py export --run runs/regressor --heldout heldout/faces \\
        --output engines/default

Each part keeps its checkpoint in --run and continues from it, or begins from --warm-start
engines/checkpoints; the learning rate falls along a cosine over --minutes. `joint` trains the expression
half on the locator's own cuts. `teach` writes down what regressors of any kind say of the crops; with
--taught the expression half learns that beside the labels. `mix` averages the weights of halves that began
with the same ones. One thread per process is fastest on small CPUs.
"""

from __future__ import annotations

import copy
import enum
import math
import shutil
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from facecap_batch.capture.regressor import Regressor
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import EngineMismatch
from facecap_batch.storage.publish import published
from facecap_batch.training.networks.face_regressor import Expression, FaceRegressor, Locator
from facecap_batch.training.regressor import distillation
from facecap_batch.training.regressor import losses as training
from facecap_batch.training.regressor.batches import STYLE, FaceBatches, to_input
from facecap_batch.training.regressor.negatives import NEGATIVES, negatives
from facecap_batch.training.rendering import dataset

LOG_SECONDS = 30
SAVE_SECONDS = 120
AVERAGE = 0.99  # decay of the averaged weights that are exported, per AVERAGE_EVERY steps
AVERAGE_EVERY = 5
WARM_STEPS = 200  # steps in which the learning rate rises

app = typer.Typer(add_completion=False)


class Part(str, enum.Enum):
    """What is trained."""

    locator = "locator"
    expression = "expression"
    joint = "joint"


def _save(
    path: Path, module: torch.nn.Module, average: torch.nn.Module, samples: int, runs: list[str]
) -> None:
    state = {"module": module.state_dict(), "average": average.state_dict(), "samples": samples, "runs": runs}
    with published(path) as temporary:
        torch.save(state, temporary)


def _restore(path: Path, module: torch.nn.Module, average: torch.nn.Module) -> tuple[int, list[str]]:
    """Load a checkpoint, or weights kept by `keep`; return the samples seen and the commands that trained
    it."""
    state = torch.load(path, weights_only=True)
    module.load_state_dict(state.get("module", state["average"]))
    average.load_state_dict(state["average"])
    return int(state["samples"]), list(state["runs"])


def _expression(run: Path) -> Expression:
    """The averaged expression half of a run."""
    half = Expression()
    half.load_state_dict(torch.load(run / "expression.pt", weights_only=True)["average"])
    return half.eval()


def averaged(run: Path) -> FaceRegressor:
    """The regressor made of both parts' averaged weights."""
    whole = FaceRegressor()
    whole.locator.load_state_dict(torch.load(run / "locator.pt", weights_only=True)["average"])
    whole.expression = _expression(run)
    return whole.eval()


@app.command()
def train(
    part: Part,
    data: Annotated[Path, typer.Option(help="folder of faces_*.npz")],
    run: Annotated[Path, typer.Option(help="checkpoints and logs")],
    minutes: Annotated[float, typer.Option(help="how long")] = 30.0,
    rate: Annotated[float, typer.Option(help="highest learning rate")] = 1.5e-3,
    batch: Annotated[int, typer.Option(help="crops per step")] = 32,
    empty_crops: Annotated[
        int, typer.Option(help="crops without a face that presence learns from")
    ] = NEGATIVES,
    warm_start: Annotated[
        Path | None, typer.Option(help="folder of weights to begin with where the run has no checkpoint")
    ] = None,
    taught: Annotated[
        Path | None, typer.Option(help="folder of what `teach` wrote of the data; not for the locator")
    ] = None,
    style: Annotated[
        float, typer.Option(help="how far the style of an expression half's pictures is thrown about")
    ] = STYLE,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Train one part for some minutes; continues from its checkpoint."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    module: torch.nn.Module = Locator() if part is Part.locator else Expression()
    module = module.to(memory_format=torch.channels_last)
    average = copy.deepcopy(module).eval()
    name = f"{'locator' if part is Part.locator else 'expression'}.pt"
    checkpoint = run / name
    samples, runs = 0, []
    if checkpoint.exists():
        samples, runs = _restore(checkpoint, module, average)
    elif warm_start is not None:
        samples, runs = _restore(warm_start / name, module, average)
    command = f"train {part.value} --minutes {minutes:g} --rate {rate:g} --batch {batch} --seed {seed}"
    if part is Part.locator:
        command += f" --empty-crops {empty_crops}"
    else:
        command += f" --style {style:g}" + (" taught" if taught else "")
    runs = [*runs, command]
    before = samples
    locator = None
    if part is Part.joint:
        locator = Locator().eval()
        locator.load_state_dict(torch.load(run / "locator.pt", weights_only=True)["average"])
    first = dataset.load_faces(min(data.glob("faces_*.npz")))
    weights = training.channel_weights(first.coefficients)
    empty = negatives(first, seed, empty_crops) if part is Part.locator else None
    optimiser = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.01, fused=True)
    rng = np.random.default_rng([seed, samples])
    start = logged = saved = time.monotonic()
    losses: list[float] = []
    module.train()
    for crops in FaceBatches(data, batch, seed=samples + seed, taught=taught):
        progress = (time.monotonic() - start) / (60 * minutes)
        if progress >= 1:
            break
        warm = min(len(losses) / WARM_STEPS, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
        if empty is not None:
            loss = training.locator_loss(module, crops, empty[rng.integers(0, len(empty), batch // 4)], rng)
        else:
            if locator is None:
                alignment = training.noisy_alignment(crops)
            else:
                half = np.stack([training.half_size(image) for image in crops.image])
                alignment = training.own_alignment(locator, average, crops, to_input(half, rng))
            loss = training.expression_loss(module, crops, alignment, weights, rng, style)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 2.0)
        optimiser.step()
        losses.append(loss.item())
        samples += batch
        if len(losses) % AVERAGE_EVERY == 0:
            decay = min(AVERAGE, 1 - 10 / (10 + samples / batch / AVERAGE_EVERY))
            with torch.no_grad():
                for ours, new in zip(
                    average.state_dict().values(), module.state_dict().values(), strict=True
                ):
                    ours.copy_(ours.lerp(new, 1 - decay) if ours.dtype.is_floating_point else new)
        now = time.monotonic()
        if now - logged > LOG_SECONDS:
            speed = batch * len(losses) / (now - start)
            recent = np.mean(losses[-300:])
            print(
                f"{(now - start) / 60:.1f} min, {samples} samples, {speed:.0f}/s, loss {recent:.4f}",
                flush=True,
            )
            logged = now
        if now - saved > SAVE_SECONDS:
            _save(
                checkpoint,
                module,
                average,
                samples,
                [*runs[:-1], f"{runs[-1]}  # {samples - before} samples"],
            )
            saved = now
    _save(checkpoint, module, average, samples, [*runs[:-1], f"{runs[-1]}  # {samples - before} samples"])
    print(f"done: {samples} samples, loss {np.mean(losses[-200:]):.4f}")


@app.command()
def teach(
    data: Annotated[Path, typer.Option(help="folder of faces_*.npz")],
    engines: Annotated[list[str], typer.Option(help="engine set whose regressor teaches; again for more")],
    output: Annotated[Path, typer.Option(help="folder of what they say")],
    backend: Annotated[str, typer.Option(help="what runs them")] = "auto",
) -> None:
    """Write down what engines say, on average, of every crop and its mirror image; shards done are kept."""
    teachers = [
        Regressor(open_engine(load_set(name).regressor, backend), distillation.BATCH) for name in engines
    ]
    try:
        count = distillation.teach(teachers, data, output)
    except EngineMismatch as error:
        raise typer.BadParameter(str(error)) from error
    print(f"{count} shards of {data} taught into {output}")


@app.command()
def export(
    run: Annotated[Path, typer.Option(help="checkpoints")],
    heldout: Annotated[Path, typer.Option(help="folder of faces_*.npz of people not trained on")],
    output: Annotated[Path, typer.Option(help="engine folder")],
    shards: Annotated[int, typer.Option(help="held-out shards to measure on")] = 2,
) -> None:
    """Write the averaged weights as an engine with its card, and print what was measured on held-out
    people."""
    from facecap_batch.training.regressor import export as regressor_export

    torch.set_num_threads(1)
    people = [dataset.load_faces(path) for path in sorted(heldout.glob("faces_*.npz"))[:shards]]
    runs = [
        line
        for name in ("locator.pt", "expression.pt")
        for line in torch.load(run / name, weights_only=True)["runs"]
    ]
    card = regressor_export.export(averaged(run), people, output, runs)
    print({key: value for key, value in card.quality.items() if key != "heldout_r"})
    print(card.quality["heldout_r"])


@app.command()
def mix(
    runs: Annotated[
        list[Path], typer.Argument(help="runs whose expression halves began with the same weights")
    ],
    output: Annotated[Path, typer.Option(help="run that gets the mean, and the first one's locator")],
) -> None:
    """Average the weights of several expression halves: steadier on faces unlike the rendered ones."""
    states = [torch.load(run / "expression.pt", weights_only=True) for run in runs]
    mean = {
        name: torch.stack([state["average"][name] for state in states]).mean(0)
        if value.dtype.is_floating_point
        else value
        for name, value in states[0]["average"].items()
    }
    lines = [line for state in states for line in state["runs"]]
    told = [*dict.fromkeys(lines), f"mix of {len(runs)}"]
    samples = max(state["samples"] for state in states)
    with published(output / "expression.pt") as temporary:
        torch.save({"module": mean, "average": mean, "samples": samples, "runs": told}, temporary)
    with published(output / "locator.pt") as temporary:
        shutil.copyfile(runs[0] / "locator.pt", temporary)


@app.command()
def keep(
    run: Annotated[Path, typer.Option(help="checkpoints")],
    output: Annotated[Path, typer.Option(help="where the weights go")],
) -> None:
    """Keep what a later training begins with (--warm-start): the averaged weights, half a checkpoint's
    size."""
    for name in ("locator.pt", "expression.pt"):
        state = torch.load(run / name, weights_only=True)
        with published(output / name) as temporary:
            torch.save({key: state[key] for key in ("average", "samples", "runs")}, temporary)


if __name__ == "__main__":
    app()
