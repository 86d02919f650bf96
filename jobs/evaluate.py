"""Judge a regressor engine on rendered people it has never seen: per family of rigs, channel, slice, at rest.

    python jobs/evaluate.py --engines default --ict ICT-FaceKit/FaceXModel --makehuman makehuman \\
        --heldout heldout/ict/faces --heldout heldout/hm08/faces \\
        --report docs/quality.md --picture docs/images/quality.jpg

`--heldout` holds ``faces_*.npz`` of other people (``jobs/synthesise.py --first 9000 --output heldout/ict``),
a folder for each family, named like it. With --ict further people of each family are rendered who do one
thing alone. Real clips and heads with exact truth have scripts of their own under ``benchmarks/``.
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
from facecap_batch.engines.batching import Engine
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.default_crop import CROP
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.solve.calibration import calibrated, calibration_of
from facecap_batch.storage.publish import publish_bytes
from facecap_batch.training.crops.examples import hidden_share
from facecap_batch.training.crops.shard_options import shards_of
from facecap_batch.training.heads.source_files import MissingSource
from facecap_batch.training.people.identities import CHILD
from facecap_batch.training.people.rig import Family, Rig
from facecap_batch.training.people.sources import Sources
from facecap_batch.training.regressor import evaluation, movements
from facecap_batch.training.regressor.quality import Quality, measure
from facecap_batch.training.rendering import dataset

BATCH = 32
TONES = ((0.0, 0.33), (0.33, 0.66), (0.66, 1.01))  # fair, medium, deep
# Years; the last age of a group belongs to the next one.
AGES = (("child", 0, CHILD), ("adult", CHILD, 60), ("old", 60, 120))
YAWS = ((0, 15), (15, 35), (35, 90))  # degrees off frontal
FACES = (24, 48, 96)  # pixels, longer side of a face in footage that crops are cut from
LIGHTS = ((0, 70), (70, 130), (130, 256))  # mean of the picture's middle, 0..255
RETAKES = 4  # of every crop, for jitter
COLUMNS, ROWS = 6, 2  # of the picture
CLOSED = 0.5  # an eye is closed above this
PEOPLE_ALONE = 16  # of each family, who do one thing alone
READ_ABOVE = 0.4  # of a movement of 0.8, to be read at all
MIN_CROPS = 30  # of a slice that is worth a figure
FIELDS = [field.name for field in dataclasses.fields(dataset.FaceShard)]


def _run(engine: Engine, image: np.ndarray) -> dict[str, np.ndarray]:
    crops = dataset.resized(image, engine.card.input.size)
    parts = [engine.run(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    outputs["outputs"][:, : len(ARKIT_NAMES)] = _final(engine.card, outputs["outputs"])
    return outputs


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
        "sides_r": quality.sides_r,
        "sides_slope": quality.sides_slope,
    }


def _joined(folder: Path) -> dataset.FaceShard:
    shards = [dataset.load_faces(path) for path in shards_of(folder)]
    joined = dataset.FaceShard(
        *(np.concatenate([getattr(shard, name) for shard in shards]) for name in FIELDS)
    )
    if len(joined.image) < MIN_CROPS:
        raise typer.BadParameter(f"{folder} holds {len(joined.image)} crops, too few to judge by")
    return joined


def _slices(shard: dataset.FaceShard) -> dict[str, np.ndarray]:
    """Name -> bool [n], which crops belong to it."""
    yaw = np.degrees(np.abs(shard.head[:, 0]))
    quarter = CROP // 4
    light = shard.image[:, quarter:-quarter, quarter:-quarter].mean(axis=(1, 2, 3))
    slices = {"all": np.ones(len(yaw), bool)}
    slices |= {f"skin {low:.2f}-{high:.2f}": (shard.tone >= low) & (shard.tone < high) for low, high in TONES}
    slices |= {
        f"{name}, {low:.0f}-{high:.0f} years": (shard.age >= low) & (shard.age < high)  # NaN is in none
        for name, low, high in AGES
    }
    slices |= {f"yaw {low}-{high} deg": (yaw >= low) & (yaw < high) for low, high in YAWS}
    slices |= {f"light {low}-{high}": (light >= low) & (light < high) for low, high in LIGHTS}
    behind = shard.covered.mean(axis=1)
    slices |= {"nothing before it": behind == 0, "a hand before it": behind > 0.1}
    return slices


def _jitter(engine: Engine, image: np.ndarray) -> tuple[float, float]:
    """How far what is predicted of a face moves when the crop is cut a pixel elsewhere and the noise is
    another: standard deviations of the 51 coefficients (mean) and of the head's three angles in degrees
    (mean)."""
    rng = np.random.default_rng(0)
    retakes = [_run(engine, evaluation.taken_again(image, rng))["outputs"] for _ in range(RETAKES)]
    deviation = np.std(retakes, axis=0, ddof=1)
    shapes = len(ARKIT_NAMES)
    angles = float(np.degrees(deviation[:, shapes : shapes + 3].mean()))
    return float(deviation[:, :shapes].mean()), angles


def _f1(ours: np.ndarray, true: np.ndarray) -> float:
    """F1 of bool arrays of one shape."""
    return float(2 * (ours & true).sum() / max(ours.sum() + true.sum(), 1))


def _final(card: EngineCard, outputs: np.ndarray) -> np.ndarray:
    """What a run with default settings makes of coefficients [n, 51] of faces that stand still."""
    rest = [card.rest.get(name, 0.0) for name in ARKIT_NAMES]
    gains = [card.gains.get(name, 1.0) for name in ARKIT_NAMES]
    return calibrated(outputs[:, : len(ARKIT_NAMES)].astype(np.float64), calibration_of(rest, gains))


def _closed_f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    """F1 of single eyes being closed, from eyeBlink of both sides [n, 51]."""
    lids = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
    return _f1(predicted[:, lids] > CLOSED, truth[:, lids] > CLOSED)


def _hidden_f1(outputs: dict[str, np.ndarray], shard: dataset.FaceShard) -> float | None:
    """F1 of eyes and mouths being half covered; None for an engine without that output."""
    if "hidden" not in outputs:
        return None
    return _f1(outputs["hidden"] > 0.5, hidden_share(torch.from_numpy(shard.covered)).numpy() > 0.5)


def _family(folder: Path) -> str:
    """The family that a folder of shards is named after: ``data/ict/faces`` is of ict."""
    return folder.parent.name if folder.name == "faces" else folder.name


def _rigs(sources: Sources, heldout: list[Path]) -> dict[str, Rig]:
    """The rigs of the families that the folders `heldout` are named after."""
    rigs = {}
    for folder in heldout:
        name = _family(folder)
        if name not in set(Family):
            families = ", ".join(Family)
            raise typer.BadParameter(f"{folder} is named after no family of rigs ({families})")
        try:
            rigs[name] = sources.load(Family(name))
        except MissingSource as error:
            raise typer.BadParameter(str(error)) from error
    return rigs


def _judged(engine: Engine, shard: dataset.FaceShard) -> dict[str, Any]:
    """Figures of one family's held-out crops."""
    outputs = _run(engine, shard.image)
    everyone = measure(outputs["outputs"], outputs["landmarks"], shard)
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
    per_channel = dict(zip(ARKIT_NAMES, everyone.correlation.round(4).tolist(), strict=True))
    return {"slices": slices, "r": per_channel, "single": single}


