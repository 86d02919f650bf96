"""The report: one HTML file that holds a run, to be opened, mailed or archived.

In: an output folder. Out: a published file with every take's figures, the head, and the curves of as many
takes as its budget allows. Videos are referred to where they lie, relative to the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from facecap_batch.reporting import document
from facecap_batch.reporting.curves import COARSE, pack_curves
from facecap_batch.reporting.head import pack_head
from facecap_batch.reporting.overview import overview
from facecap_batch.reporting.page_data import run_values, take_values
from facecap_batch.reporting.takes import Takes
from facecap_batch.storage.publish import StoragePath, published, writing

REPORT_NAME = "report.html"
# Characters of the page that are curves: what browsers open in a second or two. Beyond it `serve` has them.
CURVES_BUDGET = 24_000_000

Progress = Callable[[int, int], None]  # takes that were read, of how many


def write_report(output: StoragePath, path: StoragePath, progress: Progress | None = None) -> None:
    """Publish the report of a folder.

    Args:
        output: The folder of a run.
        path: The file.
        progress: Called after each take.

    Raises:
        NoRun: `output` is not the folder of a run.
        OutputNotWritable: `path` cannot be written.
    """
    takes = Takes(output)
    run = overview(output, takes.rows)
    folder = path.absolute().parent if isinstance(path, Path) else None
    values, blocks, size, with_tables = [], [], 0, 0
    for data in takes.each():
        block = None
        if data.tracks:
            with_tables += 1
            block = document.binary_block(f"curves-{data.row.number}", pack_curves(data, COARSE))
            if size + len(block.text) <= CURVES_BUDGET:
                size += len(block.text)
                blocks.append(block)
            else:
                block = None
        video = None if data.row.video is None or folder is None else _reference(data.row.video, folder)
        values.append(take_values(data.row, video, block is not None))
        if progress is not None:
            progress(len(values), len(takes.rows))
    curves = {"held": len(blocks), "of": with_tables}
    with writing(path), published(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(document.opening(f"{output.absolute().name} · facecap-batch", "file"))
        file.write(document.element(document.json_block("run", run_values(run, curves))))
        file.write(document.element(document.json_block("takes", values)))
        file.write(document.element(document.binary_block("head", pack_head())))
        file.write(document.program())
        for block in blocks:
            file.write(document.element(block))
        file.write(document.CLOSING)


def _reference(video: str, folder: Path) -> str:
    """The address of a file of this disk, from a page in `folder`."""
    return f"./{quote(os.path.relpath(video, folder))}"
