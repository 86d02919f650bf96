"""The commands that look at the machine instead of a folder: verify, bench, doctor.

In: options. Out: text, JSON or Markdown, and an exit code. Nothing heavy is imported at module level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecap_batch.cli.choices import Backend, choice_option
from facecap_batch.cli.completion import engine_sets
from facecap_batch.cli.options import BackendNames, Engines

Reference = Annotated[
    Backend | None,
    choice_option(
        Backend,
        help="Backend to compare with. Default: torch where it is installed.",
        show_default=False,
        leave_out=(Backend.auto,),
    ),
]


def verify(
    videos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="VIDEO", help="Compare on the faces of these. Default: drawn faces."),
    ] = None,
    engines: Engines = "default",
    backend: BackendNames = None,
    reference: Reference = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="SET",
            help="Engine set for the reference: the one that this set was made from. Default: the same set.",
            autocompletion=engine_sets,
            show_default=False,
        ),
    ] = "",
    crops: Annotated[int, typer.Option(min=1, help="Number of face crops for the regressor.")] = 1000,
    images: Annotated[int, typer.Option(min=1, help="Number of images for the detector.")] = 200,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the certificate to this file; needs exactly one --backend. Default: beside the "
            "engine set.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Compare the outputs of the backends here with the reference, and certify those that agree.

    Exit code 1 if one does not agree.

    Certificates need torch as the reference, 100 crops and 20 images.
    """
    import json

    from facecap_batch.checks.comparison import describe_comparison
    from facecap_batch.checks.verify import verify as comparisons

    if certificate is not None and len(backend or []) != 1:
        raise typer.BadParameter("a certificate's file needs one --backend", param_hint="--certificate")
    names = [member.value for member in backend or []]
    agree, described = True, []
    for comparison in comparisons(
        engines, names, reference.value if reference else "", videos or [], against, crops, images
    ):
        kept = comparison.certify(certificate) if comparison.certifiable else None
        if as_json:
            about = {"path": str(kept.path), "sha256": kept.sha256} if kept else None
            described.append({"backend": comparison.backend, **comparison.describe(), "certificate": about})
        else:
            print("\n".join(describe_comparison(comparison)))
            print(f"certificate {kept.sha256[:16]}…: {kept.path}" if kept else "no certificate", flush=True)
        agree = agree and comparison.ok
    if as_json:
        print(json.dumps(described, indent=2, ensure_ascii=False))
    raise typer.Exit(0 if agree else 1)


def bench(
    video: Annotated[
        Path | None, typer.Argument(metavar="VIDEO", help="Also measure a whole clip, stage by stage.")
    ] = None,
    engines: Engines = "default",
    backend: BackendNames = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="Measuring time per engine, backend and batch size.")
    ] = 1.0,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the tables to this file.", show_default=False),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Also write every figure to this file.", show_default=False
        ),
    ] = None,
    peer_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="MediaPipe's face_landmarker.task: also measure MediaPipe on the clip.",
            show_default=False,
        ),
    ] = None,
    peer_python: Annotated[
        Path | None,
        typer.Option(
            metavar="PYTHON",
            help="Python interpreter that has MediaPipe. Default: this one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure the speed of the engines, and of a clip stage by stage, on one worker here."""
    import json

    from facecap_batch.checks import bench_report, mediapipe_baseline
    from facecap_batch.checks.bench import bench as speeds
    from facecap_batch.storage.publish import publish_bytes

    if (peer_model or peer_python) and not (video and peer_model):
        raise typer.BadParameter("MediaPipe needs a VIDEO and --peer-model", param_hint="--peer-model")
    measured = []
    names = [member.value for member in backend or []]
    for speed in speeds(engines, names, video, seconds, peer_model, peer_python):
        measured.append(speed)
        print(bench_report.line(speed), flush=True)
    if video and peer_model is None and mediapipe_baseline.installed():
        print("MediaPipe is installed here: --peer-model FILE measures it, too", flush=True)
    if markdown is not None:
        publish_bytes(markdown, bench_report.markdown(measured).encode())
    if json_file is not None:
        publish_bytes(json_file, (json.dumps(bench_report.as_json(measured), indent=2) + "\n").encode())


def doctor() -> None:
    """Check everything that a run needs, and what to do where it is missing.

    Exit code 1 if something is missing that every run needs.
    """
    from facecap_batch.checks.doctor import findings

    healthy = True
    for finding in findings():
        mark = "ok  " if finding.ok else ("FAIL" if finding.required else "-   ")
        print(f"{mark} {finding.what}: {finding.detail}", flush=True)
        healthy = healthy and (finding.ok or not finding.required)
    raise typer.Exit(0 if healthy else 1)
