"""The values that fields of a card may have: types and bounds, and why there are bounds.

In: fields as others write them. Out: types that `storage.documents` checks them by, and what is wrong with
settings. Numbers stay as they are written, 16 or 16.0: they are part of fingerprints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import Field, WrapValidator

MAX_SIDE = 8192  # pixels of an image that is fed; larger ones are scaled down before
MAX_AXIS = 1 << 24  # entries of one axis of an output: boxes of a detector are some 100,000 at most
MAX_AXES = 8
MAX_OUTPUTS = 64
MAX_NAMES = 4096  # outputs of a regressor; each becomes a column
MAX_BATCH = 1024  # items; a batch is held in memory, and padded to its size
MAX_BATCHES = 16  # sizes of batches; for each one TensorRT builds a profile
MAX_BATCH_BYTES = 2 << 30  # of input
MAX_NUMBER = 1e6  # of any setting; pixels have values up to 255
MAX_GAIN = 100.0
MAX_LABEL = 200  # characters of a name or a version
MAX_TEXT = 100_000  # characters of a licence
LEAST_STD = 1e-6  # the input is divided by it

# Settings that steps know by name: what they may be.
SETTINGS: dict[str, tuple[float, float]] = {
    "score_threshold": (0, 1),
    "presence_threshold": (0, 1),
    "hidden_threshold": (0, 1),
    "nms_iou": (0, 1),
    "top_k": (1, 10_000),
    "crop_scale": (0.1, 10),  # beyond it there is no face in the crop, or it is a few pixels large
    "nominal_u": (-2, 2),  # halves of a crop
    "nominal_v": (-2, 2),
    "nominal_s": (-10, 10),  # logarithm of centimetres
}


def _as_written(value: float, check: Callable[[float], float]) -> float:
    check(value)
    return value


_AsWritten = WrapValidator(_as_written)
Number = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER), _AsWritten]
Gain = Annotated[float, Field(gt=0, le=MAX_GAIN), _AsWritten]
Rest = Annotated[float, Field(ge=0, lt=1), _AsWritten]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
Version = Annotated[str, Field(max_length=MAX_LABEL)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Channels = Annotated[tuple[Number, ...], Field(min_length=1, max_length=3)]
Axis = Annotated[int, Field(ge=1, le=MAX_AXIS)] | Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
CheckedShape = Annotated[tuple[Axis, ...], Field(min_length=1, max_length=MAX_AXES)]
Outputs = Annotated[dict[Label, CheckedShape], Field(min_length=1, max_length=MAX_OUTPUTS)]
Names = Annotated[tuple[Label, ...], Field(max_length=MAX_NAMES)]
BatchSizes = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_BATCH)], ...], Field(min_length=1, max_length=MAX_BATCHES)
]


def setting_problems(settings: Mapping[str, float]) -> list[str]:
    """What is wrong with the settings that steps know; others are nobody's business."""
    return [
        f"postprocess.{name} is {settings[name]}, expected {least:g} to {most:g}"
        for name, (least, most) in SETTINGS.items()
        if name in settings and not least <= settings[name] <= most
    ]
