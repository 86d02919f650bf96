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
    videos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[VIDEO]...", help="Compare on their faces; else on painted ones."),
    ] = None,
    engines: Engines = "default",
    backend: Backends = None,
    reference: Annotated[str, typer.Option(help="Backend to compare with; else torch if installed.")] = "",
    against: Annotated[
        str, typer.Option(help="Engine set that the reference runs: the one that this set was made from.")
    ] = "",
    crops: Annotated[int, typer.Option(min=1, help="Face crops for the regressor.")] = 1000,
    images: Annotated[int, typer.Option(min=1, help="Pictures for the detector.")] = 200,
    certificate: Annotated[
        Path | None,
        typer.Option(help="File of the certificate; needs one --backend. Default: beside the engine set."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: every figure.")] = False,
) -> None:
    """Prove that the backends here give what the reference gives, and certify those that do.

    Exit code 1 where one does not. A certificate is kept of what torch was the reference for, on at least 100
    crops and 20 images.
    """
    import json

    from facecap_batch.checks.comparison import describe_comparison
    from facecap_batch.checks.verify import verify as comparisons

    if certificate is not None and len(backend or []) != 1:
        raise typer.BadParameter("a certificate's file needs one --backend", param_hint="--certificate")
    agree, said = True, []
    for comparison in comparisons(engines, backend or [], reference, videos or [], against, crops, images):
        kept = comparison.certify(certificate) if comparison.certifiable else None
        if as_json:
            about = {"path": str(kept.path), "sha256": kept.sha256} if kept else None
            said.append({"backend": comparison.backend, **comparison.describe(), "certificate": about})
        else:
            print("\n".join(describe_comparison(comparison)))
            print(f"certificate {kept.sha256[:16]}…: {kept.path}" if kept else "no certificate", flush=True)
        agree = agree and comparison.ok
    if as_json:
        print(json.dumps(said, indent=2, ensure_ascii=False))
    raise typer.Exit(0 if agree else 1)


def bench(
    video: Annotated[Path | None, typer.Argument(help="Measure a whole clip, too.")] = None,
    engines: Engines = "default",
    backend: Backends = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="For each engine, backend and batch size.")] = 1.0,
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables here.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write every figure here.")] = None,
    peer_model: Annotated[
        Path | None, typer.Option(help="MediaPipe's face_landmarker.task: measure it on the clip, too.")
    ] = None,
    peer_python: Annotated[
        Path | None, typer.Option(help="Python that has MediaPipe; default: this one.")
    ] = None,
) -> None:
    """How fast the engines, and a clip stage by stage, are on one worker here."""
    import json

    from facecap_batch.checks import bench_report, mediapipe_peer
    from facecap_batch.checks.bench import bench as speeds
    from facecap_batch.storage.publish import publish_bytes

    if (peer_model or peer_python) and not (video and peer_model):
        raise typer.BadParameter("the peer needs a VIDEO and --peer-model", param_hint="--peer-model")
    measured = []
    for speed in speeds(engines, backend or [], video, seconds, peer_model, peer_python):
        measured.append(speed)
        print(bench_report.line(speed), flush=True)
    if video and peer_model is None and mediapipe_peer.installed():
        print("MediaPipe is installed here: --peer-model FILE measures it beside this", flush=True)
    if markdown is not None:
        publish_bytes(markdown, bench_report.markdown(measured).encode())
    if json_file is not None:
        publish_bytes(json_file, (json.dumps(bench_report.as_json(measured), indent=2) + "\n").encode())


def doctor() -> None:
    """Try everything a run needs, and say what to do where it is missing."""
    from facecap_batch.checks.doctor import findings

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
