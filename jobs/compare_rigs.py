"""Print how the shapes of two rig families compare, as a table for docs/training.md.

    python jobs/compare_rigs.py --ict ICT-FaceKit/FaceXModel --makehuman makehuman

For each shape: how far it moves what it is known by (`common_meaning.MEASURED`) in ICT-FaceKit, in
thousandths of the distance between the eyeballs; what MakeHuman's face unit was multiplied by to move it as
far; and the cosine between the two movements, 1 where both rigs do the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.people import common_meaning, hm08_head, ict_head


def main(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit's FaceXModel folder")],
    makehuman: Annotated[Path, typer.Option(help="folder of MakeHuman's files")],
) -> None:
    """Print the table; see the module's docstring."""
    reference = ict_head.build(ict)
    raw = hm08_head.build_raw(makehuman, reference)
    model = common_meaning.scaled_like(raw, reference)
    print("| shape | ICT-FaceKit moves | hm08 times | alike |\n| --- | ---: | ---: | ---: |")
    for name in ARKIT_NAMES:
        ours = common_meaning.movement(reference, name)
        theirs = common_meaning.movement(model, name)
        times = common_meaning.strength(theirs) / common_meaning.strength(common_meaning.movement(raw, name))
        alike = common_meaning.likeness(ours, theirs)
        print(f"| {name} | {1000 * common_meaning.strength(ours):.0f} | {times:.2f} | {alike:.2f} |")


if __name__ == "__main__":
    typer.run(main)
