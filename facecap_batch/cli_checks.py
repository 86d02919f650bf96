"""The commands that look at the machine instead of a folder: verify, bench, doctor.

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


def add_checks(app: typer.Typer) -> None:
    """Make the commands of this module commands of `app`."""
    for command in (verify, bench, doctor):
        app.command()(command)
