"""Render large head tiles, for faces that fill the image; `jobs/synthesise.py --heads` makes the small
ones.

    python jobs/render_detector_heads.py --ict ICT-FaceKit/FaceXModel --output data/heads_large --shards 6
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.people.appearance import person
from facecap_batch.training.people.rig import Rig
from facecap_batch.training.people.sources import Sources
from facecap_batch.training.rendering import degrade
from facecap_batch.training.rendering.dataset import save
from facecap_batch.training.rendering.expressions import sample
from facecap_batch.training.rendering.scene import View, random_light, render

TILE = 320  # pixels; the face is then about 147 px long
COUNT = 256  # tiles in a shard
TILES_PER_PERSON = 8


def shard(rig: Rig, number: int) -> dict[str, np.ndarray]:
    """Shard `number`: rgba uint8 [COUNT, TILE, TILE, 4], box float32 [COUNT, 4], yaw_pitch_roll float32
    [COUNT, 3].
    """
    rng = np.random.default_rng([13, number])
    tiles, boxes, angles = [], [], []
    for position in range(COUNT):
        if position % TILES_PER_PERSON == 0:
            who = person(rig, rng)
        wide = rng.random() < 0.3
        yaw = rng.uniform(-1.5, 1.5) if wide else rng.normal(0, 0.4)
        view = View(
            rotation=matrix_from_euler(np.array([yaw, rng.normal(0, 0.25), rng.normal(0, 0.15)])),
            distance=float(np.exp(rng.uniform(np.log(30), np.log(150)))),
            size=TILE,
            jitter=np.array([0.0, -0.08]),
            scale=1.45,
        )
        rendered = render(rig.model, who, sample(rng), view, random_light(rng))
        if rendered.lens is not None:
            degrade.lens_glare(rendered.rgba, rendered.lens, who.lens, rng)
        tiles.append(rendered.rgba)
        boxes.append(rendered.box)
        angles.append(rendered.head[:3])
    return {
        "rgba": np.stack(tiles),
        "box": np.stack(boxes).astype(np.float32),
        "yaw_pitch_roll": np.stack(angles).astype(np.float32),
    }


def main(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit's FaceXModel folder")],
    output: Annotated[Path, typer.Option(help="where shards go")] = Path("data/heads_large"),
    makehuman: Annotated[
        Path | None, typer.Option(help="folder of MakeHuman's skins and brows, see docs/training.md")
    ] = None,
    cache: Annotated[Path, typer.Option(help="folder where what is read from these is kept")] = Path("data"),
    shards: Annotated[int, typer.Option(help=f"shards of {COUNT} tiles")] = 6,
) -> None:
    """Render shards; those that exist are kept."""
    cv2.setNumThreads(1)
    rig = Sources(ict, makehuman, cache).load()
    for number in range(shards):
        path = output / f"heads_{number:04d}.npz"
        if not path.exists():
            save(path, shard(rig, number))
            typer.echo(path.name)


if __name__ == "__main__":
    typer.run(main)
