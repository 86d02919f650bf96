"""Judge a regressor engine on rendered people it has never seen: per channel, per slice, at rest.

    python jobs/evaluate.py --engines default --ict ICT-FaceKit/FaceXModel --heldout heldout/faces \\
        --report docs/quality.md --picture docs/images/quality.jpg

`--heldout` holds ``faces_*.npz`` of other people (``jobs/synthesise.py --first 9000 --output heldout``).
With --ict, neutral faces of further people are rendered for the resting figure. Real clips and referee
heads have scripts of their own under ``benchmarks/``.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.storage.publish import publish_bytes
from facecap_batch.training.people.appearance import person
from facecap_batch.training.people.sources import Sources
from facecap_batch.training.regressor import evaluation
from facecap_batch.training.regressor.distillation import mirrored_name
from facecap_batch.training.regressor.examples import hidden_share
from facecap_batch.training.regressor.quality import Quality, measure
from facecap_batch.training.rendering import dataset, degrade, raster
from facecap_batch.training.rendering.scene import View, random_light, render

BATCH = 32
TONES = ((0.0, 0.33), (0.33, 0.66), (0.66, 1.01))  # fair, medium, deep
YAWS = ((0, 15), (15, 35), (35, 90))  # degrees off frontal
FACES = (24, 48, 96)  # pixels, longer side of a face in footage that crops are cut from
LIGHTS = ((0, 70), (70, 130), (130, 256))  # mean of the picture's middle, 0..255
RETAKES = 4  # of every crop, for jitter
COLUMNS, ROWS = 6, 2  # of the picture
CLOSED = 0.5  # an eye is closed above this
RESTING_PEOPLE = 64
PEOPLE_ALONE, ALONE = 12, 0.8  # people who do one thing alone, and how far
ONE_SIDED = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")  # all else both sides of a face do together
MIN_CROPS = 30  # of a slice that is worth a figure
FIELDS = [field.name for field in dataclasses.fields(dataset.FaceShard)]


def _run(engine, image: np.ndarray) -> dict[str, np.ndarray]:
    parts = [engine.run(image[start : start + BATCH]) for start in range(0, len(image), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _slice(outputs: dict[str, np.ndarray], shard: dataset.FaceShard, rows: np.ndarray) -> Quality | None:
    if rows.sum() < MIN_CROPS:
        return None
    part = dataset.FaceShard(*(getattr(shard, name)[rows] for name in FIELDS))
    return measure(outputs["outputs"][rows], outputs["landmarks"][rows], part)


def _row(quality: Quality, crops: int) -> dict[str, float]:
    return {
        "crops": crops,
        "mean_r": quality.mean_r,
        "degrees": quality.rotation_degrees,
        "landmarks_percent": quality.points_percent,
        "median_slope": float(np.median(quality.slope)),
    }


def _joined(folder: Path) -> dataset.FaceShard:
    shards = [dataset.load_faces(path) for path in sorted(folder.glob("faces_*.npz"))]
    if not shards:
        raise typer.BadParameter(f"{folder} holds no faces_*.npz; make some with jobs/synthesise.py")
    joined = dataset.FaceShard(
        *(np.concatenate([getattr(shard, name) for shard in shards]) for name in FIELDS)
    )
    if len(joined.image) < MIN_CROPS:
        raise typer.BadParameter(f"{folder} holds {len(joined.image)} crops, too few to judge by")
    return joined


def _together(name: str) -> np.ndarray:
    """The face that does `name` as far as ALONE, and what the other side does with it: float32 [51]."""
    other = name if name in ONE_SIDED else mirrored_name(name)
    if name.startswith(("eyeLookIn", "eyeLookOut")):  # both eyes look the same way
        other = other.replace("In", "Out") if "In" in other else other.replace("Out", "In")
    return np.isin(ARKIT_NAMES, (name, other)).astype(np.float32) * np.float32(ALONE)


def _alone(engine, sources: Sources) -> np.ndarray:
    """What is said of each coefficient, beyond what is said at rest, where a frontal face does it and nothing
    else (`_together`): float64 [51], mean over unseen people."""
    rig = sources.load()
    rng = np.random.default_rng(4711)
    faces = [np.zeros(len(ARKIT_NAMES), np.float32), *map(_together, ARKIT_NAMES)]
    said = np.zeros(len(ARKIT_NAMES))
    for _ in range(PEOPLE_ALONE):
        who, light = person(rig, rng), random_light(rng)
        rotation = matrix_from_euler(rng.normal(0, [0.15, 0.1, 0.05]))
        view = View(rotation, float(rng.uniform(50, 120)), dataset.CROP, np.zeros(2), 1.0)
        backdrop = degrade.background(rng, dataset.CROP)
        rendered = [render(rig.model, who, face, view, light) for face in faces]
        outputs = _run(engine, np.stack([raster.over(one.rgba, backdrop) for one in rendered]))["outputs"]
        said += np.diagonal(outputs[1:, : len(ARKIT_NAMES)]) - outputs[0, : len(ARKIT_NAMES)]
    return said / PEOPLE_ALONE


def _resting(engine, sources: Sources) -> float:
    """Mean absolute value of the 51 coefficients on neutral faces of unseen people, nearly frontal."""
    rig = sources.load()
    rng = np.random.default_rng(90210)
    images = []
    for _ in range(RESTING_PEOPLE):
        who = person(rig, rng)
        rotation = matrix_from_euler(rng.normal(0, [0.15, 0.1, 0.05]))
        view = View(rotation, float(rng.uniform(50, 120)), dataset.CROP, rng.normal(0, 0.03, 2), 1.0)
        rendered = render(rig.model, who, np.zeros(len(ARKIT_NAMES), np.float32), view, random_light(rng))
        images.append(dataset.finish(rendered, who, degrade.background(rng, dataset.CROP), rng)[0])
    return float(np.abs(_run(engine, np.stack(images))["outputs"][:, : len(ARKIT_NAMES)]).mean())


def _slices(shard: dataset.FaceShard) -> dict[str, np.ndarray]:
    """Name -> bool [n], which crops belong to it."""
    yaw = np.degrees(np.abs(shard.head[:, 0]))
    quarter = dataset.CROP // 4
    light = shard.image[:, quarter:-quarter, quarter:-quarter].mean(axis=(1, 2, 3))
    slices = {"all": np.ones(len(yaw), bool)}
    slices |= {f"skin {low:.2f}-{high:.2f}": (shard.tone >= low) & (shard.tone < high) for low, high in TONES}
    slices |= {f"yaw {low}-{high} deg": (yaw >= low) & (yaw < high) for low, high in YAWS}
    slices |= {f"light {low}-{high}": (light >= low) & (light < high) for low, high in LIGHTS}
    behind = shard.covered.mean(axis=1)
    slices |= {"nothing before it": behind == 0, "a hand before it": behind > 0.1}
    return slices


def _jitter(engine, image: np.ndarray) -> tuple[float, float]:
    """How far what is said of a face moves when the crop is cut a pixel elsewhere and the noise is another:
    standard deviations of the 51 coefficients (mean) and of the head's three angles in degrees (mean)."""
    rng = np.random.default_rng(0)
    retakes = [_run(engine, evaluation.taken_again(image, rng))["outputs"] for _ in range(RETAKES)]
    deviation = np.std(retakes, axis=0, ddof=1)
    shapes = len(ARKIT_NAMES)
    angles = float(np.degrees(deviation[:, shapes : shapes + 3].mean()))
    return float(deviation[:, :shapes].mean()), angles


