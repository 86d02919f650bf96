"""The commands that look at the machine instead of a folder: verify, bench, doctor, engines.

As in `cli`, nothing heavy is imported at module level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Engines = Annotated[str, typer.Option(help="Engine set: a name (see `engines list`) or a folder.")]
Backends = Annotated[
    list[str] | None, typer.Option("--backend", help="Backend; again for more. Default: all that work here.")
]


def verify(
    video: Annotated[Path | None, typer.Argument(help="Compare on its frames; else on painted ones.")] = None,
    engines: Engines = "default",
    backend: Backends = None,
    reference: Annotated[str, typer.Option(help="Backend to compare with; else torch if installed.")] = "",
) -> None:
    """Prove that the backends here give the same results. Exit code 1 where one does not."""
    from facecap_batch.verify import verify as verdicts

    agree = True
    for verdict in verdicts(engines, backend or [], reference, video):
        parity = verdict.parity
        mark = "ok  " if verdict.ok else "FAIL"
        print(
            f"{mark} {verdict.engine} {parity.output}: {verdict.backend} against {verdict.reference}: "
            f"largest difference {parity.max_abs:.2g} (allowed {verdict.tolerance:g}), "
            f"mean square {parity.mse:.2g}",
            flush=True,
        )
        agree = agree and verdict.ok
    raise typer.Exit(0 if agree else 1)


def bench(
    video: Annotated[Path | None, typer.Argument(help="Measure a whole clip, too.")] = None,
    engines: Engines = "default",
    backend: Backends = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="For each engine, backend and batch size.")] = 1.0,
) -> None:
    """How fast the engines, and a clip step by step, are on one worker here."""
    from facecap_batch.bench import bench as speeds

    for speed in speeds(engines, backend or [], video, seconds):
        details = [speed.backend] if speed.backend else []
        details += [f"batch {speed.batch}"] if speed.batch else []
        print(f"{speed.what} ({', '.join(details)})" if details else speed.what, end="", flush=True)
        print(f": {speed.per_second:.1f}/s", flush=True)


def doctor() -> None:
    """Try everything a run needs, and say what to do where it is missing."""
    from facecap_batch.doctor import findings

    healthy = True
    for finding in findings():
        mark = "ok  " if finding.ok else ("FAIL" if finding.required else "-   ")
        print(f"{mark} {finding.what}: {finding.detail}", flush=True)
        healthy = healthy and (finding.ok or not finding.required)
    raise typer.Exit(0 if healthy else 1)


def engines_list() -> None:
    """Every engine set that can be named."""
    from facecap_batch.engines.sets import available_sets, load_set

    for name, folder in available_sets().items():
        cards = load_set(folder).cards
        print(f"{name}: " + ", ".join(f"{card.name} {card.version} ({card.licence})" for card in cards))


def engines_show(
    name: Annotated[str, typer.Argument(help="A set's name or folder.")] = "default",
) -> None:
    """The cards of one set: shapes, licence, hash, measured quality."""
    from facecap_batch.engines.sets import load_set

    for card in load_set(name).cards:
        card.verify()
        print(card.to_json())


def engines_import(
    source: Annotated[
        Path, typer.Argument(help="A card (.json) beside its ONNX file, or public FaceBoxes weights (.pth).")
    ],
    folder: Annotated[Path, typer.Argument(help="Folder of the engine set that gets the engine.")],
    name: Annotated[str, typer.Option(help="For weights: the engine's name.")] = "faceboxes",
    licence: Annotated[str, typer.Option(help="For weights: their licence.")] = "unknown",
) -> None:
    """Bring a network of your own into an engine set; a set is a detector and a regressor."""
    from facecap_batch.engines.importers import import_faceboxes, import_onnx

    if source.suffix.lower() == ".json":
        card = import_onnx(source, folder)
    else:
        card = import_faceboxes(source, folder, name=name, licence=licence)
    print(card.to_json())


def add_checks(app: typer.Typer) -> None:
    """Make the commands of this module commands of `app`."""
    for command in (verify, bench, doctor):
        app.command()(command)
    engines_app = typer.Typer(help="Which engines there are.", rich_markup_mode=None, no_args_is_help=True)
    engines_app.command("list")(engines_list)
    engines_app.command("show")(engines_show)
    engines_app.command("import")(engines_import)
    app.add_typer(engines_app, name="engines")
