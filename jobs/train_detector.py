"""Train the default detector on rendered scenes and export it with its card.

    python jobs/train_detector.py --heads data/heads --large data/heads_large --run runs/detector --steps 6000

Stops and continues at any step (`checkpoint.pt` in the run's folder); scene n is the same in every run, so a
run that was interrupted has seen the same images as one that was not. Half of the CPUs draw scenes, half
train.
"""

from __future__ import annotations

import copy
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from torch.utils.data import DataLoader, Dataset

from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec
from facecap_batch.importing.networks.faceboxes import FaceBoxes, FaceBoxesDetector
from facecap_batch.importing.networks.onnx_export import export_onnx
from facecap_batch.importing.published_weights import detector_card
from facecap_batch.storage.publish import published
from facecap_batch.training.detector.backdrops import Backdrops
from facecap_batch.training.detector.losses import Targets, corners, detection_loss, match
from facecap_batch.training.detector.scenes import SceneMaker
from facecap_batch.training.detector.tiles import HeadTiles
from facecap_batch.training.detector.trial import Trial, evaluate

# Without these the C library returns freed memory to the kernel and faults it in again at every step, which
# costs more than the step. It reads them when a process starts.
CALM_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "2000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
}
MEAN, STD = 127.0, 64.0  # of the pixels, all channels alike
# Scenes grow while training goes on: (share of the steps after which, side over the engine's). The network is
# convolutional, so what it learns on small scenes holds on large ones; only faces that fill
# the image need those.
GROWTH = ((0.0, 0.6), (0.5, 0.8), (0.8, 1.0))
AVERAGING = 0.998  # per step, of the weights that are exported
HELD_OUT_SEED = 1_000_003


class Scenes(Dataset[tuple[np.ndarray, Targets]]):
    """Scene numbers to (image uint8 [S, S, 3], Targets)."""

    def __init__(self, maker: SceneMaker, anchors: np.ndarray, first: int, count: int) -> None:
        self.maker, self.first, self.count = maker, first, count
        self.anchor_corners = corners(anchors)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, Targets]:
        scene = self.maker.make(self.first + index)
        return scene.image, match(self.anchor_corners, scene.boxes, scene.ignored)


def collate(items: list[tuple[np.ndarray, Targets]]) -> tuple[torch.Tensor, list[Targets]]:
    return torch.from_numpy(np.stack([image for image, _ in items])), [targets for _, targets in items]


def prepare(images: torch.Tensor) -> torch.Tensor:
    """uint8 [B, S, S, 3] to the network's float32 [B, 3, S, S]; the memory stays channels last."""
    return ((images.float() - MEAN) / STD).permute(0, 3, 1, 2)


def batches(
    maker: SceneMaker, anchors: np.ndarray, first: int, count: int, batch: int, workers: int
) -> Iterator[tuple[torch.Tensor, list[Targets]]]:
    def calm(_: int) -> None:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)

    loader = DataLoader(
        Scenes(maker, anchors, first, count),
        batch,
        num_workers=workers,
        collate_fn=collate,
        drop_last=True,
        prefetch_factor=4 if workers else None,
        worker_init_fn=calm,
    )
    yield from loader


def export(network: FaceBoxes, size: int, folder: Path, training: dict[str, Any], trial: Trial) -> EngineCard:
    """Publish the detector and its card in `folder`."""
    card = detector_card(
        "facecap-detector",
        size,
        "P" if network.step(size) else len(network.anchors(size, size)),
        licence="Apache-2.0",
        input=InputSpec(
            "image", (BATCH, size, size, 3), mean=(MEAN,) * 3, std=(STD,) * 3, step=network.step(size)
        ),
        architecture={"network": "FaceBoxes", "width": network.width, "stem_stride": network.stem_stride},
        training=training,
        quality={"held_out": trial.figures()},
    )
    detector = FaceBoxesDetector(network, size, (MEAN,) * 3, (STD,) * 3, doubt=trial.doubt)
    return export_onnx(detector, card, folder)