def _f1(ours: np.ndarray, true: np.ndarray) -> float:
    """F1 of bool arrays of one shape."""
    return float(2 * (ours & true).sum() / max(ours.sum() + true.sum(), 1))


def _closed_f1(said: np.ndarray, truth: np.ndarray) -> float:
    """F1 of single eyes being closed, from eyeBlink of both sides [n, 51]."""
    lids = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
    return _f1(said[:, lids] > CLOSED, truth[:, lids] > CLOSED)


def _hidden_f1(outputs: dict[str, np.ndarray], shard: dataset.FaceShard) -> float | None:
    """F1 of eyes and mouths being half covered; None for an engine that does not say."""
    if "hidden" not in outputs:
        return None
    return _f1(outputs["hidden"] > 0.5, hidden_share(torch.from_numpy(shard.covered)).numpy() > 0.5)


def markdown(figures: dict[str, Any], picture: str | None) -> str:
    """The figures as a page; `picture` is what the page calls the picture that belongs to it."""
    lines = [
        "# How good the engines are on rendered people",
        "",
        f"Engines `{figures['engines']}`, {figures['slices']['all']['crops']} crops of people that were not "
        "trained on, written by `jobs/evaluate.py`.",
        "Real clips and a head with exact truth: [README](../README.md).",
        "",
        "| crops | number | mean r over 51 | rotation, degrees | landmarks, % of eye distance | slope |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in figures["slices"].items():
        lines.append(
            f"| {name} | {row['crops']} | {row['mean_r']:.3f} | {row['degrees']:.2f} | "
            f"{row['landmarks_percent']:.1f} | {row['median_slope']:.2f} |"
        )
    lines += ["", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value:.3f} |" for name, value in figures["single"].items()]
    alone = figures["alone"]
    heading = f"said where a face does {ALONE} of it alone" if alone else ""
    lines += ["", f"| coefficient | r | {heading} |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {r:.2f} | {f'{alone[name]:.2f}' if alone else ''} |"
        for name, r in sorted(figures["r"].items(), key=lambda pair: -pair[1])
    ]
    if picture is not None:
        lines += [
            "",
            f"![Twelve crops, landmarks and coefficients]({picture})",
            "",
            "From the crop that was read best to the one that was read worst, evenly between. Green: the "
            "landmarks found. Grey bars: the truth of the strongest coefficients; blue: what was said.",
        ]
    return "\n".join(lines) + "\n"


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
    report: Annotated[Path | None, typer.Option(help="also write a Markdown page of them here")] = None,
    picture: Annotated[Path | None, typer.Option(help="also draw twelve crops here, .jpg or .png")] = None,
) -> None:
    """Print the figures; see the module's docstring."""
    if picture is not None and picture.suffix not in (".jpg", ".png"):
        raise typer.BadParameter(f"{picture}: a picture ends in .jpg or .png")
    engine = open_engine(load_set(engines).regressor, backend)
    shard = _joined(heldout)
    outputs = _run(engine, shard.image)
    everyone = measure(outputs["outputs"], outputs["landmarks"], shard)
    per_channel = dict(zip(ARKIT_NAMES, everyone.correlation.round(4).tolist(), strict=True))
    slices = {
        name: _row(quality, int(rows.sum()))
        for name, rows in _slices(shard).items()
        if (quality := _slice(outputs, shard, rows)) is not None
    }
    for pixels in FACES:
        small = _run(engine, evaluation.from_smaller_faces(shard.image, pixels))
        quality = measure(small["outputs"], small["landmarks"], shard)
        slices[f"face of {pixels} pixels"] = _row(quality, len(shard.image))
    single = {"closed eyes, F1": _closed_f1(outputs["outputs"], shard.coefficients)}
    hidden = _hidden_f1(outputs, shard)
    if hidden is not None:
        single["hidden eyes and mouths, F1"] = hidden
    shapes, degrees = _jitter(engine, shard.image)
    single["taken again a pixel off: standard deviation of the 51, mean"] = shapes
    single["taken again a pixel off: standard deviation of an angle, degrees"] = degrees
    alone: dict[str, float] = {}
    if ict is not None:
        sources = Sources(ict, makehuman, cache)
        single["at rest, mean absolute value of the 51"] = _resting(engine, sources)
        alone = dict(zip(ARKIT_NAMES, _alone(engine, sources).round(4).tolist(), strict=True))
    figures = {"engines": engines, "slices": slices, "r": per_channel, "alone": alone, "single": single}
    drawn = None
    if picture is not None:
        drawn = os.path.relpath(picture, report.parent) if report is not None else str(picture)
        said = outputs["outputs"][:, : len(ARKIT_NAMES)]
        seen = evaluation.picture(shard, said, outputs["landmarks"], COLUMNS, ROWS)
        publish_bytes(picture, cv2.imencode(picture.suffix, seen[..., ::-1])[1].tobytes())
    page = markdown(figures, drawn)
    print(page)
    if json_path is not None:
        publish_bytes(json_path, json.dumps(figures, indent=2).encode())
    if report is not None:
        publish_bytes(report, page.encode())


if __name__ == "__main__":
    typer.run(main)