def _moved(engine: Engine, rig: Rig) -> dict[str, Any]:
    """Figures of one family's people who do one thing alone."""
    shapes = len(ARKIT_NAMES)
    found = movements.measure(rig, lambda image: _run(engine, image)["outputs"][:, :shapes], PEOPLE_ALONE)
    names = [ARKIT_NAMES[left].removesuffix("Left") for left, _ in movements.PAIRS]
    pairs = np.stack([found.gain, found.leak, found.sides_r], 1).round(4).tolist()
    return {
        "together": dict(zip(ARKIT_NAMES, found.together.round(4).tolist(), strict=True)),
        "one side": dict(zip(names, pairs, strict=True)),
        "single": {
            f"shapes of 51 read above {READ_ABOVE}, both sides doing {movements.STRENGTH}": int(
                (found.together > READ_ABOVE).sum()
            ),
            "the lowest of these readings": float(found.together.min()),
            "one side alone: gain, mean": float(found.gain.mean()),
            "one side alone: r of left - right, mean": float(found.sides_r.mean()),
            "one side alone: the other side, mean": float(found.leak.mean()),
            "at rest, mean absolute value of the 51": float(found.rest.mean()),
            "the same, most to least over fair, medium and deep skin": float(np.ptp(found.rest)),
        },
    }


