"""The commands. Each reads its options, calls one room and prints what it returns.

Nothing heavy is imported at module level: ``--help`` must answer at once.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facecap_batch import __version__
from facecap_batch.cli.checks import Engines, add_checks
from facecap_batch.cli.engines import add_engines
from facecap_batch.cli.folder import add_folder_commands, conclude
from facecap_batch.cli.options import (
    Address,
    Backend,
    Cpus,
    DecodeThreads,
    Decoding,
    Gpus,
    Hwaccel,
    LogJson,
    Output,
    Quiet,
    Workers,
)
from facecap_batch.errors import FacecapError
from facecap_batch.storage.publish import storage_path

if TYPE_CHECKING:
    from facecap_batch.solve.settings import SolveSettings

WRONG, INTERRUPTED = 2, 130

# Plain help text: drawing boxes costs a third of the time that --help may take.
app = typer.Typer(
    help="Folders of face videos to facial animation: 51 ARKit blendshapes and the head, per frame, as "
    "Parquet and FBX.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

NoSolve = Annotated[
    bool, typer.Option("--no-solve", help="Measured values as they are: no smoothing, gaps empty.")
]
Smoothing = Annotated[float, typer.Option(min=0.0, help="Strength for coefficients; 0 is off.")]
LidSmoothing = Annotated[float, typer.Option(min=0.0, help="Strength for eyelids; 0 is off.")]
HeadSmoothing = Annotated[float, typer.Option(min=0.0, help="Strength for the head; 0 is off.")]
Amplitude = Annotated[
    float, typer.Option(min=0.0, help="How much of what the regressor damps is given back; 0 is nothing.")
]
MeasuredLids = Annotated[
    bool, typer.Option("--measured-lids", help="Leave blinks as high as they were measured.")
]
MaxGap = Annotated[float, typer.Option(min=0.0, help="Longest gap that is filled, seconds.")]


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    if version:
        print(f"facecap-batch {__version__}")
        raise typer.Exit


@app.command()
def run(
    manifest: Annotated[str, typer.Argument(help="CSV, Parquet or JSON Lines with a `path` column.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Output folder, or URI (s3://…, gs://…).")],
    engines: Engines = "default",
    backend: Backend = "auto",
    workers: Workers = None,
    ray_address: Address = None,
    no_solve: NoSolve = False,
    force: Annotated[bool, typer.Option("--force", help="Do every clip again, done or not.")] = False,
    retry_failed: Annotated[
        bool, typer.Option(help="Try clips again that failed in an earlier run; all else being the same.")
    ] = True,
    keep_damaged: Annotated[
        bool,
        typer.Option("--keep-damaged", help="Take what decodes of damaged videos instead of failing them."),
    ] = False,
    detect_every: Annotated[int, typer.Option(min=1, help="Frames from one detection to the next.")] = 6,
    max_gap: MaxGap = 0.5,
    smoothing: Smoothing = 1.0,
    lid_smoothing: LidSmoothing = 1.0,
    head_smoothing: HeadSmoothing = 1.0,
    amplitude: Amplitude = 1.0,
    measured_lids: MeasuredLids = False,
    cpus_per_worker: Cpus = None,
    gpus_per_worker: Gpus = 0.0,
    decode_threads: DecodeThreads = None,
    hwaccel: Decoding = Hwaccel.none,
    attempts: Annotated[
        int, typer.Option(min=1, help="Tries per clip when workers die or storage fails.")
    ] = 3,
    log_json: LogJson = None,
    require_certificate: Annotated[
        bool,
        typer.Option("--require-certificate", help="Run on backends only that `verify` has certified."),
    ] = False,
    segment_seconds: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Longer clips are cut into segments of about this length, for several workers; the results "
            "are the same. 0: never.",
        ),
    ] = 60.0,
    quiet: Quiet = False,
) -> None:
    """Turn the videos of MANIFEST into animation.

    A rerun does only what is missing, changed or failed. Exit code: 0 all clips done, 1 some failed, 2 the
    command or the manifest is wrong, 130 interrupted (run the same command to go on).
    """
    from facecap_batch.runs.manifest import read_manifest

    read_manifest(manifest)  # its faults are told first, before engines are looked at
    from facecap_batch.capturing.settings import CaptureSettings
    from facecap_batch.runs.config import RunOptions, make_config, worker_threads
    from facecap_batch.runs.observers.progress import make_display
    from facecap_batch.runs.start import start_run

    threads, cpus = worker_threads(gpus_per_worker, decode_threads, cpus_per_worker)
    config = make_config(
        engines,
        backend,
        CaptureSettings(
            detect_every=detect_every,
            damage="keep" if keep_damaged else "refuse",
            decode_threads=threads,
            hwaccel=hwaccel.value,
        ),
        _solve_settings(
            no_solve, max_gap, smoothing, lid_smoothing, head_smoothing, amplitude, measured_lids
        ),
        require_certificate,
    )
    options = RunOptions(
        output=storage_path(output),
        workers=workers,
        ray_address=ray_address,
        cpus_per_worker=cpus,
        gpus_per_worker=gpus_per_worker,
        force=force,
        retry_failed=retry_failed,
        attempts=attempts,
        log_json=log_json,
        segment_s=segment_seconds,
    )
    conclude(start_run(manifest, config, options, make_display(quiet)), storage_path(output))


@app.command()
def solve(
    output: Output,
    no_solve: NoSolve = False,
    max_gap: MaxGap = 0.5,
    smoothing: Smoothing = 1.0,
    lid_smoothing: LidSmoothing = 1.0,
    head_smoothing: HeadSmoothing = 1.0,
    amplitude: Amplitude = 1.0,
    measured_lids: MeasuredLids = False,
    workers: Workers = None,
    ray_address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Redo solve and FBX of every clip in OUT from raw/, without decoding a frame."""
    from facecap_batch.runs.config import RunOptions
    from facecap_batch.runs.observers.progress import make_display
    from facecap_batch.runs.start import resolve_run

    settings = _solve_settings(
        no_solve, max_gap, smoothing, lid_smoothing, head_smoothing, amplitude, measured_lids
    )
    options = RunOptions(output=storage_path(output), workers=workers, ray_address=ray_address)
    conclude(resolve_run(settings, options, make_display(quiet)), storage_path(output))


