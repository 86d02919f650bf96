"""Train the default regressor on rendered faces: the locator, then the expression half.

    ICT=data/ict/faces HM08=data/hm08/faces
    python jobs/train_regressor.py train locator    --data $ICT --data $HM08 --run runs/a --samples 1000000
    python jobs/train_regressor.py train expression --data $ICT --data $HM08 --run runs/a --samples 10000000
    python jobs/train_regressor.py balance --data $ICT --data $HM08 --weights runs/a
    python jobs/train_regressor.py mean --run runs/a --run runs/b --output runs/c
    python jobs/train_regressor.py keep --run runs/a --output engines/checkpoints
    python jobs/train_regressor.py export --run runs/a --heldout heldout/ict/faces \\
        --heldout heldout/hm08/faces --output engines/default
    python jobs/train_regressor.py distill --data $ICT --engines engines/a --output data/ict/distilled

Each part keeps its checkpoint in --run and goes on from it, as if it had never stopped, until it has seen
--samples crops; where there is none it begins from --warm-start engines/checkpoints. `--only by_marks` trains
one module and leaves all else as it is: a new head of a network that is good already. The learning rate is
level until the last fifth (--decay) and falls there: to go on later, keep a copy of the run from before. A
SIGTERM or Ctrl-C saves and stops. --cuts RUN has patches cut where that run's networks find the face, not
where the labels put it. `distill` writes the predictions of regressors of any kind for the crops; with
--distilled the expression half learns that beside the labels. One thread per process is fastest on small
CPUs; patches are made in --processes of their own. Processes that `torchrun --nproc-per-node 2` starts train
one network together, each on its share of --batch; --compiled makes a step an eighth faster.
"""

from __future__ import annotations

import enum
import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from facecap_batch.capturing.regressor import Regressor
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import EngineMismatch
from facecap_batch.training.crops import distillation
from facecap_batch.training.crops.alignment import OwnAlignment, noisy_alignment
from facecap_batch.training.crops.augmentation import AUGMENTATION
from facecap_batch.training.crops.batches import FaceBatches
from facecap_batch.training.crops.examples import Example, Examples, loader
from facecap_batch.training.crops.negatives import NEGATIVES, negatives
from facecap_batch.training.crops.shard_options import shards_of
from facecap_batch.training.networks.expression import Expression
from facecap_batch.training.networks.face_regressor import FaceRegressor
from facecap_batch.training.networks.grafting import grown
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.networks.patch_network import PatchNetwork
from facecap_batch.training.networks.sizes import DEFAULT, FAST, TEACHER
from facecap_batch.training.optimisation import checkpoint, replicas
from facecap_batch.training.optimisation.checkpoint import Training, learning_rate
from facecap_batch.training.regressor import losses, quality
from facecap_batch.training.regressor.balance import pulls
from facecap_batch.training.rendering import dataset

LOG_SECONDS = 60
SAVE_SECONDS = 300
WARM_SAMPLES = 20_000  # crops in which the learning rate rises

app = typer.Typer(add_completion=False)


class Part(str, enum.Enum):
    """What is trained."""

    locator = "locator"
    expression = "expression"


class Size(str, enum.Enum):
    """Which networks."""

    default = "default"
    fast = "fast"
    teacher = "teacher"


DESIGNS = {Size.default: DEFAULT, Size.fast: FAST, Size.teacher: TEACHER}


def averaged(run: Path, size: Size = Size.default) -> FaceRegressor:
    """The regressor made of both parts' averaged weights; what they lack (`grown`) it does not listen to, but
    for heads by landmarks, which have to be trained first."""
    whole = FaceRegressor(DESIGNS[size])
    for name, half in (("locator.pt", whole.locator), ("expression.pt", whole.expression)):
        kept = torch.load(run / name, weights_only=True, map_location="cpu")["average"]
        if half is whole.expression and not any(weight.startswith("by_marks.") for weight in kept):
            raise typer.BadParameter(
                f"{run / name} has no heads by landmarks: train them with `train expression --only by_marks`"
            )
        half.load_state_dict(grown(half, kept)[0])
    return whole.eval()


