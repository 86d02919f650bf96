"""The card of an engine: everything that is needed to run the file beside it, and to trust it.

In: a JSON card and the network file it names. Out: an `EngineCard`, checked field by field; `verify` compares
the file with the card's SHA-256. A card never travels without its file: both lie in one folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from facecap_batch.coefficients import ARKIT_NAMES, shape_names
from facecap_batch.engines.card_limits import (
    LEAST_STD,
    MAX_BATCH_BYTES,
    MAX_SIDE,
    BatchSizes,
    Channels,
    CheckedShape,
    Gain,
    Label,
    Names,
    Number,
    Outputs,
    Rest,
    Text,
    Version,
    setting_problems,
)
from facecap_batch.errors import EngineError, EngineMismatch
from facecap_batch.storage.documents import BadDocument, Plain, document_bytes, parsed
from facecap_batch.storage.publish import publish_bytes

ROLES = ("detector", "regressor")
LAYOUTS = ("NHWC", "NCHW")
CHANNELS = ("RGB", "BGR")
DTYPES = ("uint8", "float32")
# Whether a regressor's head outputs are relative to its crop (`geometry.head_pose` makes the table's columns
# of them) or are the table's columns already, radians and centimetres.
HEAD_FRAMES = ("crop", "camera")
AUXILIARY_OUTPUTS = ("landmarks", "presence", "hidden", "spread")  # of a regressor, beside its main output
BATCH = "N"  # how a card writes the batch axis
DEFAULT_BATCH_SIZES = (1, 8, 32)

Shape = tuple[int | str, ...]  # BATCH for the batch axis, whole numbers elsewhere

PLACES_IN_BF16 = "bf16-places"  # in EngineCard.judged_in


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """The input of a network.

    With dtype uint8 the graph normalises by itself and `mean`, `std` only record what it does; with float32
    the caller computes (value - mean) / std first (`batching.prepare_input`).
    """

    name: Label
    shape: CheckedShape  # (BATCH, H, W, 3) or (BATCH, 3, H, W); the largest, where `step` frees its sides
    dtype: str = "uint8"
    layout: str = "NHWC"
    channels: str = "RGB"  # the order in which `shape`'s colour axis is read
    mean: Channels = (0.0, 0.0, 0.0)  # per channel in `channels` order, 0..255
    std: Channels = (1.0, 1.0, 1.0)
    step: Annotated[int, Field(ge=0, le=MAX_SIDE)] = (
        0  # pixels; height and width may be any multiples of it up to `size`. 0: only `shape`
    )

    @property
    def size(self) -> int:
        """Longest side of an image, pixels."""
        return int(self.shape[1 if self.layout == "NHWC" else 2])

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to feed for an image of this height and width, neither longer than `size`."""
        if not self.step:
            return self.size, self.size
        return -(-height // self.step) * self.step, -(-width // self.step) * self.step

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether one item of this shape (no batch axis) can be fed."""
        if not self.step:
            return shape == self.shape[1:]
        free = (0, 1) if self.layout == "NHWC" else (1, 2)
        return len(shape) == 3 and all(
            0 < given <= largest and given % self.step == 0 if axis in free else given == largest
            for axis, (given, largest) in enumerate(zip(shape, map(int, self.shape[1:]), strict=True))
        )


@dataclasses.dataclass(frozen=True)
class EngineCard:
    """One network: its file, contract, licence, origin and measured quality."""

    name: Label
    role: str  # "detector" | "regressor"
    file: Label  # name of the ONNX file in the card's folder
    sha256: str  # hex, of the file
    licence: Text  # SPDX identifier, or the terms as text
    version: Version
    input: InputSpec
    outputs: Outputs
    output_names: Names = ()  # regressor: what the columns of its main output mean
    head_frame: str = "crop"  # regressor: see HEAD_FRAMES
    batch_sizes: BatchSizes = DEFAULT_BATCH_SIZES  # the only batch shapes ever run; others are padded
    postprocess: dict[Label, Number] = dataclasses.field(default_factory=dict)  # thresholds, crop_scale ...
    # Regressor: by which factor its movements are too small, measured on people that it was not trained on;
    # 1 where not named.
    gains: dict[Label, Gain] = dataclasses.field(default_factory=dict)
    # Regressor: its outputs for faces at rest, measured on such people; 0 where not named.
    rest: dict[Label, Rest] = dataclasses.field(default_factory=dict)
    architecture: dict[str, Plain] = dataclasses.field(default_factory=dict)  # network and its sizes
    training: dict[str, Plain] = dataclasses.field(default_factory=dict)  # data, command, seed
    quality: dict[str, Plain] = dataclasses.field(default_factory=dict)  # measured figures
    # Reduced precisions ("bf16") in which the figures were measured, too: "auto" may take backends of them.
    # With PLACES_IN_BF16 among them, also where a network looks may be found by bfloat16.
    judged_in: Names = ()
    # Where the card was read; not in the JSON.
    folder: Path = dataclasses.field(default=Path(), compare=False)

    @property
    def path(self) -> Path:
        """The network file."""
        return self.folder / self.file

    @property
    def main_output(self) -> str:
        """Of a regressor: the output whose columns `output_names` names."""
        others = [name for name in self.outputs if name not in AUXILIARY_OUTPUTS]
        return "outputs" if "outputs" in others else others[0]

    @property
    def landmarks(self) -> int:
        """Of a regressor: how many points of the face it gives as [N, points, 2]; 0 where it does not."""
        match self.outputs.get("landmarks"):
            case (_, int(points), 2):
                return points
        return 0

    def require_landmarks(self) -> None:
        """Raises EngineError where a regressor gives no landmarks."""
        if not self.landmarks:
            raise EngineError(
                f"landmarks are wanted, and regressor {self.name!r} has no output 'landmarks' of shape "
                f"['{BATCH}', points, 2]: take another engine set, or do without them"
            )

    def use_digest(self) -> str:
        """SHA-256 of what, besides the file, decides results: input, outputs, batches, thresholds, gains,
        rest, head frame, what may be found by bfloat16."""
        names = ("input", "outputs", "output_names", "batch_sizes", "postprocess", "gains", "rest")
        used = {name: value for name, value in dataclasses.asdict(self).items() if name in names}
        if self.head_frame != HEAD_FRAMES[0]:
            used["head_frame"] = self.head_frame
        if PLACES_IN_BF16 in self.judged_in:
            used["places_in_bf16"] = True
        return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The card as indented JSON, keys in a fixed order."""
        fields = dataclasses.asdict(self)
        del fields["folder"]
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str | bytes, folder: Path = Path()) -> EngineCard:
        """Parse a card; EngineError names the first fields that are missing, unknown or impossible."""
        content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        try:
            card = parsed(EngineCard, content, f"not an engine card ({folder})")
        except BadDocument as error:
            raise EngineError(str(error)) from error
        card = dataclasses.replace(card, folder=folder)
        _check_fields(card)
        return card

    def verify(self) -> None:
        """Compare the file with the card's hash; EngineError if absent, EngineMismatch if it differs."""
        if not self.path.is_file():
            raise EngineError(f"engine {self.name!r}: {self.path} is missing; restore it or import it again")
        found = sha256_of(self.path)
        if found != self.sha256:
            raise EngineMismatch(
                f"engine {self.name!r}: {self.path} has SHA-256 {found[:16]}…, its card says "
                f"{self.sha256[:16]}…; the file or the card was changed: restore both from where they came"
            )


