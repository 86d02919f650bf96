"""Runs for tests: a manifest of small videos, a run without words, and what it left."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from facecap_batch.engines.sets import EngineSet
from facecap_batch.runs.config import RunConfig, RunOptions, make_config
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.runs.observers.progress import PlainDisplay
from facecap_batch.runs.run import RunSummary
from facecap_batch.runs.start import start_run
from facecap_batch.solve.settings import SolveSettings
from tests.support.videos import write_video

RESULTS = ("raw", "coefficients", "fbx")


def make_config_of(engines: EngineSet, **solve: Any) -> RunConfig:
    return make_config(str(engines.folder), "onnxruntime-cpu", solve=SolveSettings(**solve))


def write_clips(folder: Path, lengths: Mapping[str, int]) -> Path:
    """A video of each name with that many frames, and ``manifest.csv`` that lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frames in lengths.items():
        write_video(folder / f"{name}.mp4", frames)
    return write_manifest(folder, [{"path": f"{name}.mp4"} for name in lengths])


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in rows)]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "manifest.csv"


def run_quietly(
    manifest: Path, output: Path, config: RunConfig, workers: int = 2, **options: Any
) -> RunSummary:
    with Path(os.devnull).open("w") as nowhere:
        return start_run(
            read_manifest(manifest),
            config,
            RunOptions(output, workers=workers, **options),
            PlainDisplay(nowhere),
        )


def results(output: Path) -> dict[str, bytes]:
    """Every file that a run made of its clips, by its name in the folder."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for kind in RESULTS
        for path in sorted((output / kind).glob("*"))
    }


def at_any_time() -> None:
    """Records may be published."""


def rows(output: Path) -> dict[str, dict[str, Any]]:
    """``clips.parquet`` by clip_id."""
    return {row["clip_id"]: row for row in pq.read_table(output / "clips.parquet").to_pylist()}


def half_written(output: Path) -> list[str]:
    return [str(path) for path in output.rglob(".tmp-*")]


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int, read_only: bool = False) -> Iterator[Path]:
    """A file system of its own at `folder`; the test is skipped where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mode = "ro" if read_only else "rw"
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},{mode}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root only, and not in every container")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def enlarge(disk: Path, size_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", str(disk)], check=True, capture_output=True)
