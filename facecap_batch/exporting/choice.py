"""What an export writes: a format, a rig's channels in it; or a character's own file with the take on it.

In: what the user named. Out: `Choice`: a writer of clips, the suffix of its files, and notes about names that
are not used, used twice, or not there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.formats import UnknownFormat, exporter
from facecap_batch.exporting.rigs.description import notes
from facecap_batch.exporting.rigs.reading import read_rig
from facecap_batch.exporting.rigs.rig import Rig
from facecap_batch.storage.publish import StoragePath, storage_path


@dataclasses.dataclass(frozen=True)
class Choice:
    """How clips are written."""

    write: Callable[[CoefficientTable, StoragePath], None]
    suffix: str  # of the files
    folder: str  # name of the folder that they go to if nobody says another
    notes: tuple[str, ...]  # what a person should know beforehand, one line each


def choose(format: str | None, rig: str | Path | Rig | None, character: str | Path | None) -> Choice:
    """What an export writes.

    Args:
        format: name of a format; None with a character.
        rig: a preset's name, a TOML file, or a rig; None: ours, which are ARKit's.
        character: path or URI of a .glb or .vrm file that the take is written onto.

    Raises:
        UnknownFormat: neither a format nor a character, or both; there is no such format, its library is
            missing, or its channels are its own.
        BadRig: the rig cannot be used.
        BadCharacter: the character's file cannot, or it has nothing that the rig names.
    """
    chosen = read_rig(rig)
    if character is not None:
        if format is not None:
            raise UnknownFormat(
                "a character's own file is the format: leave out the format, or the character"
            )
        return _on_character(storage_path(str(character)), chosen)
    if format is None:
        raise UnknownFormat("name a format, or a character that the animation is written onto")
    write, suffix = exporter(format, chosen)
    folder = format if rig is None else f"{format}-{_stem(chosen.name)}"
    return Choice(write, suffix, folder, () if rig is None else tuple(notes(chosen)))


def _on_character(path: StoragePath, rig: Rig) -> Choice:
    from facecap_batch.exporting.character.description import mapping_notes
    from facecap_batch.exporting.character.file import read_character
    from facecap_batch.exporting.character.writer import character_exporter, fitting

    character = read_character(path)
    mapping, turned = fitting(character, rig)
    write, suffix = character_exporter(character, rig)
    return Choice(write, suffix, _stem(path.name), tuple(mapping_notes(character, mapping, turned)))


def _stem(name: str) -> str:
    """A file's name, or a preset's, as the name of a folder."""
    return Path(name).name.rsplit(".", 1)[0] or "export"
