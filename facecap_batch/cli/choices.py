"""The values that options choose from: enums, their error messages, their shell completion.

In: what the user typed. Out: a member of an enum, or an error that names the nearest values. The enums repeat
names that rooms below own, because ``--help`` must not import those rooms; a test holds the two together.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, TypeVar

import typer

Choice = TypeVar("Choice", bound=Enum)


class TextEnum(str, Enum):
    """Members whose text is their value (Python 3.11's StrEnum): typer before 0.29 finds them by it."""

    def __str__(self) -> str:
        return str(self.value)


class Backend(TextEnum):
    """What runs the engines: `engines.registry.BACKENDS`, and the choice among them."""

    auto = "auto"
    tensorrt = "tensorrt"
    tensorrt_fp16 = "tensorrt-fp16"
    tensorrt_int8 = "tensorrt-int8"
    onnxruntime_cuda = "onnxruntime-cuda"
    onnxruntime_cpu = "onnxruntime-cpu"
    openvino = "openvino"
    openvino_bf16 = "openvino-bf16"
    torch_cuda = "torch-cuda"
    torch = "torch"


class PlanBackend(TextEnum):
    """The backends that have plans to build."""

    tensorrt = "tensorrt"
    tensorrt_fp16 = "tensorrt-fp16"
    tensorrt_int8 = "tensorrt-int8"


class Format(TextEnum):
    """What `export` writes: `exporting.formats.EXPORTERS`."""

    fbx = "fbx"
    livelink = "livelink"
    glb = "glb"
    usd = "usd"
    bvh = "bvh"
    vmd = "vmd"
    csv = "csv"
    json = "json"
    openface = "openface"


class Layout(TextEnum):
    """How `plot` puts several clips into one picture."""

    overlaid = "overlaid"
    stacked = "stacked"


class Hwaccel(TextEnum):
    """Whether the GPU decodes: `video.options.HardwareDecoding`."""

    none = "none"
    auto = "auto"
    cuda = "cuda"


class Calibrate(TextEnum):
    """Where rest and blinks come from: `solve.settings.Calibrate`."""

    card = "card"
    actor = "actor"


class Kind(TextEnum):
    """What a file of a network is: `importing.kinds.KINDS`."""

    faceboxes = "faceboxes"
    mobilenetv3 = "mobilenetv3"
    onnx = "onnx"
    card = "card"
    mediapipe = "mediapipe"


class Role(TextEnum):
    """What a network does in a set: `engines.cards.ROLES`."""

    detector = "detector"
    regressor = "regressor"


class Variant(TextEnum):
    """Which MobileNetV3: `importing.options.VARIANTS`."""

    small = "small"
    large = "large"


class Channels(TextEnum):
    """The order of a pixel's channels: `engines.cards.CHANNELS`."""

    RGB = "RGB"
    BGR = "BGR"


def choice_option(
    choices: type[Choice],
    *flags: str,
    help: str,
    panel: str | None = None,
    leave_out: Collection[Choice] = (),
    **more: Any,
) -> Any:
    """A typer option that takes one value of `choices`.

    Args:
        choices: the enum; its values are what the user types.
        flags: names of the option; by default typer derives one from the parameter.
        help: the help text; the values are appended to it.
        panel: heading in ``--help`` under which the option is listed.
        leave_out: members that this option does not take.
        more: further arguments of `typer.Option`.
    """
    values = [str(member.value) for member in choices if member not in leave_out]
    return typer.Option(
        *flags,
        help=f"{help} One of: {', '.join(values)}.",
        parser=_parser(choices, values),
        metavar=more.pop("metavar", "NAME"),
        autocompletion=lambda: values,
        rich_help_panel=panel,
        **more,
    )


def closest(text: str, values: list[str]) -> list[str]:
    """The members of `values` that `text` may stand for, the likeliest first; none where nothing is near."""
    containing = [value for value in values if text and text.lower() in value.lower()]
    return containing or difflib.get_close_matches(text.lower(), values, n=2)


def _parser(choices: type[Choice], values: list[str]) -> Callable[[Any], Choice]:
    def parse(value: Any) -> Choice:
        if isinstance(value, choices):  # typer passes defaults through here, too
            return value
        if value in values:
            return choices(value)
        near = closest(str(value), values)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(values)}."
        raise typer.BadParameter(f"{value!r} is unknown. {hint}")

    return parse
