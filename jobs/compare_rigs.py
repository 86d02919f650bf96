"""Print how the shapes of the two rig families compare, as a table for docs/training.md.

    python jobs/compare_rigs.py --ict ICT-FaceKit/FaceXModel --makehuman makehuman

For each shape, both sides together: how far it moves the points that it is measured at
(`common_meaning.MEASURED`) in ICT-FaceKit, in thousandths of the distance between the eyeballs; what
MakeHuman's face unit was multiplied by to move them as far; and the cosine between the two movements, 1 where
both rigs move the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.heads import common_meaning, ict_head
from facecap_batch.training.heads.hm08 import head as hm08_head
from facecap_batch.training.heads.source_files import MissingSource


def main(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit's FaceXModel folder")],
    makehuman: Annotated[Path, typer.Option(help="folder of MakeHuman's files, docs/training.md")],
) -> None:
    """Print the table; see the module's docstring."""
    try:
        reference = ict_head.build(ict)
        unscaled = hm08_head.build_unscaled(makehuman, reference)
    except MissingSource as error:
        raise typer.BadParameter(str(error)) from error
    model = common_meaning.scaled_like(unscaled, reference)
    names: dict[str, list[str]] = {}
    for name in ARKIT_NAMES:
        names.setdefault(common_meaning.stem(name), []).append(name)
    print("| shape | ICT-FaceKit moves | hm08 times | alike |\n| --- | ---: | ---: | ---: |")
    for stem, sides in names.items():
        moved, theirs, before = (
            np.concatenate([common_meaning.movement(head, name) for name in sides])
            for head in (reference, model, unscaled)
        )
        ours = common_meaning.strength(moved)
        times = common_meaning.strength(theirs) / common_meaning.strength(before)
        print(f"| {stem} | {1000 * ours:.0f} | {times:.2f} | {common_meaning.likeness(moved, theirs):.2f} |")


if __name__ == "__main__":
    typer.run(main)
