"""Options that several commands share, and the headings under which ``--help`` lists them.

In: nothing. Out: annotated types for the parameters of commands, and what some of them mean. Nothing heavy is
imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecap_batch.capturing.settings import CaptureSettings, faces_from
from facecap_batch.cli.choices import Backend, Hwaccel, choice_option
from facecap_batch.cli.completion import clip_ids, engine_sets

FOOTAGE_PANEL = "Footage"
RECORDING_PANEL = "Recording"
ENGINES_PANEL = "Engines"
WORK_PANEL = "Where and how the work is done"
CAPTURE_PANEL = "Capture"
SOLVE_PANEL = "Solve"
RERUN_PANEL = "Reruns"
REPORT_PANEL = "Output on the terminal and logs"

# Folders and manifests are paths or URIs: `storage.publish.storage_path` distinguishes them.
Output = Annotated[str, typer.Argument(metavar="OUT", help="Output folder of a run, or its URI.")]
Clips = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLIP_ID",
        help="This clip only; repeat for more. Default: every clip that is done.",
        autocompletion=clip_ids,
        show_default=False,
    ),
]
ClipsAgain = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLIP_ID",
        help="Do this clip again, failed or not; repeat for more. Default: every clip that failed.",
        autocompletion=clip_ids,
        show_default=False,
    ),
]
Engines = Annotated[
    str,
    typer.Option(
        metavar="SET",
        help="Engine set: a name (see `engines list`) or a folder.",
        autocompletion=engine_sets,
        rich_help_panel=ENGINES_PANEL,
    ),
]
EngineSetName = Annotated[
    str, typer.Argument(metavar="SET", help="Name or folder of an engine set.", autocompletion=engine_sets)
]
BackendName = Annotated[
    Backend,
    choice_option(
        Backend,
        help="What runs the engines. auto takes the fastest of full precision that works here.",
        panel=ENGINES_PANEL,
    ),
]
BackendNames = Annotated[
    list[Backend] | None,
    choice_option(
        Backend,
        "--backend",
        help="Backend; repeat for more. Default: those that work here.",
        panel=ENGINES_PANEL,
        leave_out=(Backend.auto,),
        show_default=False,
    ),
]
RequireCertificate = Annotated[
    bool,
    typer.Option(
        "--require-certificate",
        help="Use only backends that `verify` has certified.",
        rich_help_panel=ENGINES_PANEL,
    ),
]
DetectEvery = Annotated[
    int,
    typer.Option(min=1, help="Frames from one detection to the next.", rich_help_panel=CAPTURE_PANEL),
]
FacesWanted = Annotated[
    str,
    typer.Option(
        metavar="all|N",
        help="People that become tracks: the N most important, or all. 1: the main subject alone. With "
        "more, shots are found, too.",
        rich_help_panel=CAPTURE_PANEL,
    ),
]
Landmarks = Annotated[
    bool,
    typer.Option(
        "--landmarks",
        help="Write landmarks of the face and the direction of gaze, too, as further columns of the tables.",
        rich_help_panel=CAPTURE_PANEL,
    ),
]
KeepDamaged = Annotated[
    bool,
    typer.Option(
        "--keep-damaged",
        help="Keep what decodes of damaged videos instead of failing them.",
        rich_help_panel=CAPTURE_PANEL,
    ),
]
MaxMegapixels = Annotated[
    float,
    typer.Option(
        min=0.001,
        help="Million pixels of one picture; clips with larger ones fail.",
        rich_help_panel=CAPTURE_PANEL,
    ),
]
MaxFrames = Annotated[
    int, typer.Option(min=1, help="Frames of one clip; clips with more fail.", rich_help_panel=CAPTURE_PANEL)
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of workers. Default: one for a small job, which needs no Ray; else one per CPU.",
        show_default=False,
        rich_help_panel=WORK_PANEL,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Ray cluster to use: host:6379, auto or ray://…. Default: a local Ray, none for a small job.",
        show_default=False,
        rich_help_panel=WORK_PANEL,
    ),
]
Cpus = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="CPUs reserved per worker. Default: 1; on a GPU, as many as decode threads.",
        show_default=False,
        rich_help_panel=WORK_PANEL,
    ),
]
Gpus = Annotated[
    float,
    typer.Option(
        min=0.0, help="Share of a GPU reserved per worker, for example 0.25.", rich_help_panel=WORK_PANEL
    ),
]
DecodeThreads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=16,
        help="Decoder threads per worker. Default: 1; on a GPU, 4.",
        show_default=False,
        rich_help_panel=WORK_PANEL,
    ),
]
Decoding = Annotated[
    Hwaccel,
    choice_option(
        Hwaccel,
        help="Decode on the GPU. auto does so where there is one. Pixels may differ in the last bit.",
        panel=CAPTURE_PANEL,
    ),
]
LogJson = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Append events to this file, one JSON object per line.",
        show_default=False,
        rich_help_panel=REPORT_PANEL,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print failures and the result only.", rich_help_panel=REPORT_PANEL),
]


def capture_settings(
    detect_every: int,
    keep_damaged: bool,
    faces: str,
    landmarks: bool,
    hwaccel: Hwaccel,
    decode_threads: int,
    max_megapixels: float = CaptureSettings.max_megapixels,
    max_frames: int = CaptureSettings.max_frames,
) -> CaptureSettings:
    """The settings for what the user gave, each named as its option; raises typer.BadParameter."""
    try:
        wanted = faces_from(faces)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--faces") from error
    return CaptureSettings(
        faces=wanted,
        landmarks=landmarks,
        detect_every=detect_every,
        damage="keep" if keep_damaged else "refuse",
        decode_threads=decode_threads,
        hwaccel=hwaccel.value,
        max_megapixels=max_megapixels,
        max_frames=max_frames,
    )
