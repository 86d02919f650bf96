"""The command that records a live source and runs what it recorded.

In: options. Out: an output folder, a summary line, an exit code. Nothing heavy is imported at module level.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.cli.choices import Backend, Calibrate, Hwaccel
from facecap_batch.cli.options import (
    RECORDING_PANEL,
    BackendName,
    DecodeThreads,
    Decoding,
    DetectEvery,
    Engines,
    FacesWanted,
    KeepDamaged,
    Landmarks,
    LogJson,
    Quiet,
    RequireCertificate,
    Workers,
    capture_settings,
)
from facecap_batch.cli.run import conclude
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
from facecap_batch.storage.publish import storage_path

DEFAULT_OUTPUT = "facecap-out"
DEFAULT_TIMEOUT_S = 10.0


def record(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Camera (/dev/video0), stream (rtsp://, rtmp://, http://, udp://, tcp://), or - for "
            "standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="Output folder, on a local disk.")
    ] = DEFAULT_OUTPUT,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="CLIP_ID",
            help="Name of the clip. Default: the source and the time.",
            show_default=False,
            rich_help_panel=RECORDING_PANEL,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="End the take after so many seconds. Default: at Ctrl-C.",
            show_default=False,
            rich_help_panel=RECORDING_PANEL,
        ),
    ] = None,
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect",
            help="Make a dropped connection anew, for up to two minutes, instead of ending the take.",
            rich_help_panel=RECORDING_PANEL,
        ),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.5,
            help="Seconds without data after which a connection counts as dropped.",
            rich_help_panel=RECORDING_PANEL,
        ),
    ] = DEFAULT_TIMEOUT_S,
    save_video: Annotated[
        bool,
        typer.Option(
            "--save-video",
            help="Keep the video in OUT/videos, as it came.",
            rich_help_panel=RECORDING_PANEL,
        ),
    ] = False,
    show_preview: Annotated[
        bool,
        typer.Option(
            "--show-preview",
            help="Show the picture and its face in a browser on this machine.",
            rich_help_panel=RECORDING_PANEL,
        ),
    ] = False,
    preview_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the preview. 0: one that is free.",
            rich_help_panel=RECORDING_PANEL,
        ),
    ] = 0,
    engines: Engines = "default",
    backend: BackendName = Backend.auto,
    require_certificate: RequireCertificate = False,
    detect_every: DetectEvery = CaptureSettings.detect_every,
    keep_damaged: KeepDamaged = False,
    faces: FacesWanted = str(CaptureSettings.faces),
    landmarks: Landmarks = CaptureSettings.landmarks,
    hwaccel: Decoding = Hwaccel.none,
    no_solve: NoSolve = False,
    max_gap: MaxGap = SolveSettings.max_gap_s,
    smoothing: Smoothing = SolveSettings.smoothing,
    lid_smoothing: LidSmoothing = SolveSettings.lid_smoothing,
    head_smoothing: HeadSmoothing = SolveSettings.head_smoothing,
    amplitude: Amplitude = SolveSettings.amplitude,
    close_blinks: CloseBlinks = SolveSettings.close_blinks,
    calibrate: CalibrateBy = Calibrate(SolveSettings.calibrate),
    workers: Workers = RunOptions.workers,
    decode_threads: DecodeThreads = None,
    log_json: LogJson = None,
    quiet: Quiet = False,
) -> None:
    """Record SOURCE until Ctrl-C, then turn the take into animation.

    Tables and FBX are those of `run` over the video. A second Ctrl-C leaves at once;
    what was recorded stays, and the command that goes on with it is printed.

    Exit code: 0 the clip is done, 1 it failed (its video is kept), 2 the command is wrong or nothing can be
    recorded, 130 interrupted.

    Examples: facecap-batch record /dev/video0 --show-preview · facecap-batch record rtsp://camera/stream
    --seconds 60 --save-video · ffmpeg … -f matroska - | facecap-batch record -
    """
    from facecap_batch.recording.take import TakeOptions, record_take
    from facecap_batch.recording.take_files import take_files
    from facecap_batch.runs.config import make_config, worker_threads
    from facecap_batch.runs.observers.progress import make_display
    from facecap_batch.runs.start import check_backend
    from facecap_batch.video.live.session import SessionOptions
    from facecap_batch.video.live.sources import find_source

    live = find_source(source)
    if reconnect and not live.is_paced:
        raise typer.BadParameter("standard input cannot be opened again", param_hint="--reconnect")
    folder = storage_path(output)
    threads, cpus = worker_threads(RunOptions.gpus_per_worker, decode_threads)
    config = make_config(
        engines,
        backend.value,
        capture_settings(detect_every, keep_damaged, faces, landmarks, hwaccel, threads),
        solve_settings(
            no_solve, max_gap, smoothing, lid_smoothing, head_smoothing, amplitude, close_blinks, calibrate
        ),
        require_certificate,
    )
    run_options = RunOptions(output=folder, workers=workers, cpus_per_worker=cpus, log_json=log_json)
    check_backend(config, run_options)
    files = take_files(folder, name, live.stem)
    options = TakeOptions(
        SessionOptions(seconds, timeout, reconnect),
        save_video,
        preview_port if show_preview else None,
        quiet,
    )
    display = partial(make_display, quiet)
    conclude(record_take(live, files, options, config, run_options, display), folder)