@app.command()
def query(
    output: Output,
    sql: Annotated[str, typer.Argument(help="Over the views coefficients, raw and clips.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="All rows, comma separated.")] = False,
) -> None:
    """Answer SQL from the tables in OUT."""
    from facecap_batch.cli.table_text import as_csv_text, as_text
    from facecap_batch.output.query import query as answer

    table = answer(output, sql)
    print(as_csv_text(table) if as_csv else as_text(table))


@app.command()
def preview(
    output: Output,
    clip: Annotated[
        list[str] | None, typer.Option(help="clip_id; again for more. Default: every clip.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="Folder for the previews; default: OUT/preview.", show_default=False)
    ] = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="One image per clip instead of a video.")] = False,
    height: Annotated[int, typer.Option(min=64, help="Pixels.")] = 720,
) -> None:
    """Draw what was found over the video: box, head axes, coefficients."""
    from facecap_batch.output.exports import preview_clips

    folder = storage_path(to) if to else storage_path(output) / "preview"
    for path in preview_clips(storage_path(output), clip or [], folder, ".jpg" if sheet else ".mp4", height):
        print(path)


@app.command()
def export(
    output: Output,
    format: Annotated[str, typer.Option(help="fbx or livelink.")],
    clip: Annotated[
        list[str] | None, typer.Option(help="clip_id; again for more. Default: every clip.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="Folder for the files; default: OUT/<format>.", show_default=False)
    ] = None,
) -> None:
    """Write the animation in OUT in another format."""
    from facecap_batch.output.exports import export_clips

    folder = storage_path(to) if to else storage_path(output) / format
    for path in export_clips(storage_path(output), clip or [], folder, format):
        print(path)


add_folder_commands(app)
add_checks(app)
add_engines(app)


def _solve_settings(
    no_solve: bool,
    max_gap: float,
    smoothing: float,
    lid_smoothing: float,
    head_smoothing: float,
    amplitude: float,
    measured_lids: bool,
) -> SolveSettings:
    from facecap_batch.solve.settings import SolveSettings

    return SolveSettings(
        enabled=not no_solve,
        max_gap_s=max_gap,
        smoothing=smoothing,
        lid_smoothing=lid_smoothing,
        head_smoothing=head_smoothing,
        amplitude=amplitude,
        close_blinks=not measured_lids,
    )


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of ``facecap-batch``: errors of ours in one line, never a traceback."""
    try:
        app(args=arguments, prog_name="facecap-batch")
    except FacecapError as error:
        print(f"facecap-batch: {error}", file=sys.stderr)
        sys.exit(WRONG)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # a pager that was closed
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        print(f"facecap-batch: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(WRONG)


if __name__ == "__main__":
    main()
