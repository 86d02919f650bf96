"""Draw frames of a run's clips beside an animated head, for a person to look at.

    python jobs/clip_sheet.py out/takes --picture sheet.jpg
    python jobs/clip_sheet.py out/takes --picture sheet.jpg --clip take_7 --frame 43 --frame 171
    python jobs/clip_sheet.py out/takes --picture sheet.jpg --ict ICT-FaceKit/FaceXModel

Every cell shows the actor's face, the head with the final coefficients and the head's pose of that frame, and
the strongest coefficients. Without --frame the frames are those in which the clip's face differs most. The
head is the one in the FBX files; with --ict it is ICT-FaceKit's, with --makehuman as well hm08. The sheet
shows the people in the videos: treat it as you treat these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.matched_frames import matched_frames
from facecap_batch.exporting.preview.telling import most_different
from facecap_batch.output.compact_index import read_clip, table_name
from facecap_batch.output.exports import done_clips, video_paths
from facecap_batch.storage.publish import publish_bytes, storage_path
from facecap_batch.training.heads.source_files import MissingSource
from facecap_batch.training.people.rig import Family
from facecap_batch.training.people.sources import Sources
from facecap_batch.training.sheets.clip_sheet import clip_block, has_face, sheet
from facecap_batch.training.sheets.heads import Head, RigHead, ShippedHead


def _head(ict: Path | None, makehuman: Path | None, cache: Path) -> Head:
    if ict is None:
        if makehuman is not None:
            raise typer.BadParameter("--makehuman needs --ict, which says where hm08's head stands")
        return ShippedHead()
    family = Family.ict if makehuman is None else Family.hm08
    try:
        return RigHead(Sources(ict, makehuman, cache).load(family))
    except MissingSource as error:
        raise typer.BadParameter(str(error)) from error


def _rows(table: CoefficientTable, wanted: Sequence[int], count: int) -> list[int]:
    """Rows of the frames `wanted`, or of `count` that differ."""
    usable = has_face(table)
    if not wanted:
        return most_different(table.coefficients, usable, count)
    rows = np.flatnonzero(np.isin(table.frame_index, wanted) & usable)
    missing = sorted(set(wanted) - set(table.frame_index[rows].tolist()))
    if missing:
        named = ", ".join(str(number) for number in missing)
        raise typer.BadParameter(f"{table.info.clip_id}: no face in frame {named}, or no such frame")
    return [int(row) for row in rows]


def main(
    output: Annotated[str, typer.Argument(help="output folder of a run")],
    picture: Annotated[Path, typer.Option(help="where the sheet goes, .jpg or .png")],
    clip: Annotated[list[str] | None, typer.Option(help="clip_id; again for more; default: all")] = None,
    frame: Annotated[
        list[int] | None, typer.Option(help="number of a frame, as frame_index; again for more")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="how many of each clip, without --frame")] = 4,
    columns: Annotated[int, typer.Option(min=1, help="cells side by side")] = 4,
    ict: Annotated[Path | None, typer.Option(help="ICT-FaceKit's FaceXModel folder")] = None,
    makehuman: Annotated[
        Path | None, typer.Option(help="folder of MakeHuman's files, see docs/training.md")
    ] = None,
    cache: Annotated[Path, typer.Option(help="folder where what is read from these is kept")] = Path("data"),
) -> None:
    """Draw the sheet; see the module's docstring."""
    if picture.suffix not in (".jpg", ".png"):
        raise typer.BadParameter(f"{picture}: a picture ends in .jpg or .png")
    folder = storage_path(output)
    try:
        clips, videos = done_clips(folder, clip or []), video_paths(folder)
        tables = {name: read_clip(folder, table_name("coefficients", name)) for name in clips}
        rows = {name: _rows(table, frame or [], frames) for name, table in tables.items()}
        head = _head(ict, makehuman, cache)
        blocks = []
        for name, table in tables.items():
            images = matched_frames(videos[name], table, rows[name])
            blocks.append(clip_block(table, images, head, columns))
            print(
                f"{name}: frames {', '.join(str(table.frame_index[row]) for row in rows[name])}", flush=True
            )
    except FacecapError as error:
        raise typer.BadParameter(str(error)) from error
    if not blocks:
        raise typer.BadParameter(f"{output} holds no clip that is done")
    publish_bytes(picture, cv2.imencode(picture.suffix, sheet(blocks)[..., ::-1])[1].tobytes())


if __name__ == "__main__":
    typer.run(main)
