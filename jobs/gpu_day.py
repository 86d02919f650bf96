"""All that is to be found out on a machine with an NVIDIA GPU, in one command and a few minutes.

    python jobs/gpu_day.py --output out/gpu-day

Which backends open, certificates for them, each engine at each batch size, clips of 1080p and 360p from file
to FBX with 1 to 8 decoding threads and with NVDEC, workers that share the GPU, memory. Each step has a
process and a share of the time of its own: one that crashes, hangs or lacks a library costs only itself.
``gpu_day.json`` is published after every step, ``gpu_day.md`` and ``gpu.md`` (``docs/gpu.md`` with these
tables) at the end; --write-docs fills the page itself. Without a GPU the whole is rehearsed on the CPU. The
exit code is 1 where a step failed or crashed; the report is complete in any case.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from facecap_batch.checks.gpu_day import tables
from facecap_batch.checks.gpu_day.day import GpuDay
from facecap_batch.checks.gpu_day.schedule import DayOptions
from facecap_batch.checks.gpu_day.step import BROKEN
from facecap_batch.errors import FacecapError
from facecap_batch.storage.publish import publish_bytes

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "gpu.md"
SPEAKER = ROOT / "manifests" / "demo" / "speaking.mp4"


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # by way of what ends the step that runs


def main(
    output: Annotated[Path, typer.Option(help="folder for the report, clips, certificates and runs")] = Path(
        "out/gpu-day"
    ),
    minutes: Annotated[float, typer.Option(min=0.1, help="time for everything")] = 8.0,
    engines: Annotated[str, typer.Option(help="an engine set's name, or its folder")] = "default",
    clip: Annotated[Path, typer.Option(help="a video of a face that the clips are made of")] = SPEAKER,
    clip_seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="of each clip; default: 10, in a rehearsal 2", show_default=False),
    ] = None,
    rehearse: Annotated[bool, typer.Option(help="as on a machine without a GPU")] = False,
    write_docs: Annotated[bool, typer.Option(help="fill the tables of docs/gpu.md")] = False,
) -> None:
    """Print a line for each step, then where the report lies."""
    signal.signal(signal.SIGTERM, _end)
    if write_docs and rehearse:
        raise typer.BadParameter("docs/gpu.md holds no figures of a rehearsal", param_hint="--write-docs")
    day = GpuDay(
        DayOptions(output.resolve(), clip.resolve(), minutes, engines, clip_seconds, rehearse),
        say=lambda line: print(line, flush=True),
    )
    report = day.carry_out()
    publish_bytes(output / "gpu_day.md", tables.page(report).encode())
    try:
        filled = tables.filled(PAGE.read_text(encoding="utf-8"), report, str(PAGE)).encode()
    except FacecapError as error:
        print(f"no page with the tables: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    publish_bytes(output / "gpu.md", filled)
    print(f"{output / 'gpu_day.md'}: {day.elapsed_s / 60:.1f} of {minutes:g} minutes")
    if write_docs and report["rehearsal"]:
        print("no GPU was found, so this was a rehearsal: docs/gpu.md stays as it is", file=sys.stderr)
        raise typer.Exit(1)
    if write_docs:
        publish_bytes(PAGE, filled)
    raise typer.Exit(1 if any(result.state in BROKEN for result in day.results) else 0)


if __name__ == "__main__":
    typer.run(main)
