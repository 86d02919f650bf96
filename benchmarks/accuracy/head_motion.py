"""How the head in the FBX files moves beside two reference rigs, and whether its lips and lids hold together.

    python benchmarks/accuracy/head_motion.py --ict ICT-FaceKit/FaceXModel --makehuman makehuman
    python benchmarks/accuracy/head_motion.py --ict … --makehuman … --takes takes
    python benchmarks/accuracy/head_motion.py --ict … --makehuman … \\
        --table facecap_batch/exporting/head/measured_motion.csv

For each shape and named point of the face (`exporting.head.anatomy`): how far the point moves at weight 1 on
our head, on ICT-FaceKit and on MakeHuman's hm08, x y z in thousandths of the distance between the eyeballs;
points that are farther than --apart from ICT-FaceKit's are marked. Then the opening of the lids at squints of
.7, and, with --takes (a folder of Live Link Face CSV files), in how many of their rows a lip passes through
the other. With --table the displacements that the head is built from are written instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.head import head_model
from facecap_batch.exporting.head.anatomy import LIDS
from facecap_batch.training.heads import ict_head
from facecap_batch.training.heads.face_points import Moved, moved_points, symmetric
from facecap_batch.training.heads.hm08 import head as hm08_head
from facecap_batch.training.heads.shipped_motion import crossing_rows, lid_opening, live_link_rows, own_points
from facecap_batch.training.heads.source_files import MissingSource

SHOWN = (
    "lip corner", "upper lip border peak", "upper lip edge middle", "upper lip edge halfway",
    "lower lip border inner", "lower lip edge middle", "lower lip edge halfway", *LIDS, "brow 1", "brow 3",
    "brow 5", "cheek", "cheekbone", "under eye", "smile line", "nose wing", "chin",
)  # fmt: skip
WORTH_SHOWING = 10.0  # thousandths of the distance between the eyeballs
LEAST = 2.0  # thousandths; less is left out of the table
MIXED = "cheekPuff"  # the lips of ICT-FaceKit's go out like a snout: the mean of both rigs
HEADER = """\
# Displacements of named points of the face (anatomy.py) at weight 1, in thousandths of the distance between
# the eyeballs; x toward the subject's left, y up, z out of the face; the left side and the middle, both sides
# averaged. Measured on ICT-FaceKit (github.com/ICT-VGL/ICT-FaceKit, MIT licence); cheekPuff is the mean with
# MakeHuman's ARKit face units (CC0). Written by benchmarks/accuracy/head_motion.py --table.
shape,point,x,y,z
"""


def write_table(path: Path, ict: Moved, hm08: Moved) -> None:
    """The table that the head is built from."""
    lines = []
    for (shape, point), vector in ict.items():
        if shape.endswith("Right"):
            continue
        chosen = (vector + hm08[shape, point]) / 2 if shape == MIXED else vector
        rounded = np.round(1000 * chosen).astype(int)
        if np.abs(rounded).max() >= LEAST:
            lines.append(f"{shape},{point},{rounded[0]},{rounded[1]},{rounded[2]}\n")
    path.write_text(HEADER + "".join(lines))


def _text(vector: np.ndarray) -> str:
    return " ".join(f"{value:5.0f}" for value in 1000 * vector)


def compare(own: Moved, ict: Moved, hm08: Moved, apart: float) -> int:
    """Print the comparison; returns how many points are farther apart than `apart`."""
    count = 0
    for shape in ARKIT_NAMES:
        if shape.endswith("Right"):
            continue
        print(f"\n{shape:50s} ours              ICT-FaceKit       hm08")
        for point in SHOWN:
            three = [moved[shape, point] for moved in (own, ict, hm08)]
            far = float(np.linalg.norm(three[0] - three[1])) > apart
            if far or max(1000 * float(np.linalg.norm(vector)) for vector in three) > WORTH_SHOWING:
                print(f"  {point:26s}{'APART' if far else '':>20s}" + " ".join(map(_text, three)))
            count += far
    print(f"\n{count} points are more than {apart:.2f} of the distance between the eyeballs apart")
    return count


def main(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit's FaceXModel folder")],
    makehuman: Annotated[Path, typer.Option(help="folder of MakeHuman's files, docs/training.md")],
    takes: Annotated[Path | None, typer.Option(help="folder of Live Link Face CSV files")] = None,
    apart: Annotated[float, typer.Option(help="distances between the eyeballs")] = 0.1,
    table: Annotated[Path | None, typer.Option(help="write the table of displacements there")] = None,
) -> None:
    """Print the comparison; see the module's docstring."""
    try:
        reference = ict_head.build(ict)
        other = hm08_head.build_unscaled(makehuman, reference)
    except MissingSource as error:
        raise typer.BadParameter(str(error)) from error
    from_ict, from_hm08 = symmetric(moved_points(reference)), symmetric(moved_points(other))
    if table is not None:
        write_table(table, from_ict, from_hm08)
        return
    head = head_model()
    compare(own_points(head), from_ict, from_hm08, apart)
    for weights in ({"eyeSquint": 0.7}, {"cheekSquint": 0.7}, {"eyeSquint": 0.7, "cheekSquint": 0.7}):
        named = " and ".join(f"{name} {weight}" for name, weight in weights.items())
        print(f"lids at {named}: open {100 * lid_opening(head, weights):.0f} % of neutral")
    for file in sorted(takes.glob("*.csv")) if takes is not None else []:
        rows = live_link_rows(file)
        crossing, deepest = crossing_rows(head, rows)
        print(f"{file.name}: lips cross in {crossing} of {len(rows)} rows; least gap {deepest:.3f} cm")


if __name__ == "__main__":
    typer.run(main)