@app.command()
def train(
    part: Part,
    data: Annotated[list[Path], typer.Option(help="folder of faces_*.npz; again for another family of rigs")],
    run: Annotated[Path, typer.Option(help="checkpoints")],
    samples: Annotated[int, typer.Option(help="crops that the run has seen when it ends")],
    rate: Annotated[float, typer.Option(help="highest learning rate")] = 1.5e-3,
    decay: Annotated[float, typer.Option(help="share of the crops over which the rate falls")] = 0.2,
    batch: Annotated[int, typer.Option(help="crops per step")] = 64,
    size: Annotated[Size, typer.Option(help="which networks")] = Size.default,
    warm_start: Annotated[
        Path | None, typer.Option(help="folder of weights to begin with where the run has no checkpoint")
    ] = None,
    cuts: Annotated[
        Path | None, typer.Option(help="run whose networks say where patches are cut; else labels with noise")
    ] = None,
    distilled: Annotated[
        list[Path] | None, typer.Option(help="for each --data the folder of what `distill` wrote of it")
    ] = None,
    empty_crops: Annotated[
        int, typer.Option(help="crops without a face that the locator's presence learns from")
    ] = NEGATIVES,
    augmentation: Annotated[
        float, typer.Option(help="augmentation strength of an expression half's images")
    ] = AUGMENTATION,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="compile the networks first, which takes a C++ compiler")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(help="module of the part that learns alone, such as by_marks; all else stays"),
    ] = None,
    seed: int = 0,
    threads: int = 1,
    processes: Annotated[int, typer.Option(help="processes that make patches; 0: this one")] = 1,
) -> None:
    """Train one part until it has seen --samples crops; goes on from its checkpoint."""
    if batch % replicas.count():
        raise typer.BadParameter(f"--batch {batch} cannot be shared by {replicas.count()} processes")
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    path = run / f"{part.value}.pt"
    network = (Locator if part is Part.locator else Expression)(DESIGNS[size])
    modules = dict(network.named_children())
    if only is not None and only not in modules:
        raise typer.BadParameter(f"--only {only}: {part.value} has {', '.join(modules)}")
    replicas.join()
    training = Training(network, rate, network.READOUTS)
    if path.exists():
        training.load(path)
    elif warm_start is not None:
        training.load(warm_start / path.name)
    before, earlier = training.samples, training.runs
    command = f"train {part.value} --samples {samples} --rate {rate:g} --decay {decay:g} --batch {batch}"
    command += f" --size {size.value}" + (f" --only {only}" if only else "")
    if part is Part.expression:
        command += f" --augmentation {augmentation:g}"
        command += (" --cuts" if cuts else "") + (" --distilled" if distilled else "")
    own = (seed + training.samples, replicas.rank())  # every replica sees other crops
    batches = FaceBatches(data, batch // replicas.count(), own, distilled or ())
    first = dataset.load_faces(shards_of(data[0])[0])
    if part is Part.locator:
        steps = _locator_steps(training, batches, negatives(first, seed, empty_crops), own)
    else:
        align = OwnAlignment(averaged(cuts, size)) if cuts else noisy_alignment
        examples = Examples(batches, own, augmentation, align, DESIGNS[size])
        steps = _expression_steps(training, loader(examples, processes), first)

    def save() -> None:
        if replicas.rank():
            return
        training.runs = [*earlier, f"{command}  # {training.samples - before} crops"]
        training.save(path)

    if compiled:
        for patch in training.module.children():
            if isinstance(patch, PatchNetwork):
                patch.compile(dynamic=False)
    asked, stop = _stopped(), False
    start = logged = saved = time.monotonic()
    recent: list[float] = []
    training.learn(only)
    while training.samples < samples and not stop:
        loss = next(steps)
        now_rate = learning_rate(rate, training.samples + batch, WARM_SAMPLES, samples, decay)
        stop = training.step(loss, now_rate, batch, asked())
        recent = [*recent[-299:], loss.item()]
        now = time.monotonic()
        if now - logged > LOG_SECONDS and not replicas.rank():
            speed = (training.samples - before) / (now - start)
            print(f"{training.samples} crops, {speed:.0f}/s, loss {np.mean(recent):.4f}", flush=True)
            logged = now
        if now - saved > SAVE_SECONDS:
            save()
            saved = now
    save()
    replicas.leave()
    if not replicas.rank():
        print(f"done: {training.samples} crops, loss {np.mean(recent):.4f}")


def _locator_steps(
    training: Training, batches: FaceBatches, empty: np.ndarray, seed: Sequence[int]
) -> Iterator[torch.Tensor]:
    rng = np.random.default_rng(seed)
    for crops in batches:
        without = empty[rng.integers(0, len(empty), len(crops.image) // 4)]
        yield losses.locator_loss(training.module, crops, without, rng)


def _expression_steps(
    training: Training, examples: Iterator[Example], first: dataset.FaceShard
) -> Iterator[torch.Tensor]:
    weights = losses.signal_weights(first.coefficients)
    for given in examples:
        yield losses.expression_loss(training.module, given, weights)


def _stopped() -> Callable[[], bool]:
    """Whether this process was asked to stop since."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    return lambda: bool(asked)


@app.command()
def balance(
    data: Annotated[list[Path], typer.Option(help="folder of faces_*.npz; again for another family of rigs")],
    weights: Annotated[Path, typer.Option(help="folder of a run, or of weights kept")],
    batches: Annotated[int, typer.Option(help="batches to measure on", min=2)] = 4,
    batch: Annotated[int, typer.Option(help="crops of each")] = 128,
    size: Annotated[Size, typer.Option(help="which networks")] = Size.default,
    seed: int = 0,
) -> None:
    """Print how hard each term of the loss pulls at the expression half's networks, the strongest first."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = Expression(DESIGNS[size])
    Training(network, 0.0, network.READOUTS).load(weights / "expression.pt")
    crops = FaceBatches(data, batch, seed)
    examples = loader(Examples(crops, (seed,), AUGMENTATION, noisy_alignment, DESIGNS[size]), 0)
    signals = losses.signal_weights(dataset.load_faces(shards_of(data[0])[0]).coefficients)
    print("| network | term | pull | cosine between batches |\n| --- | --- | ---: | ---: |")
    for pull in pulls(network.train(), list(itertools.islice(examples, batches)), signals):
        print(f"| {pull.network} | {pull.term} | {pull.size:.4f} | {pull.steadiness:.2f} |")


@app.command()
def distill(
    data: Annotated[Path, typer.Option(help="folder of faces_*.npz")],
    engines: Annotated[list[str], typer.Option(help="engine set whose regressor teaches; again for more")],
    output: Annotated[Path, typer.Option(help="folder of their predictions")],
    backend: Annotated[str, typer.Option(help="what runs them")] = "auto",
) -> None:
    """Write engines' mean predictions for every crop and its mirror image; shards done are kept."""
    teachers = [
        Regressor(open_engine(load_set(name).regressor, backend), distillation.BATCH) for name in engines
    ]
    try:
        count = distillation.distill(teachers, data, output)
    except (EngineMismatch, FileNotFoundError) as error:
        raise typer.BadParameter(str(error)) from error
    print(f"{count} shards of {data} predicted into {output}")


@app.command()
def export(
    run: Annotated[Path, typer.Option(help="checkpoints")],
    heldout: Annotated[
        list[Path], typer.Option(help="folder of faces_*.npz of people not trained on; again for more")
    ],
    output: Annotated[Path, typer.Option(help="engine folder")],
    shards: Annotated[int, typer.Option(help="held-out shards of each folder to measure on")] = 2,
    size: Annotated[Size, typer.Option(help="which networks the run has")] = Size.default,
) -> None:
    """Write the averaged weights as an engine with its card, and print what was measured on held-out
    people."""
    from facecap_batch.training.regressor import export as engine_export

    torch.set_num_threads(1)
    people = [dataset.load_faces(path) for folder in heldout for path in shards_of(folder)[:shards]]
    runs = [
        line
        for name in ("locator.pt", "expression.pt")
        for line in torch.load(run / name, weights_only=True)["runs"]
    ]
    name = "facecap-regressor" if size is Size.default else f"facecap-regressor-{size.value}"
    card = engine_export.export(averaged(run, size), people, output, runs, name)
    print({key: value for key, value in card.quality.items() if key != "heldout_r"})
    print(card.quality["heldout_r"])


@app.command()
def mean(
    run: Annotated[list[Path], typer.Option(help="folder of a run, or of weights kept; again for more")],
    output: Annotated[Path, typer.Option(help="folder of a run that begins with the mean")],
) -> None:
    """Write the mean of several trainings' averaged weights, which another training goes on from.

    The trainings must have begun with the same weights.
    """
    if len(run) < 2:
        raise typer.BadParameter("a mean is of two or more", param_hint="--run")
    for name in ("locator.pt", "expression.pt"):
        checkpoint.mean([each / name for each in run], output / name)


@app.command()
def keep(
    run: Annotated[Path, typer.Option(help="checkpoints")],
    output: Annotated[Path, typer.Option(help="where the weights go")],
    heldout: Annotated[
        list[Path] | None,
        typer.Option(help="folder of faces_*.npz to measure on for the card; again for more"),
    ] = None,
    size: Annotated[Size, typer.Option(help="which networks the run has")] = Size.default,
) -> None:
    """Keep what a later training begins with (--warm-start): the averaged weights as float16, with a card."""
    figures: dict[str, float] = {}
    for folder in heldout or ():
        shard = dataset.load_faces(shards_of(folder)[0])
        outputs, points, _, _ = quality.predict(averaged(run, size), shard)
        found = quality.measure(outputs, points, shard)
        family = folder.parent.name
        figures[f"{family}_mean_r"] = round(found.mean_r, 4)
        figures[f"{family}_sides_r"] = round(found.sides_r, 4)
        figures[f"{family}_median_slope"] = round(float(np.median(found.slope)), 4)
    for name in ("locator.pt", "expression.pt"):
        checkpoint.keep(run / name, output / name, figures)
    print(figures)


if __name__ == "__main__":
    app()
