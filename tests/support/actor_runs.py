"""Clips of actors, for tests of runs that calibrate by actor: their manifest, and what a run made of them."""

from __future__ import annotations

import os
from pathlib import Path

from facecap_batch.runs.config import RunOptions
from facecap_batch.runs.observers.progress import PlainDisplay
from facecap_batch.runs.run import RunSummary
from facecap_batch.runs.start import resolve_run
from facecap_batch.solve.settings import SolveSettings
from tests.support.runs import results

CLIPS = {"free-ada": 12, "ada-1": 20, "ada-2": 9, "free-bob": 15, "free-nobody": 10}
ADA = ("free-ada", "ada-1", "ada-2")
BY_ACTOR = SolveSettings(calibrate="actor")


def row(clip_id: str) -> dict[str, str]:
    actor = {**dict.fromkeys((*ADA, "late"), "Ada"), "free-bob": "Bob"}.get(clip_id, "")
    return {"path": f"{clip_id}.mp4", "actor": actor}


def everything(output: Path) -> dict[str, bytes]:
    return {**results(output), "actors": (output / "actors.parquet").read_bytes()}


def times(output: Path) -> dict[str, int]:
    """When each file was written, by its name in the folder."""
    paths = [
        *(output / "ledger").iterdir(),
        output / "actors.parquet",
        *map(output.joinpath, results(output)),
    ]
    return {str(path.relative_to(output)): path.stat().st_mtime_ns for path in paths}


def written(before: dict[str, int], output: Path, *kinds: str) -> set[str]:
    """Clips of which a file of these kinds is another than `before`."""
    now = times(output)
    return {Path(name).stem for name in now if name.split("/")[0] in kinds and now[name] != before.get(name)}


def solve_quietly(output: Path, settings: SolveSettings = BY_ACTOR) -> RunSummary:
    with Path(os.devnull).open("w") as nowhere:
        return resolve_run(settings, RunOptions(output, workers=1), PlainDisplay(nowhere))
