"""What a user says of a network that its file does not say: names, sizes, normalisation, licence.

In: options as typed. Out: `ImportOptions`, checked as far as that goes without the file; what was not said is
None, and each importer has a default of its own.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.cards import CHANNELS, ROLES
from facecap_batch.engines.output_columns import output_columns
from facecap_batch.errors import EngineError

VARIANTS = ("small", "large")
NUMBERED = "numbered"  # instead of names: output0, output1, …

Channels = tuple[float, float, float]  # of a pixel's three values, 0..255


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """See `engines import --help`; None where nothing was said."""

    role: str | None = None  # "detector" | "regressor"
    name: str | None = None
    licence: str | None = None
    output_names: tuple[str, ...] | None = None
    variant: str | None = None  # of MobileNetV3: "small" | "large"
    size: int | None = None  # pixels, side of a regressor's crop
    detector_size: int | None = None  # pixels, longest side of the picture that a detector is shown
    mean: Channels | None = None  # in `channels` order
    std: Channels | None = None
    channels: str | None = None  # "RGB" | "BGR"
    crop_scale: float | None = None  # side of the crop over the longer side of the face box

    def __post_init__(self) -> None:
        for field, allowed in (("role", ROLES), ("variant", VARIANTS), ("channels", CHANNELS)):
            if getattr(self, field) not in (None, *allowed):
                raise EngineError(f"--{field} {getattr(self, field)}: one of {', '.join(allowed)}")

    def said(self) -> set[str]:
        """Names of the fields in which something was said."""
        return {field.name for field in dataclasses.fields(self) if getattr(self, field.name) is not None}


def output_names(names: str | None, count: int | None) -> tuple[str, ...] | None:
    """Names of `count` outputs: of a file (one a line, or commas), a list with commas, or "numbered".

    Without names, 57 outputs are the table's own, in its order; None where neither is said. Raises
    EngineError where the names are not `count`, or make no table.
    """
    if names is None:
        if count is None:
            return None
        if count != len(OUTPUT_NAMES):
            raise EngineError(
                f"{count} outputs need names: --output-names FILE (one a line) or a list with commas, in the "
                f"order of the outputs; ARKit's names become ARKit's columns, others columns of their own. "
                f"--output-names {NUMBERED} calls them output0 to output{count - 1}"
            )
        return OUTPUT_NAMES
    if names == NUMBERED:
        if count is None:
            raise EngineError(f"--output-names {NUMBERED} needs --num-outputs")
        return tuple(f"output{number}" for number in range(count))
    listed = _listed(names)
    output_columns(listed, "--output-names")
    if count is not None and count != len(listed):
        raise EngineError(f"--output-names names {len(listed)} outputs, --num-outputs says {count}")
    return listed


def _listed(names: str) -> tuple[str, ...]:
    path = Path(names)
    if "," not in names and path.suffix and not path.is_file():
        raise EngineError(f"--output-names: there is no file {names}")
    if "," in names or not path.is_file():
        return tuple(name.strip() for name in names.split(","))
    try:
        lines = path.read_text(encoding="utf-8-sig").replace(",", "\n").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"--output-names: {path} cannot be read: {error}") from error
    return tuple(name.strip() for name in lines if name.strip())


def channel_values(text: str | None, option: str) -> Channels | None:
    """One number or three with commas, as three numbers 0..255; EngineError where it is not so."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) == 1:
        values *= 3
    if len(values) != 3 or not all(0 <= value <= 255 for value in values):
        raise EngineError(f"{option} {text}: one number or three with commas, each 0..255")
    fraction = min(values) < 1 if option == "--std" else 0 < max(values) <= 1
    if fraction:
        larger = ",".join(f"{255 * value:g}" for value in values)
        raise EngineError(f"{option} {text}: pixels are 0..255 here; of 0..1 this is {option} {larger}")
    return values[0], values[1], values[2]
