"""What a user tells of a network that its file does not: names, sizes, normalisation, licence.

In: options as typed. Out: `ImportOptions`, checked as far as that is possible without the file. An option
that was not given is None, and each importer has a default of its own for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
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
    """The options of `engines import`; None where one was not given."""

    role: str | None = None  # "detector" | "regressor"
    name: str | None = None
    licence: str | None = None
    output_names: tuple[str, ...] | None = None
    variant: str | None = None  # of MobileNetV3: "small" | "large"
    size: int | None = None  # pixels, side of a regressor's crop
    detector_size: int | None = None  # pixels, longest side of a detector's input
    mean: Channels | None = None  # in `channels` order
    std: Channels | None = None
    channels: str | None = None  # "RGB" | "BGR"
    crop_scale: float | None = None  # side of the crop over the longer side of the face box

    def __post_init__(self) -> None:
        for field, allowed in (("role", ROLES), ("variant", VARIANTS), ("channels", CHANNELS)):
            if getattr(self, field) not in (None, *allowed):
                raise EngineError(f"--{field} {getattr(self, field)}: one of {', '.join(allowed)}")

    def given(self) -> set[str]:
        """Names of the fields that were given."""
        return {field.name for field in dataclasses.fields(self) if getattr(self, field.name) is not None}


def as_flags(fields: Iterable[str]) -> str:
    """Fields of `ImportOptions` as a user types them: "--crop-scale, --size"."""
    return ", ".join(f"--{field.replace('_', '-')}" for field in sorted(fields))


def output_names(names: str | None, count: int | None) -> tuple[str, ...] | None:
    """The names of a network's outputs.

    Args:
        names: a file with one name a line (or commas), a list with commas, or "numbered".
        count: how many outputs there are.

    Returns:
        One name per output. Without `names`, 57 outputs have the table's own, in its order; None without
        both.

    Raises:
        EngineError: the number of names is not `count`, or a table cannot have them as columns.
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
        raise EngineError(f"--output-names names {len(listed)} outputs, --num-outputs is {count}")
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
    """Three numbers, 0..255, of `text`: one number for all channels, or three with commas.

    Raises:
        EngineError: `text` is something else, or seems to be meant for pixels 0..1.
    """
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
