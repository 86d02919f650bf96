"""The command line: which commands there are, under which headings, and how errors end it.

In: arguments. Out: an exit code. Commands are plain functions of the other rooms; they are registered here
and nowhere else. Nothing heavy is imported at module level: ``--help`` must answer at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from facecap_batch import __version__
from facecap_batch.cli import checks, engines, folder, record, rigs, run
from facecap_batch.errors import FacecapError, RunBroken

PROGRAM = "facecap-batch"
WRONG, BROKEN, INTERRUPTED = 2, 3, 130

RUN_PANEL, FOLDER_PANEL, MACHINE_PANEL = "Run", "Output folders", "This machine and its engines"
COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    RUN_PANEL: (run.run, record.record, run.retry, run.solve),
    FOLDER_PANEL: (
        *(folder.status, folder.query, folder.report, folder.serve),
        *(folder.preview, folder.plot, folder.export, folder.compact),
    ),
    MACHINE_PANEL: (checks.doctor, checks.verify, checks.bench),
}
ENGINE_COMMANDS: dict[str, Callable[..., None]] = {
    "list": engines.engines_list,
    "show": engines.engines_show,
    "build": engines.engines_build,
    "import": engines.engines_import,
}
RIG_COMMANDS: dict[str, Callable[..., None]] = {
    "list": rigs.rigs_list,
    "show": rigs.rigs_show,
    "check": rigs.rigs_check,
}


def top(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Turn folders of face videos into facial animation.

    51 ARKit blendshapes and the head per frame, as Parquet and FBX.
    """
    if version:
        print(f"facecap-batch {__version__}")
        raise typer.Exit


def make_app(program: str = PROGRAM) -> typer.Typer:
    """The typer application with every command, for use under the name `program`."""
    made = typer.Typer(
        add_completion=program == PROGRAM,  # a shell completes the arguments of one word only
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback(invoke_without_command=True)(top)
    for panel, commands in COMMANDS.items():
        for command in commands:
            made.command(rich_help_panel=panel)(command)
    engines_app = typer.Typer(
        help="List, show, build and import engines.", no_args_is_help=True, rich_markup_mode="rich"
    )
    for name, engine_command in ENGINE_COMMANDS.items():
        engines_app.command(name)(engine_command)
    made.add_typer(engines_app, name="engines", rich_help_panel=MACHINE_PANEL)
    rigs_app = typer.Typer(
        help="List, show and check rigs: the channels of other faces.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    for name, rig_command in RIG_COMMANDS.items():
        rigs_app.command(name)(rig_command)
    made.add_typer(rigs_app, name="rigs", rich_help_panel=FOLDER_PANEL)
    return made


def main(arguments: list[str] | None = None, program: str = PROGRAM) -> NoReturn:
    """Entry point of ``facecap-batch``: an error of ours is one line on standard error, never a traceback.

    Args:
        arguments: what follows the program's name; None: of this process.
        program: the name that usage lines show.

    Raises:
        SystemExit: always.
    """
    try:
        make_app(program)(args=arguments, prog_name=program)
    except FacecapError as error:
        if error.__cause__ is not None and isinstance(error, RunBroken):
            _print_bug(error.__cause__)
        print(f"facecap-batch: {error}", file=sys.stderr)
        sys.exit(BROKEN if isinstance(error, RunBroken) else WRONG)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # a pager that was closed
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        print(f"facecap-batch: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(WRONG)
    sys.exit(0)


def _print_bug(cause: BaseException) -> None:
    """Where in our code an error arose that is nobody else's: whoever reports it has the traceback."""
    if not isinstance(cause, FacecapError | OSError):
        traceback.print_exception(cause)
