"""The commands about engines: list, show, build (TensorRT's plans), import (networks of the user's own).

In: options. Out: text on the terminal, and engine sets or plans on disk. Nothing heavy is imported at module
level.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from facecap_batch.cli.choices import Channels, Kind, PlanBackend, Role, Variant, choice_option
from facecap_batch.cli.options import EngineSetName

NETWORK_PANEL = "About the network"
INPUT_PANEL = "Its input"
OUTPUT_PANEL = "Its output"


def engines_list() -> None:
    """List every engine set that can be named."""
    from facecap_batch.engines.description import describe_sets
    from facecap_batch.engines.sets import available_sets

    print(describe_sets(available_sets()))


def engines_show(
    name: EngineSetName = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """Show the cards of a set: shapes, output names, licence, hash, measured quality."""
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
            metavar="SOURCE",
            help="Weights of FaceBoxes or MobileNetV3 (.pth), an .onnx file, a card (.json) beside its ONNX "
            "file, MediaPipe's face_landmarker.task, or the name of an engine set.",
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the engine set that receives the engine.")
    ],
    kind: Annotated[
        Kind | None,
        choice_option(
            Kind,
            help="Kind of file. Default: by its contents.",
            panel=NETWORK_PANEL,
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        Role | None,
        choice_option(
            Role,
            help="Role of an .onnx file (default: by its outputs); or which engine of a set to take.",
            panel=NETWORK_PANEL,
            show_default=False,
        ),
    ] = None,
    variant: Annotated[
        Variant | None,
        choice_option(
            Variant,
            help="Variant of MobileNetV3. Default: by its weights.",
            panel=NETWORK_PANEL,
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the engine.", show_default=False, rich_help_panel=NETWORK_PANEL),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Licence; written into every output. Default: unknown.",
            show_default=False,
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Regressor: side of the crop in pixels. Default: that of the file, else 112.",
            show_default=False,
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    crop_scale: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Regressor: side of the crop over the longer side of the face box. Default: 1.5.",
            show_default=False,
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    detector_size: Annotated[
        int | None,
        typer.Option(
            min=32,
            help="Detector: longest side of its input image in pixels.",
            show_default=False,
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER[,NUMBER,NUMBER]",
            help="Mean subtracted from each channel, of pixels 0..255: one number or three. Default: 127.5.",
            show_default=False,
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER[,NUMBER,NUMBER]",
            help="Standard deviation that each channel is then divided by. Default: 127.5.",
            show_default=False,
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    channels: Annotated[
        Channels | None,
        choice_option(
            Channels,
            help="Channel order of the network's input, and of --mean and --std. Default: RGB.",
            panel=INPUT_PANEL,
            show_default=False,
            metavar="ORDER",
        ),
    ] = None,
    num_outputs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Regressor: number of outputs. Default: 57.",
            show_default=False,
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    output_names: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Regressor: names of the outputs in their order: a file (one per line), a list with commas, "
            "or `numbered`. Default: the table's 57.",
            show_default=False,
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
) -> None:
    """Import a network of your own into an engine set; a set is a detector and a regressor.

    Outputs with ARKit's names become ARKit's columns, others become columns of their own.

    Example: facecap-batch engines import mine.onnx sets/mine --num-outputs 57
    """
    from facecap_batch.engines.description import describe_card, what_is_missing
    from facecap_batch.importing.kinds import import_engine
    from facecap_batch.importing.options import ImportOptions, channel_values
    from facecap_batch.importing.options import output_names as listed

    options = ImportOptions(
        role=_value(role),
        name=name,
        licence=licence,
        output_names=listed(output_names, num_outputs),
        variant=_value(variant),
        size=size,
        detector_size=detector_size,
        mean=channel_values(mean, "--mean"),
        std=channel_values(std, "--std"),
        channels=_value(channels),
        crop_scale=crop_scale,
    )
    for card in import_engine(source, folder, options, _value(kind)):
        print(describe_card(card))
    print(what_is_missing(folder))


def engines_build(
    name: EngineSetName = "default",
    backend: Annotated[
        list[PlanBackend] | None,
        choice_option(
            PlanBackend,
            "--backend",
            help="Backend; repeat for more. Default: tensorrt.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Build the TensorRT plans of a set for this machine's GPU, so that no run waits for them."""
    from facecap_batch.engines.registry import build_plans

    for plan in build_plans(name, [member.value for member in backend or [PlanBackend.tensorrt]]):
        what = "is there" if plan.existed else f"built in {plan.seconds:.0f} s"
        print(f"{plan.engine} on {plan.backend}: {what}: {plan.path}", flush=True)


def _value(choice: Enum | None) -> str | None:
    return None if choice is None else str(choice.value)