def main(
    heads: Annotated[Path, typer.Option(help="folder of head tiles")] = Path("data/heads"),
    large: Annotated[Path | None, typer.Option(help="folder of large head tiles")] = None,
    run: Annotated[Path, typer.Option(help="folder of this run: checkpoint, log, engine")] = Path(
        "runs/detector"
    ),
    steps: Annotated[int, typer.Option(help="optimiser steps")] = 6000,
    batch: Annotated[int, typer.Option(help="scenes per step")] = 32,
    size: Annotated[int, typer.Option(help="input side, pixels; a multiple of 80")] = 320,
    width: Annotated[float, typer.Option(help="of the network; 1 is the paper's")] = 0.5,
    rate: Annotated[float, typer.Option(help="highest learning rate")] = 2e-3,
    seed: Annotated[int, typer.Option(help="of weights and scenes")] = 0,
    workers: Annotated[int, typer.Option(help="processes that draw scenes")] = 1,
    every: Annotated[int, typer.Option(help="steps between checkpoints, evaluations and exports")] = 500,
    judged: Annotated[int, typer.Option(help="held-out scenes per evaluation")] = 400,
    places: Annotated[int, typer.Option(help="backdrops drawn before training begins")] = 192,
    warm_start: Annotated[
        Path | None, typer.Option(help="checkpoint whose averaged weights to begin with")
    ] = None,
) -> None:
    """Train; see the module's docstring."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    run.mkdir(parents=True, exist_ok=True)
    command = f"python jobs/train_detector.py --steps {steps} --batch {batch} --size {size} --width {width} "
    command += f"--rate {rate} --seed {seed} --places {places}"
    network = FaceBoxes(width, stem_stride=2)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
    before = 0  # scenes seen by the run this one begins with
    if warm_start:
        begun = torch.load(warm_start, weights_only=True)
        network.load_state_dict(begun["average"])
        before = int(begun["scenes"])
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-4)
    step = 0
    checkpoint = run / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["network"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        step = int(saved["step"])
        before = int(saved["scenes"]) - step * batch

    tiles = HeadTiles(heads, large)
    backdrops = Backdrops(seed, places)
    strangers = SceneMaker(
        HeadTiles(heads, held_out=True), size, HELD_OUT_SEED, Backdrops(HELD_OUT_SEED, max(1, places // 3))
    )

    def log(**record: Any) -> None:
        print(json.dumps(record), flush=True)
        with (run / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    log(command=command, heads=len(tiles), parameters=sum(p.numel() for p in network.parameters()), step=step)

    def finish() -> None:
        trial = evaluate(average, strangers, judged, MEAN, STD)
        log(step=step, **trial.figures())
        training = {"data": "scenes of rendered heads only", "scenes": before + step * batch, "seed": seed}
        export(copy.deepcopy(average), size, run / "engine", {**training, "command": command}, trial)

    if step >= steps:  # nothing is left to train: evaluate and export once more
        finish()
    while step < steps:
        # A stage is a run of steps with one scene size, cut at every checkpoint.
        starts = [math.ceil(share * steps) for share, _ in GROWTH]
        stage = max(k for k, start in enumerate(starts) if start <= step)
        side = round(GROWTH[stage][1] * size / 16) * 16
        until = min((step // every + 1) * every, *(start for start in [*starts, steps] if start > step))
        maker = SceneMaker(tiles, side, seed, backdrops)
        anchors = network.anchors(side, side)
        anchor_tensor = torch.from_numpy(anchors)
        network.train()
        began, totals = time.perf_counter(), np.zeros(2)
        for images, targets in batches(maker, anchors, step * batch, (until - step) * batch, batch, workers):
            share = step / steps
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * share))
            offsets, logits = network(prepare(images))
            classification, boxes = detection_loss(offsets, logits, anchor_tensor, targets)
            optimiser.zero_grad(set_to_none=True)
            (classification + boxes).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimiser.step()
            step += 1
            momentum = min(AVERAGING, (1 + step) / (10 + step))
            with torch.no_grad():
                for mean, value in zip(
                    average.state_dict().values(), network.state_dict().values(), strict=True
                ):
                    if mean.is_floating_point():
                        mean.lerp_(value, 1 - momentum)
                    else:
                        mean.copy_(value)
            totals += (classification.item(), boxes.item())
            if step % 50 == 0:
                seconds = time.perf_counter() - began
                face, box = (totals / 50).round(4).tolist()
                log(step=step, face=face, box=box, size=side, scenes_per_s=round(50 * batch / seconds, 1))
                began, totals = time.perf_counter(), np.zeros(2)
        with published(checkpoint) as temporary:
            state = {"network": network.state_dict(), "average": average.state_dict(), "step": step}
            state["scenes"] = before + step * batch
            torch.save({**state, "optimiser": optimiser.state_dict()}, temporary)
        if step % every == 0 or step == steps:
            finish()


if __name__ == "__main__":
    if not CALM_MEMORY.keys() <= os.environ.keys():
        os.environ.update(CALM_MEMORY)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    typer.run(main)
