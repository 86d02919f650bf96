"""Render training shards of faces and heads on every core.

    python jobs/synthesise.py --ict ICT-FaceKit/FaceXModel --makehuman makehuman --output data/ict
    python jobs/synthesise.py --ict ICT-FaceKit/FaceXModel --makehuman makehuman --output data/hm08 \\
        --family hm08

ICT-FaceKit is public (github.com/ICT-VGL/ICT-FaceKit, MIT), and so are MakeHuman's files (CC0);
docs/training.md lists what --makehuman holds. A folder of shards is of one family. The job keeps existing
shards, so it can be stopped and continued; with larger numbers it adds to a data set.
"""

from __future__ import annotations

import dataclasses
import enum
import multiprocessing
import time
from pathlib import Path
from typing import Annotated

import cv2
import typer

from facecap_batch.training.heads.source_files import MissingSource
from facecap_batch.training.people.rig import Family
from facecap_batch.training.people.sources import Sources
from facecap_batch.training.rendering import dataset

FACES_PER_SHARD = 1024
HEADS_PER_SHARD = 512


class Kind(enum.Enum):
    """What a shard holds."""

    faces = FACES_PER_SHARD
    heads = HEADS_PER_SHARD


@dataclasses.dataclass(frozen=True)
class Task:
    """One shard to render."""

    kind: Kind
    number: int
    family: Family
    sources: Sources
    path: Path  # where the shard goes


def _render(task: Task) -> str:
    """Render and publish a shard; return a line for the terminal."""
    cv2.setNumThreads(1)
    start = time.perf_counter()
    rig = task.sources.load(task.family)
    count = task.kind.value
    if task.kind is Kind.faces:
        shard = dataset.face_shard(rig, task.number, count, takes=task.sources.performances())
        dataset.save(task.path, dataclasses.asdict(shard))
    else:
        dataset.save(task.path, dataset.head_shard(rig, task.number, count))
    return f"{task.path.name} {count / (time.perf_counter() - start):.1f} images/s"


def main(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit's FaceXModel folder")],
    makehuman: Annotated[
        Path | None,
        typer.Option(help="folder of MakeHuman's files, docs/training.md; without it all skin is procedural"),
    ] = None,
    family: Annotated[
        Family, typer.Option(help="heads to render: ICT-FaceKit's or MakeHuman's (hm08, needs --makehuman)")
    ] = Family.ict,
    takes: Annotated[
        Path | None,
        typer.Option(help="folder of Live Link Face CSV files; some faces repeat their expressions"),
    ] = None,
    output: Annotated[Path, typer.Option(help="where shards go")] = Path("data"),
    faces: Annotated[int, typer.Option(help=f"shards of {FACES_PER_SHARD} face crops")] = 100,
    heads: Annotated[int, typer.Option(help=f"shards of {HEADS_PER_SHARD} head tiles")] = 20,
    first: Annotated[
        int, typer.Option(help="number of the first shard; other numbers show other people")
    ] = 0,
    processes: Annotated[int, typer.Option(help="worker processes")] = max(
        multiprocessing.cpu_count() - 1, 1
    ),
) -> None:
    """Render shards; see the module's docstring."""
    sources = Sources(ict, makehuman, output, takes)
    try:
        sources.load(family)
        sources.performances()
    except (MissingSource, ValueError) as error:  # a file is missing or damaged
        raise typer.BadParameter(str(error)) from error
    wanted = [
        Task(kind, number, family, sources, output / kind.name / f"{kind.name}_{number:04d}.npz")
        for kind, count in ((Kind.heads, heads), (Kind.faces, faces))
        for number in range(first, first + count)
    ]
    tasks = [task for task in wanted if not task.path.exists()]
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=20) as pool:
        for done, line in enumerate(pool.imap_unordered(_render, tasks), 1):
            print(f"{done}/{len(tasks)} {line}", flush=True)


if __name__ == "__main__":
    typer.run(main)
