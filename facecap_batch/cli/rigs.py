"""The commands about rigs: list, show.

In: options. Out: text on the terminal. Nothing heavy is imported at module level.
"""

from __future__ import annotations

from typing import Annotated

import typer

RigName = Annotated[
    str,
    typer.Argument(metavar="RIG", help="A preset's name (`rigs list`), or a TOML file of your own."),
]


def rigs_list() -> None:
    """List the rigs that can be named."""
    from facecap_batch.exporting.rigs.description import describe_rigs
    from facecap_batch.exporting.rigs.reading import preset_names, read_rig

    print(describe_rigs([read_rig(name) for name in preset_names()]))


def rigs_show(rig: RigName = "arkit") -> None:
    """Show the channels of a rig: what each is made of, what is lost, what is used twice."""
    from facecap_batch.exporting.rigs.description import describe_rig
    from facecap_batch.exporting.rigs.reading import read_rig

    print(describe_rig(read_rig(rig)))