def _check_fields(card: EngineCard) -> None:
    spec = card.input
    problems = [
        f"{what} is {value!r}, expected one of {allowed}"
        for what, value, allowed in (
            ("role", card.role, ROLES),
            ("head_frame", card.head_frame, HEAD_FRAMES),
            ("input.layout", spec.layout, LAYOUTS),
            ("input.channels", spec.channels, CHANNELS),
            ("input.dtype", spec.dtype, DTYPES),
        )
        if value not in allowed
    ]
    problems += _input_problems(card)
    if any(shape[0] != BATCH for shape in card.outputs.values()):
        problems.append(f"outputs must each begin with '{BATCH}'")
    problems += setting_problems(card.postprocess)
    problems += _role_problems(card)
    if Path(card.file).name != card.file or "\0" in card.file:
        problems.append(f"file is {card.file!r}, expected a plain name in the card's folder")
    if not card.name.isprintable():
        problems.append(f"name is {card.name!r}, expected a name that can be printed")
    if problems:
        raise EngineError(f"engine card {card.name!r}: " + "; ".join(problems))


def _input_problems(card: EngineCard) -> list[str]:
    """What is wrong with the images that are fed, alone and in batches."""
    spec = card.input
    if len(spec.shape) != 4 or spec.shape[0] != BATCH or not all(isinstance(n, int) for n in spec.shape[1:]):
        return [f"input.shape is {spec.shape}, expected ('{BATCH}', then three whole numbers)"]
    problems = []
    sides = [int(axis) for axis in (spec.shape[1:3] if spec.layout == "NHWC" else spec.shape[2:])]
    if (
        max(sides) > MAX_SIDE
        or len(set(sides)) > 1
        or math.prod(map(int, spec.shape[1:])) != 3 * sides[0] ** 2
    ):
        problems.append(f"input.shape is {spec.shape}, expected a square of 3 colours and {MAX_SIDE} at most")
    if spec.step and spec.size % spec.step:
        problems.append(f"input.step is {spec.step!r}, expected a divisor of {spec.size}, or 0")
    item = math.prod(map(int, spec.shape[1:])) * (1 if spec.dtype == "uint8" else 4)
    if max(card.batch_sizes) * item > MAX_BATCH_BYTES:
        problems.append(
            f"batch_sizes has {max(card.batch_sizes)}: more than {MAX_BATCH_BYTES >> 30} GiB of input"
        )
    if any(len(values) not in (1, 3) for values in (spec.mean, spec.std)):
        problems.append("input.mean and input.std are one number each, or three")
    if any(abs(value) < LEAST_STD for value in spec.std):
        problems.append(f"input.std is {spec.std}: the input is divided by it")
    return problems


