"""The commands that look after an output folder: status, retry, compact; and how they and `run` end.

As in `cli`, nothing heavy is imported at module level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from facecap_batch.cli.options import Address, Cpus, Gpus, LogJson, Output, Quiet, Workers
from facecap_batch.storage.publish import StoragePath, storage_path

if TYPE_CHECKING:
    from facecap_batch.runs.run import RunSummary


def status(
    output: Output,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Tell again and again while a run goes on.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")] = 5.0,
) -> None:
    """How far OUT is: done, failed, left, speed, frequent errors. Works during a run and after."""
    import dataclasses
    import json

    from facecap_batch.output import status as room

    folder = storage_path(output)
    for number, found in enumerate(room.watch(folder, every) if watch else [room.status(folder)]):
        if as_json:  # watched: an object a line
            print(json.dumps(dataclasses.asdict(found), indent=None if watch else 2), flush=True)
        else:
            print(("\n" if number else "") + room.describe(found), flush=True)


def retry(
    output: Output,
    clip: Annotated[
        list[str] | None, typer.Option(help="Do this clip again, failed or not; again for more.")
    ] = None,
    workers: Workers = None,
    ray_address: Address = None,
    cpus_per_worker: Cpus = None,
    gpus_per_worker: Gpus = 0.0,
    log_json: LogJson = None,
    quiet: Quiet = False,
) -> None:
    """Do the failed clips of OUT again, with the manifest and configuration of its last run.

    Exit code: as of `run`.
    """
    from facecap_batch.runs.config import RunOptions, worker_threads
    from facecap_batch.runs.observers.progress import make_display
    from facecap_batch.runs.retry import retry_run

    _, cpus = worker_threads(gpus_per_worker, None, cpus_per_worker)
    options = RunOptions(
        output=storage_path(output),
        workers=workers,
        ray_address=ray_address,
        cpus_per_worker=cpus,
        gpus_per_worker=gpus_per_worker,
        log_json=log_json,
    )
    conclude(retry_run(options, clip or [], make_display(quiet)), storage_path(output))


def compact(
    output: Output,
    remove_originals: Annotated[
        bool,
        typer.Option(
            "--remove-originals/--keep-originals",
            help="Remove each small file once what replaces it has been compared with it.",
        ),
    ] = False,
) -> None:
    """Gather the small tables of OUT in large files that are fast to query: OUT/compact."""
    from facecap_batch.output.compaction import compact as gather

    done = gather(storage_path(output), remove_originals)
    print(
        f"{done.tables} tables in {len(done.files)} files, {done.bytes / 1e6:.1f} MB"
        + (f"; {done.removed} small files removed" if remove_originals else "")
    )


def conclude(summary: RunSummary, output: StoragePath) -> None:
    from facecap_batch.timecode import clock

    parts = [f"{summary.done} of {summary.clips} clips done"]
    if summary.kept:
        parts.append(f"{summary.kept} of them by earlier runs")
    if summary.failed:
        parts.append(f"{summary.failed} failed (see {output / 'clips.parquet'})")
    if summary.pending:
        parts.append(f"{summary.pending} left")
    if summary.work_s and summary.frames:
        parts.append(
            f"{clock(summary.video_s)} of video, {summary.frames} frames, "
            f"{summary.frames / summary.work_s:.0f} fps"
        )
    parts.append(f"{clock(summary.elapsed_s)} in all")
    print(", ".join(parts))
    raise typer.Exit(summary.exit_code)


def add_folder_commands(app: typer.Typer) -> None:
    """Make the commands of this module commands of `app`."""
    for command in (status, retry, compact):
        app.command()(command)
