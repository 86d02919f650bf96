"""The commands about engines: what there is, what a card says, TensorRT's plans, networks of the user's own.

As in `cli`, nothing heavy is imported at module level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def engines_list() -> None:
    """Every engine set that can be named."""
    from facecap_batch.engines.description import describe_sets
    from facecap_batch.engines.sets import available_sets

    print(describe_sets(available_sets()))


def engines_show(
    name: Annotated[str, typer.Argument(help="A set's name or folder.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="The cards as they are, for programs.")] = False,
) -> None:
    """The cards of one set: shapes, names of the outputs, licence, hash, measured quality."""
    from facecap_batch.engines.description import describe_card
    from facecap_batch.engines.sets import load_set

    cards = load_set(name).cards
    for card in cards:
        card.verify()
    print(
        "\n".join(card.to_json().rstrip("\n") for card in cards)
        if as_json
        else "\n\n".join(describe_card(card) for card in cards)
    )


def engines_import(
    source: Annotated[
        str,
        typer.Argument(
            help="Weights of FaceBoxes or MobileNetV3 (.pth), any .onnx, a card (.json) beside its ONNX "
            "file, MediaPipe's face_landmarker.task, or a set's name."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Folder of the engine set that gets the engine.")],
    kind: Annotated[
        str | None,
        typer.Option(
            help="faceboxes, mobilenetv3, onnx, card, mediapipe; else found out.", show_default=False
        ),
    ] = None,
    num_outputs: Annotated[
        int | None,
        typer.Option(min=1, help="Regressor: how many numbers it says; else 57.", show_default=False),
    ] = None,
    output_names: Annotated[
        str | None,
        typer.Option(
            help="Regressor: their names in its order: a file (one a line), a list with commas, or numbered; "
            "else the table's 57.",
            show_default=False,
        ),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="MobileNetV3: small or large; else found out.", show_default=False)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Regressor: side of its crop, pixels; else 112, or as the file says.",
            show_default=False,
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="What pixels (0..255) are less by: one number or r,g,b; else 127.5.", show_default=False
        ),
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="What they are then divided by; else 127.5.", show_default=False)
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(
            help="RGB or BGR: what the network was trained on, and the order of --mean and --std; else RGB.",
            show_default=False,
        ),
    ] = None,
    crop_scale: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Regressor: side of its crop over the longer side of the face box; else 1.5.",
            show_default=False,
        ),
    ] = None,
    detector_size: Annotated[
        int | None,
        typer.Option(
            min=32, help="Detector: longest side of the picture it is shown, pixels.", show_default=False
        ),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            help="detector or regressor: of an .onnx, else found out; of a set, which to take.",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(help="Its licence; goes into every output. Else unknown.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The engine's name.", show_default=False)] = None,
) -> None:
    """Bring a network of your own into an engine set; a set is a detector and a regressor.

    Outputs with ARKit's names become ARKit's columns, others columns of their own.
    """
    from facecap_batch.engines.description import describe_card, what_is_missing
    from facecap_batch.importing.kinds import import_engine
    from facecap_batch.importing.options import ImportOptions, channel_values
    from facecap_batch.importing.options import output_names as listed

    wishes = ImportOptions(
        role=role,
        name=name,
        licence=licence,
        output_names=listed(output_names, num_outputs),
        variant=variant,
        size=size,
        detector_size=detector_size,
        mean=channel_values(mean, "--mean"),
        std=channel_values(std, "--std"),
        channels=channels,
        crop_scale=crop_scale,
    )
    for card in import_engine(source, folder, wishes, kind):
        print(describe_card(card))
    print(what_is_missing(folder))


def engines_build(
    name: Annotated[str, typer.Argument(help="A set's name or folder.")] = "default",
    backend: Annotated[
        list[str], typer.Option("--backend", help="tensorrt, tensorrt-fp16, tensorrt-int8; again for more.")
    ] = ["tensorrt"],  # noqa: B006
) -> None:
    """Build the TensorRT plans of a set for the GPU of this machine, so that no run waits for them."""
    from facecap_batch.engines.registry import build_plans

    for plan in build_plans(name, backend):
        what = "is there" if plan.existed else f"built in {plan.seconds:.0f} s"
        print(f"{plan.engine} on {plan.backend}: {what}: {plan.path}", flush=True)


def add_engines(app: typer.Typer) -> None:
    """Make the commands of this module commands of `app`."""
    engines_app = typer.Typer(help="Which engines there are.", rich_markup_mode=None, no_args_is_help=True)
    engines_app.command("list")(engines_list)
    engines_app.command("show")(engines_show)
    engines_app.command("build")(engines_build)
    engines_app.command("import")(engines_import)
    app.add_typer(engines_app, name="engines")
