"""Folders of shards as options of a job: what is wrong with one is said as of an option."""

from __future__ import annotations

from pathlib import Path

import typer

from facecap_batch.training.rendering import dataset


def shards_of(folder: Path) -> list[Path]:
    """The shards of face crops in `folder`, by number.

    Raises typer.BadParameter where it has none.
    """
    try:
        return dataset.face_shards(folder)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error)) from error
