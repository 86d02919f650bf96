"""The options of the solve, which `run`, `record` and `solve` share.

In: nothing; later what the user gave. Out: annotated types for the parameters of commands, and the
`SolveSettings` that they make.
"""

from __future__ import annotations

from typing import Annotated

import typer

from facecap_batch.cli.choices import Calibrate, choice_option
from facecap_batch.cli.options import SOLVE_PANEL
from facecap_batch.solve.settings import SolveSettings

NoSolve = Annotated[
    bool,
    typer.Option(
        "--no-solve",
        help="Keep measured values as they are: no smoothing, gaps stay empty.",
        rich_help_panel=SOLVE_PANEL,
    ),
]
MaxGap = Annotated[
    float, typer.Option(min=0.0, help="Longest gap to fill, in seconds.", rich_help_panel=SOLVE_PANEL)
]
Smoothing = Annotated[
    float,
    typer.Option(
        min=0.0, help="Smoothing of the coefficients: 0 off, 2 firmer.", rich_help_panel=SOLVE_PANEL
    ),
]
LidSmoothing = Annotated[
    float,
    typer.Option(min=0.0, help="Smoothing of the eyelids: 0 off, 2 firmer.", rich_help_panel=SOLVE_PANEL),
]
HeadSmoothing = Annotated[
    float,
    typer.Option(
        min=0.0,
        help="Smoothing of the head's rotation and position: 0 off, 2 firmer.",
        rich_help_panel=SOLVE_PANEL,
    ),
]
Amplitude = Annotated[
    float,
    typer.Option(min=0.0, help="Amplitude compensation: 0 off, 1 full.", rich_help_panel=SOLVE_PANEL),
]
CloseBlinks = Annotated[
    bool,
    typer.Option(
        "--close-blinks/--no-close-blinks",
        help="Stretch the lids so that full blinks close the eye, or keep them as measured.",
        rich_help_panel=SOLVE_PANEL,
    ),
]

CalibrateBy = Annotated[
    Calibrate,
    choice_option(
        Calibrate,
        help="Where a face rests and what closes its blinks. card: both from the engines' card. "
        "actor: both from all clips with the same `actor` in the manifest.",
        panel=SOLVE_PANEL,
    ),
]


def solve_settings(
    no_solve: bool,
    max_gap: float,
    smoothing: float,
    lid_smoothing: float,
    head_smoothing: float,
    amplitude: float,
    close_blinks: bool,
    calibrate: Calibrate,
) -> SolveSettings:
    """The settings for what the user gave, each named as its option."""
    return SolveSettings(
        enabled=not no_solve,
        max_gap_s=max_gap,
        smoothing=smoothing,
        lid_smoothing=lid_smoothing,
        head_smoothing=head_smoothing,
        amplitude=amplitude,
        close_blinks=close_blinks,
        calibrate=calibrate.value,
    )
