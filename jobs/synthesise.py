"""Render training shards of faces and heads on every core.

    python jobs/synthesise.py --ict ICT-FaceKit/FaceXModel --output data/ict --faces 200 --heads 20
    python jobs/synthesise.py --family hm08 --ict … --makehuman makehuman --output data/hm08 --faces 200

ICT-FaceKit is public (github.com/ICT-VGL/ICT-FaceKit, MIT), and so are MakeHuman's files (CC0;
docs/training.md says which --makehuman is to hold). A folder of shards is of one family. Existing shards are
kept, so the job can be stopped and continued, and grows a data set when it is called with larger numbers.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from facecap_batch.training.people.sources import Sources

FACES_PER_SHARD = 1024
HEADS_PER_SHARD = 512


def _make(task: tuple[str, int, str, Sources, Path]) -> str:
    import cv2

    from facecap_batch.training.rendering import dataset

    kind, number, family, sources, path = task
    cv2.setNumThreads(1)
    start = time.perf_counter()
    rig = sources.load(family)
    if kind == "faces":
        arrays = dataclasses.asdict(
            dataset.face_shard(rig, number, FACES_PER_SHARD, takes=sources.performances())
        )
    else:
        arrays = dataset.head_shard(rig, number, HEADS_PER_SHARD)
    dataset.save(path, arrays)
    count = FACES_PER_SHARD if kind == "faces" else HEADS_PER_SHARD
    return f"{path.name} {count / (time.perf_counter() - start):.1f} images/s"


def main(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit's FaceXModel folder")],
    makehuman: Annotated[
        Path | None,
        typer.Option(help="folder of MakeHuman's files; without it all skin is procedural"),
    ] = None,
    family: Annotated[str, typer.Option(help="whose heads: ict, or hm08, MakeHuman's own")] = "ict",
    takes: Annotated[
        Path | None, typer.Option(help="folder of Live Link Face CSV files that faces are taken from, too")
    ] = None,
    output: Annotated[Path, typer.Option(help="where shards go")] = Path("data"),
    faces: Annotated[int, typer.Option(help=f"shards of {FACES_PER_SHARD} face crops")] = 100,
    heads: Annotated[int, typer.Option(help=f"shards of {HEADS_PER_SHARD} head tiles")] = 20,
    first: Annotated[int, typer.Option(help="number of the first shard; other numbers are other people")] = 0,
    processes: Annotated[int, typer.Option(help="worker processes")] = max(
        multiprocessing.cpu_count() - 1, 1
    ),
) -> None:
    """Render shards; see the module's docstring."""
    from facecap_batch.training.people.sources import Sources

    sources = Sources(ict, makehuman, output, takes)
    sources.load(family)
    wanted = [
        (kind, number, family, sources, output / kind / f"{kind}_{number:04d}.npz")
        for kind, count in (("heads", heads), ("faces", faces))
        for number in range(first, first + count)
    ]
    tasks = [task for task in wanted if not task[-1].exists()]
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=20) as pool:
        for done, line in enumerate(pool.imap_unordered(_make, tasks), 1):
            print(f"{done}/{len(tasks)} {line}", flush=True)


if __name__ == "__main__":
    typer.run(main)
