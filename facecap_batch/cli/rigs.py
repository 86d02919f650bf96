"""The commands about rigs: list, show, check.

In: options. Out: text on the terminal, a map file. Nothing heavy is imported at module level.
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


def rigs_check(
    character: Annotated[
        str, typer.Argument(metavar="CHARACTER", help="A .glb or .vrm file, local or behind a URI.")
    ],
    rig: Annotated[
        str | None,
        typer.Option(
            metavar="RIG",
            help="A preset's name, or a TOML file. Default: the preset that fits best.",
            show_default=False,
        ),
    ] = None,
    map_file: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="Write what was found as a rig's TOML file, in which you confirm names that are only alike.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show which shapes and bones of a character a rig moves: names the same, alike, not there."""
    from facecap_batch.exporting.character.bones import bones_of
    from facecap_batch.exporting.character.description import describe_character, describe_mapping
    from facecap_batch.exporting.character.file import read_character
    from facecap_batch.exporting.character.map_file import map_text
    from facecap_batch.exporting.character.mapping import best_rig, mapping_of
    from facecap_batch.exporting.rigs.reading import preset_names, read_rig
    from facecap_batch.storage.publish import publish_bytes, storage_path, writing

    found = read_character(storage_path(character))
    chosen = read_rig(rig) if rig else best_rig(found, [read_rig(name) for name in preset_names()])
    mapping, turned = mapping_of(found, chosen), bones_of(found, chosen.bones)
    print(describe_character(found, turned))
    print(describe_mapping(chosen, mapping))
    if map_file is not None:
        with writing(storage_path(map_file)) as path:
            publish_bytes(path, map_text(found, chosen, mapping, turned).encode())
        print(f"{map_file}: confirm what is right, then: export OUT --character {character} --rig {map_file}")