def markdown(figures: dict[str, Any], picture: str | None) -> str:
    """The figures as a page; `picture` is what the page calls the picture that belongs to it."""
    families = figures["families"]
    lines = [
        "# How good the engines are on rendered people",
        "",
        f"Engines `{figures['engines']}`, people that were not trained on, by family of rigs; written by "
        "`jobs/evaluate.py`. Coefficients are final values: what `run` makes of faces that stand still.",
        "Real clips and a head with exact truth: [README](../README.md).",
    ]
    for family, judged in families.items():
        lines += [
            "",
            f"## {family}",
            "",
            "| crops | number | mean r over 51 | slope | left - right: r | slope | rotation, degrees | "
            "landmarks, % of eye distance |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {name} | {row['crops']} | {row['mean_r']:.3f} | {row['median_slope']:.2f} | "
            f"{row['sides_r']:.2f} | {row['sides_slope']:.2f} | {row['degrees']:.2f} | "
            f"{row['landmarks_percent']:.1f} |"
            for name, row in judged["slices"].items()
        ]
        single = judged["single"] | judged.get("moved", {}).get("single", {})
        lines += ["", "| | |", "| --- | --- |"]
        lines += [f"| {name} | {value:.3g} |" for name, value in single.items()]
    lines += ["", "## Coefficients", "", _header(families, "r, {}", "alone, {}"), _rule(2 * len(families))]
    for name in ARKIT_NAMES:
        cells = [f"{judged['r'][name]:.2f}" for judged in families.values()]
        cells += [_cell(judged, "together", name) for judged in families.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    lines += [
        "",
        f"Alone: the reading, less that at rest, of a face that does {movements.STRENGTH} of it, mouthClose "
        "over as much of jawOpen.",
    ]
    if any("moved" in judged for judged in families.values()):
        lines += ["", "## One side alone", "", "Gain, the other side's reading, r of left - right.", ""]
        lines += [_header(families, "{}"), _rule(len(families))]
        for left, _ in movements.PAIRS:
            name = ARKIT_NAMES[left].removesuffix("Left")
            cells = [_cell(judged, "one side", name) for judged in families.values()]
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    if picture is not None:
        lines += [
            "",
            f"![Twelve crops, landmarks and coefficients]({picture})",
            "",
            "From the crop that was read best to the one that was read worst, evenly between. Green: the "
            "landmarks found. Grey bars: the truth of the strongest coefficients; blue: what was read.",
        ]
    return "\n".join(lines) + "\n"


def _header(families: dict[str, Any], *columns: str) -> str:
    return "| | " + " | ".join(column.format(name) for column in columns for name in families) + " |"


def _rule(columns: int) -> str:
    return "| --- " * (columns + 1) + "|"


def _cell(judged: dict[str, Any], table: str, name: str) -> str:
    found = judged.get("moved", {}).get(table, {}).get(name, [])
    return " ".join(f"{value:.2f}" for value in (found if isinstance(found, list) else [found]))


def main(
    heldout: Annotated[
        list[Path], typer.Option(help="folder of faces_*.npz of people not trained on; again for more")
    ],
    engines: Annotated[str, typer.Option(help="engine set, by name or folder")] = "default",
    backend: Annotated[str, typer.Option(help="what runs it")] = "auto",
    ict: Annotated[
        Path | None, typer.Option(help="ICT-FaceKit's FaceXModel folder, for faces that do one thing alone")
    ] = None,
    makehuman: Annotated[
        Path | None, typer.Option(help="folder of MakeHuman's files, see docs/training.md")
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
    rigs = {} if ict is None else _rigs(Sources(ict, makehuman, cache), heldout)
    families = {}
    for folder in heldout:
        shard = _joined(folder)
        name = _family(folder)
        families[name] = _judged(engine, shard)
        if name in rigs:
            families[name]["moved"] = _moved(engine, rigs[name])
    figures = {"engines": engines, "families": families}
    drawn = None
    if picture is not None:
        drawn = os.path.relpath(picture, report.parent) if report is not None else str(picture)
        outputs = _run(engine, shard.image)
        read = outputs["outputs"][:, : len(ARKIT_NAMES)]
        seen = evaluation.picture(shard, read, outputs["landmarks"], COLUMNS, ROWS)
        publish_bytes(picture, cv2.imencode(picture.suffix, seen[..., ::-1])[1].tobytes())
    page = markdown(figures, drawn)
    print(page)
    if json_path is not None:
        publish_bytes(json_path, json.dumps(figures, indent=2).encode())
    if report is not None:
        publish_bytes(report, page.encode())


if __name__ == "__main__":
    typer.run(main)
