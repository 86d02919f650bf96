"""Judge a regressor engine on rendered people it has never seen: per channel, per slice, at rest.

    python jobs/evaluate.py --engines default --ict ICT-FaceKit/FaceXModel --heldout heldout/faces --json
    quality.json

`--heldout` holds ``faces_*.npz`` of other people (``jobs/synthesise.py --first 9000 --output heldout``).
With --ict, neutral faces of further people are rendered for the resting figure. Real clips and referee
heads have scripts of their own under ``benchmarks/``.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.storage import publish_bytes
from facecap_batch.synthesis import dataset, degrade
from facecap_batch.synthesis.appearance import person
from facecap_batch.synthesis.scene import View, random_light, render
from facecap_batch.synthesis.sources import Sources
from facecap_batch.training.regressor import Quality, measure

BATCH = 32
TONES = ((0.0, 0.33), (0.33, 0.66), (0.66, 1.01))  # fair, medium, deep
YAWS = ((0, 15), (15, 35), (35, 90))  # degrees off frontal
RESTING_PEOPLE = 64
FIELDS = [field.name for field in dataclasses.fields(dataset.FaceShard)]


def _run(engine, image: np.ndarray) -> dict[str, np.ndarray]:
    parts = [engine.run(image[start : start + BATCH]) for start in range(0, len(image), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _slice(outputs: dict[str, np.ndarray], shard: dataset.FaceShard, rows: np.ndarray) -> Quality | None:
    if rows.sum() < 30:
        return None
    part = dataset.FaceShard(*(getattr(shard, name)[rows] for name in FIELDS))
    return measure(outputs["outputs"][rows], outputs["landmarks"][rows], part)


def _joined(folder: Path) -> dataset.FaceShard:
    shards = [dataset.load_faces(path) for path in sorted(folder.glob("faces_*.npz"))]
    if not shards:
        raise typer.BadParameter(f"{folder} holds no faces_*.npz; make some with jobs/synthesise.py")
    return dataset.FaceShard(*(np.concatenate([getattr(shard, name) for shard in shards]) for name in FIELDS))


def _resting(engine, sources: Sources) -> float:
    """Mean absolute value of the 51 coefficients on neutral faces of unseen people, nearly frontal."""
    model, skins = sources.load()
    rng = np.random.default_rng(90210)
    images = []
    for _ in range(RESTING_PEOPLE):
        who = person(model, rng, skins=skins)
        rotation = matrix_from_euler(rng.normal(0, [0.15, 0.1, 0.05]))
        view = View(rotation, float(rng.uniform(50, 120)), dataset.CROP, rng.normal(0, 0.03, 2), 1.0)
        rendered = render(model, who, np.zeros(len(ARKIT_NAMES), np.float32), view, random_light(rng))
        images.append(dataset.finish(rendered, who, degrade.background(rng, dataset.CROP), rng)[0])
    return float(np.abs(_run(engine, np.stack(images))["outputs"][:, : len(ARKIT_NAMES)]).mean())


def main(
    heldout: Annotated[Path, typer.Option(help="folder of faces_*.npz of people not trained on")],
    engines: Annotated[str, typer.Option(help="engine set, by name or folder")] = "default",
    backend: Annotated[str, typer.Option(help="what runs it")] = "auto",
    ict: Annotated[
        Path | None, typer.Option(help="ICT-FaceKit's FaceXModel folder, for faces at rest")
    ] = None,
    makehuman: Annotated[
        Path | None, typer.Option(help="folder of MakeHuman's skins and brows, see docs/training.md")
    ] = None,
    cache: Annotated[Path, typer.Option(help="folder where what is read from these is kept")] = Path("data"),
    json_path: Annotated[Path | None, typer.Option("--json", help="also write the figures here")] = None,
) -> None:
    """Print the figures; see the module's docstring."""
    engine = open_engine(load_set(engines).regressor, backend)
    shard = _joined(heldout)
    outputs = _run(engine, shard.image)
    yaw = np.degrees(np.abs(shard.head[:, 0]))
    slices = {"all": np.ones(len(yaw), bool)}
    slices |= {f"skin {low:.2f}-{high:.2f}": (shard.tone >= low) & (shard.tone < high) for low, high in TONES}
    slices |= {f"yaw {low}-{high} deg": (yaw >= low) & (yaw < high) for low, high in YAWS}
    figures: dict[str, object] = {}
    print(f"{'slice':18} {'crops':>6} {'mean r':>7} {'rotation':>9} {'landmarks':>10} {'slope':>6}")
    for name, rows in slices.items():
        quality = _slice(outputs, shard, rows)
        if quality is None:
            continue
        figures[name] = {
            "crops": int(rows.sum()),
            "mean_r": quality.mean_r,
            "degrees": quality.rotation_degrees,
        }
        print(
            f"{name:18} {rows.sum():6d} {quality.mean_r:7.3f} {quality.rotation_degrees:7.2f} d "
            f"{quality.points_percent:8.1f} % {np.median(quality.slope):6.2f}"
        )
        if name == "all":
            figures["r"] = dict(zip(ARKIT_NAMES, quality.correlation.round(4).tolist(), strict=True))
            for channel in np.argsort(-quality.correlation):
                print(f"  {ARKIT_NAMES[channel]:22} r {quality.correlation[channel]:.3f}")
    if ict is not None:
        figures["resting"] = _resting(engine, Sources(ict, makehuman, cache))
        print(f"at rest: mean absolute value {figures['resting']:.4f}")
    if json_path is not None:
        publish_bytes(json_path, json.dumps(figures, indent=2).encode())


if __name__ == "__main__":
    typer.run(main)