def _role_problems(card: EngineCard) -> list[str]:
    """What is wrong with the outputs for what the engine is to do."""
    if card.role != "regressor":
        missing = [name for name in ("boxes", "scores") if name not in card.outputs]
        return [f"a detector needs the outputs {' and '.join(missing)}"] if missing else []
    if not [name for name in card.outputs if name not in AUXILIARY_OUTPUTS]:
        return [f"a regressor needs an output besides {', '.join(AUXILIARY_OUTPUTS)}"]
    problems = []
    shape, names = card.outputs[card.main_output], card.output_names
    if names and shape[1:] != (len(names),):
        problems.append(f"output_names names {len(names)} outputs, {card.main_output} is {list(shape)}")
    spread = ((len(ARKIT_NAMES),), (len(shape_names(names)),))  # the tongue's may be left out
    for name, allowed in (("presence", ((), (1,))), ("hidden", ((3,),)), ("spread", spread)):
        shape = card.outputs.get(name, (BATCH, *allowed[0]))
        if shape[1:] not in allowed:
            problems.append(f"{name} is {list(shape)}, expected {[BATCH, *allowed[0]]}")
    return problems


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else _sha256(file)
        )


def _sha256(file: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10 has no file_digest
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def read_card(path: Path) -> EngineCard:
    """Read a card; the network file is expected in its folder."""
    try:
        content = document_bytes(path)
    except (OSError, BadDocument) as error:
        raise EngineError(f"engine card {path} cannot be read: {error}") from error
    return EngineCard.from_json(content, path.parent)


def write_card(card: EngineCard, path: Path) -> EngineCard:
    """Hash the file the card names beside `path`, publish the card there, return it as read back."""
    card = dataclasses.replace(card, sha256=sha256_of(path.parent / card.file), folder=path.parent)
    publish_bytes(path, card.to_json().encode())
    return read_card(path)
