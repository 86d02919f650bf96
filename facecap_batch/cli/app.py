"""The command line: which commands there are, under which headings, and how errors end it.

In: arguments. Out: an exit code. Commands are plain functions of the other rooms; they are registered here
and nowhere else. A command's room is imported when it is called, or when ``--help`` lists it: both must
answer at once.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer

from facecap_batch import __version__
from facecap_batch.errors import FacecapError, RunBroken
from facecap_batch.scheduling.ends.memory import end_without_memory

PROGRAM = "facecap-batch"
WRONG, BROKEN, INTERRUPTED = 2, 3, 130

RUN_PANEL, FOLDER_PANEL, MACHINE_PANEL = "Run", "Output folders", "This machine and its engines"
# Each command by its room and its function there.
COMMANDS: dict[str, dict[str, str]] = {
    RUN_PANEL: {"run": "run.run", "record": "record.record", "retry": "run.retry", "solve": "run.solve"},
    FOLDER_PANEL: {
        "status": "folder.status",
        "query": "folder.query",
        "report": "folder.report",
        "serve": "folder.serve",
        "preview": "folder.preview",
        "plot": "folder.plot",
        "export": "folder.export",
        "compact": "folder.compact",
    },
    MACHINE_PANEL: {"doctor": "checks.doctor", "verify": "checks.verify", "bench": "checks.bench"},
}
GROUPS: dict[str, tuple[str, str, dict[str, str]]] = {  # name: panel, help, commands
    "engines": (
        MACHINE_PANEL,
        "List, show, build and import engines.",
        {
            "list": "engines.engines_list",
            "show": "engines.engines_show",
            "build": "engines.engines_build",
            "import": "engines.engines_import",
        },
    ),
    "rigs": (
        FOLDER_PANEL,
        "List, show and check rigs: the channels of other faces.",
        {"list": "rigs.rigs_list", "show": "rigs.rigs_show", "check": "rigs.rigs_check"},
    ),
}


def _function(place: str) -> Callable[..., None]:
    """A command's function: "folder.status"."""
    room, name = place.split(".")
    function: Callable[..., None] = getattr(importlib.import_module(f"facecap_batch.cli.{room}"), name)
    return function


def called(arguments: Sequence[str]) -> str | None:
    """The command, or group of commands, that a command line begins with; None: it begins otherwise."""
    known = {*GROUPS, *(name for commands in COMMANDS.values() for name in commands)}
    return arguments[0] if arguments and arguments[0] in known else None


def top(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Turn folders of face videos into facial animation.

    51 ARKit blendshapes and the head per frame, as Parquet and FBX.
    """
    if version:
        print(f"facecap-batch {__version__}")
        raise typer.Exit


def make_app(program: str = PROGRAM, only: str | None = None) -> typer.Typer:
    """The typer application for use under the name `program`.

    Args:
        program: The name that usage lines show.
        only: The one command, or group, that it needs; None: all of them.
    """
    made = typer.Typer(
        add_completion=program == PROGRAM,  # a shell completes the arguments of one word only
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback(invoke_without_command=True)(top)
    for panel, commands in COMMANDS.items():
        for name, place in commands.items():
            if only in (None, name):
                made.command(name, rich_help_panel=panel)(_function(place))
    for group, (panel, text, commands) in GROUPS.items():
        if only in (None, group):
            app = typer.Typer(help=text, no_args_is_help=True, rich_markup_mode="rich")
            for name, place in commands.items():
                app.command(name)(_function(place))
            made.add_typer(app, name=group, rich_help_panel=panel)
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
        end_without_memory(BROKEN)
        only = called(sys.argv[1:] if arguments is None else arguments)
        make_app(program, only)(args=arguments, prog_name=program)
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
