"""The commands that do work on clips: run, retry, solve; and the line with which they end.

In: options. Out: an output folder, a summary line, an exit code. Nothing heavy is imported at module level.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.cli.choices import Backend, Calibrate, Hwaccel
from facecap_batch.cli.options import (
    FOOTAGE_PANEL,
    RERUN_PANEL,
    WORK_PANEL,
    Address,
    BackendName,
    ClipsAgain,
    Cpus,
    DecodeThreads,
    Decoding,
    DetectEvery,
    Engines,
    FacesWanted,
    Gpus,
    KeepDamaged,
    Landmarks,
    LogJson,
    MaxFrames,
    MaxMegapixels,
    Output,
    Quiet,
    RequireCertificate,
    Workers,
    capture_settings,
)
from facecap_batch.cli.solve_options import (
    Amplitude,
    CalibrateBy,
    CloseBlinks,
    HeadSmoothing,
    LidSmoothing,
    MaxGap,
    NoSolve,
    Smoothing,
    solve_settings,
)
from facecap_batch.runs.config import RunOptions
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.storage.publish import StoragePath, storage_path

if TYPE_CHECKING:
    from facecap_batch.runs.run import RunSummary

MAX_NAMED = 20  # clips in one line


def run(
    footage: Annotated[
        list[str],
        typer.Argument(
            metavar="FOOTAGE",
            help="Videos, images, folders, globs, image sequences (shot.%04d.png), URIs; or a manifest: CSV, "
            "Parquet or JSON Lines with a `path` column.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Output folder, or URI (s3://…, gs://…). Default: facecap-out beside FOOTAGE.",
            show_default=False,
        ),
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive", help="Search the folders below a folder, too.", rich_help_panel=FOOTAGE_PANEL
        ),
    ] = False,
    fps: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Images per second of image sequences: 24, 29.97, 30000/1001. Default: 25.",
            show_default=False,
            rich_help_panel=FOOTAGE_PANEL,
        ),
    ] = None,
    stills: Annotated[
        bool,
        typer.Option(
            "--stills",
            help="Take each image as a clip of its own, numbered or not.",
            rich_help_panel=FOOTAGE_PANEL,
        ),
    ] = False,
    engines: Engines = "default",
    backend: BackendName = Backend.auto,
    require_certificate: RequireCertificate = False,
    detect_every: DetectEvery = CaptureSettings.detect_every,
    keep_damaged: KeepDamaged = False,
    faces: FacesWanted = str(CaptureSettings.faces),
    landmarks: Landmarks = CaptureSettings.landmarks,
    hwaccel: Decoding = Hwaccel.none,
    max_megapixels: MaxMegapixels = CaptureSettings.max_megapixels,
    max_frames: MaxFrames = CaptureSettings.max_frames,
    no_solve: NoSolve = False,
    max_gap: MaxGap = SolveSettings.max_gap_s,
    smoothing: Smoothing = SolveSettings.smoothing,
    lid_smoothing: LidSmoothing = SolveSettings.lid_smoothing,
    head_smoothing: HeadSmoothing = SolveSettings.head_smoothing,
    amplitude: Amplitude = SolveSettings.amplitude,
    close_blinks: CloseBlinks = SolveSettings.close_blinks,
    calibrate: CalibrateBy = Calibrate(SolveSettings.calibrate),
    workers: Workers = RunOptions.workers,
    ray_address: Address = RunOptions.ray_address,
    cpus_per_worker: Cpus = None,
    gpus_per_worker: Gpus = RunOptions.gpus_per_worker,
    decode_threads: DecodeThreads = None,
    segment_seconds: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Cut longer clips into segments of about this length, for several workers. The results are "
            "the same. 0: never.",
            rich_help_panel=WORK_PANEL,
        ),
    ] = RunOptions.segment_s,
    attempts: Annotated[
        int,
        typer.Option(
            min=1,
            help="Attempts per clip when workers die or storage fails.",
            rich_help_panel=WORK_PANEL,
        ),
    ] = RunOptions.attempts,
    force: Annotated[
        bool,
        typer.Option("--force", help="Do every clip again, done or not.", rich_help_panel=RERUN_PANEL),
    ] = RunOptions.force,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Compare all files of finished clips with their checksums; do again what is damaged.",
            rich_help_panel=RERUN_PANEL,
        ),
    ] = RunOptions.verify,
    retry_failed: Annotated[
        bool,
        typer.Option(
            help="Try clips again that failed in an earlier run under the same configuration.",
            rich_help_panel=RERUN_PANEL,
        ),
    ] = RunOptions.retry_failed,
    new_manifest: Annotated[
        bool,
        typer.Option(
            "--new-manifest",
            help="Accept a manifest that leaves out clips which are finished in the output folder.",
            rich_help_panel=RERUN_PANEL,
        ),
    ] = RunOptions.new_manifest,
    log_json: LogJson = None,
    quiet: Quiet = False,
) -> None:
    """Turn FOOTAGE into animation.

    What ends in .csv, .parquet or .jsonl is a manifest, everything else footage.
    A rerun does only what is missing, changed or failed.

    Exit code: 0 all clips done, 1 some failed, 2 the command or the manifest is wrong,
    3 the run broke off, 130 interrupted (after both the same command continues).

    Examples: facecap-batch run take.mp4 · facecap-batch run footage --recursive -o out ·
    facecap-batch run takes.csv --output out/takes --workers 4
    """
    from facecap_batch.runs.footage.search import SearchOptions, default_output
    from facecap_batch.runs.manifest import named_clips

    # First: the user hears of a bad manifest before engines are looked at.
    clips = named_clips(footage, SearchOptions(recursive, _rate(fps), stills))
    folder = default_output(footage) if output is None else storage_path(output)
    from facecap_batch.runs.config import make_config, worker_threads
    from facecap_batch.runs.observers.progress import make_display
    from facecap_batch.runs.start import start_run

    threads, cpus = worker_threads(gpus_per_worker, decode_threads, cpus_per_worker)
    config = make_config(
        engines,
        backend.value,
        capture_settings(
            detect_every, keep_damaged, faces, landmarks, hwaccel, threads, max_megapixels, max_frames
        ),
        solve_settings(
            no_solve, max_gap, smoothing, lid_smoothing, head_smoothing, amplitude, close_blinks, calibrate
        ),
        require_certificate,
    )
    options = RunOptions(
        output=folder,
        workers=workers,
        ray_address=ray_address,
        cpus_per_worker=cpus,
        gpus_per_worker=gpus_per_worker,
        force=force,
        verify=verify,
        retry_failed=retry_failed,
        attempts=attempts,
        new_manifest=new_manifest,
        log_json=log_json,
        segment_s=segment_seconds,
    )
    conclude(start_run(clips, config, options, make_display(quiet)), folder)


def _rate(fps: str | None) -> Fraction | None:
    """Images per second; raises typer.BadParameter."""
    from facecap_batch.timecode import parse_rate

    try:
        return None if fps is None else parse_rate(fps)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fps") from error


def solve(
    output: Output,
    no_solve: NoSolve = False,
    max_gap: MaxGap = SolveSettings.max_gap_s,
    smoothing: Smoothing = SolveSettings.smoothing,
    lid_smoothing: LidSmoothing = SolveSettings.lid_smoothing,
    head_smoothing: HeadSmoothing = SolveSettings.head_smoothing,
    amplitude: Amplitude = SolveSettings.amplitude,
    close_blinks: CloseBlinks = SolveSettings.close_blinks,
    calibrate: CalibrateBy = Calibrate(SolveSettings.calibrate),
    workers: Workers = RunOptions.workers,
    ray_address: Address = RunOptions.ray_address,
    quiet: Quiet = False,
) -> None:
    """Redo solve and FBX of every clip in OUT from raw/, without decoding a frame.

    Exit code: as of `run`.
    """
    from facecap_batch.runs.observers.progress import make_display
    from facecap_batch.runs.start import resolve_run

    settings = solve_settings(
        no_solve, max_gap, smoothing, lid_smoothing, head_smoothing, amplitude, close_blinks, calibrate
    )
    options = RunOptions(output=storage_path(output), workers=workers, ray_address=ray_address)
    conclude(resolve_run(settings, options, make_display(quiet)), storage_path(output))


def retry(
    output: Output,
    clip: ClipsAgain = None,
    workers: Workers = RunOptions.workers,
    ray_address: Address = RunOptions.ray_address,
    cpus_per_worker: Cpus = None,
    gpus_per_worker: Gpus = RunOptions.gpus_per_worker,
    log_json: LogJson = None,
    quiet: Quiet = False,
) -> None:
    """Do the failed clips of OUT again, with the manifest and configuration of its last run.

    Exit code: as of `run`.
    """
    from facecap_batch.runs.config import worker_threads
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


def conclude(summary: RunSummary, output: StoragePath) -> None:
    """Print how a run ended and leave with its exit code.

    Raises:
        typer.Exit: always; 0 all clips done, 1 some failed, 130 interrupted.
    """
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
    if summary.no_face:
        names = ", ".join(summary.no_face[:MAX_NAMED])
        more = len(summary.no_face) - MAX_NAMED
        rest = f" and {more} more (see note in {output / 'clips.parquet'})" if more > 0 else ""
        print(f"no face was found in {len(summary.no_face)} of them: {names}{rest}")
    if summary.done:
        print(f"animation: {output.absolute() / 'fbx'}, tables: {output.absolute() / 'coefficients'}")
    raise typer.Exit(summary.exit_code)
