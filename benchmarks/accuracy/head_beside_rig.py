"""Frames of a recorded take on the head in the FBX files, each beside the same frame on a reference rig.

    python benchmarks/accuracy/head_beside_rig.py take.csv --ict ICT-FaceKit/FaceXModel \\
        --picture docs/images/head_beside_rig.jpg

The take is a Live Link Face CSV file; the frames are those whose faces differ most. In each pair our head is
on the left, ICT-FaceKit's mean head on the right; both have the same coefficients and the same light.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from facecap_batch.exporting.preview.telling import most_different
from facecap_batch.storage.publish import publish_bytes
from facecap_batch.training.heads.shipped_motion import live_link_rows
from facecap_batch.training.heads.source_files import MissingSource
from facecap_batch.training.people.rig import Family
from facecap_batch.training.people.sources import Sources
from facecap_batch.training.rendering.scene import Camera
from facecap_batch.training.sheets.heads import RigHead, ShippedHead

TILE = (132, 158)  # width and height of a head, pixels
GAP = 6  # pixels between pairs
DISTANCE_CM = 60.0
FOCAL = 2.75  # of the tile's height
SINK = -0.09  # of the tile's height: the middle of the face, not of the eyes, is in the middle
YAW = (0.0, -0.35, 0.35)  # radians, of one frame after the other
QUALITY = 80  # of the JPEG


def main(
    take: Annotated[Path, typer.Argument(help="a Live Link Face CSV file")],
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit's FaceXModel folder")],
    picture: Annotated[Path, typer.Option(help="where the picture goes, .jpg or .png")],
    frames: Annotated[int, typer.Option(min=1, help="how many")] = 30,
    columns: Annotated[int, typer.Option(min=1, help="pairs side by side")] = 6,
    cache: Annotated[Path, typer.Option(help="folder where what is read from --ict is kept")] = Path("data"),
) -> None:
    """Draw the picture; see the module's docstring."""
    rows = live_link_rows(take).astype(np.float32)
    try:
        reference = RigHead(Sources(ict, None, cache).load(Family.ict))
    except MissingSource as error:
        raise typer.BadParameter(str(error)) from error
    heads = (ShippedHead(), reference)
    width, height = TILE
    camera = Camera(width, height, FOCAL * height, (0.0, SINK * height))
    pairs = []
    for place, row in enumerate(most_different(rows, np.ones(len(rows), bool), frames)):
        pose = np.array([YAW[place % len(YAW)], 0, 0, 0, 0, -DISTANCE_CM], np.float32)
        tiles = [head.drawn(np.clip(rows[row], 0.0, 1.0), pose, camera) for head in heads]
        pairs.append(np.pad(np.hstack(tiles), ((0, GAP), (0, GAP), (0, 0))))
    pairs += [np.zeros_like(pairs[0])] * (-len(pairs) % columns)
    sheet = np.vstack([np.hstack(pairs[k : k + columns]) for k in range(0, len(pairs), columns)])
    done, data = cv2.imencode(picture.suffix, sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    publish_bytes(picture, data.tobytes())


if __name__ == "__main__":
    typer.run(main)
