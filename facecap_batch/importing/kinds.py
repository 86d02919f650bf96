"""Which importer a file gets: by what the user says, by its suffix, or by the parameters in it.

In: a file (or a set's name, for one of its engines), the folder of the set to be, `ImportOptions`. Out: the
cards of the engines that were made. A further kind of file is one more entry of KINDS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from facecap_batch.engines.cards import ROLES, EngineCard
from facecap_batch.engines.sets import available_sets, is_shipped, load_set
from facecap_batch.errors import EngineError
from facecap_batch.importing.mediapipe.importer import import_mediapipe
from facecap_batch.importing.onnx_file import import_bare_onnx
from facecap_batch.importing.options import ImportOptions
from facecap_batch.importing.published_weights import import_faceboxes, import_mobilenetv3, import_onnx
from facecap_batch.importing.weights import load_state

WEIGHTS = (".pth", ".pt", ".ckpt", ".bin")  # all of them pickles of torch: their parameters' names decide


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file that engines are made of."""

    suffixes: tuple[str, ...]
    make: Callable[[Path, Path, ImportOptions], tuple[EngineCard, ...]]
    heeds: frozenset[str]  # fields of ImportWishes that mean something for it
    parameter: str = ""  # weights: what a parameter is called that no other kind has


def _said(wishes: ImportOptions, **fields: str) -> dict[str, object]:
    """An importer's arguments from what was said; `fields`: argument=field where the two differ in name."""
    argument_of = {field: argument for argument, field in fields.items()}
    return {argument_of.get(field, field): getattr(wishes, field) for field in wishes.said()}


def _faceboxes(source: Path, folder: Path, wishes: ImportOptions) -> tuple[EngineCard, ...]:
    return (import_faceboxes(source, folder, **_said(wishes, size="detector_size")),)  # type: ignore[arg-type]


def _mobilenetv3(source: Path, folder: Path, wishes: ImportOptions) -> tuple[EngineCard, ...]:
    return (import_mobilenetv3(source, folder, **_said(wishes)),)  # type: ignore[arg-type]


def _onnx(source: Path, folder: Path, wishes: ImportOptions) -> tuple[EngineCard, ...]:
    return (import_bare_onnx(source, folder, wishes),)


def _card(source: Path, folder: Path, wishes: ImportOptions) -> tuple[EngineCard, ...]:
    return (import_onnx(source, folder, **_said(wishes)),)  # type: ignore[arg-type]


def _mediapipe(source: Path, folder: Path, wishes: ImportOptions) -> tuple[EngineCard, ...]:
    return import_mediapipe(source, folder, **_said(wishes))  # type: ignore[arg-type]


_NAMED = frozenset({"name", "licence"})
_FED = _NAMED | {"output_names", "size", "mean", "std", "channels", "crop_scale"}
KINDS: dict[str, Kind] = {
    "faceboxes": Kind(WEIGHTS, _faceboxes, _NAMED | {"detector_size"}, "conv3_1.conv.weight"),
    "mobilenetv3": Kind(WEIGHTS, _mobilenetv3, _FED | {"variant"}, "features.0.0.weight"),
    "onnx": Kind((".onnx",), _onnx, _FED | {"role", "detector_size"}),
    "card": Kind((".json",), _card, _NAMED | {"crop_scale"}),
    "mediapipe": Kind((".task",), _mediapipe, frozenset({"name"})),
}


def import_engine(
    source: str, folder: Path, wishes: ImportOptions, kind: str | None = None
) -> tuple[EngineCard, ...]:
    """Make `source` one engine, or more, of the set in `folder`; return their cards.

    `source` is a file, or the name or folder of a set whose `wishes.role` is taken. Raises EngineError where
    the file is of no known kind, where `wishes` mean nothing for its kind, and as the kind's importer.
    """
    if kind is not None and kind not in KINDS:
        raise EngineError(f"there is no kind {kind!r} of network; kinds: {', '.join(KINDS)}")
    if is_shipped(folder):
        raise EngineError(f"{folder} came with facecap-batch and stays as it is: name a folder of your own")
    path = Path(source)
    if not path.is_file() and (path.is_dir() or source in available_sets()):
        if wishes.role not in ROLES:
            raise EngineError(f"{source} is an engine set: say with --role which of it, {' or '.join(ROLES)}")
        path = load_set(source).folder / f"{wishes.role}.json"
        wishes = dataclasses.replace(wishes, role=None)
    if not path.is_file():
        raise EngineError(
            f"{source} is neither a file nor an engine set; sets here: {', '.join(available_sets())}"
        )
    kind = kind or kind_of(path)
    if idle := sorted(wishes.said() - KINDS[kind].heeds):
        options = ", ".join(f"--{field.replace('_', '-')}" for field in idle)
        raise EngineError(f"{path}: {options} means nothing for a network of the kind {kind}: leave it out")
    return KINDS[kind].make(path, folder, wishes)


def kind_of(path: Path) -> str:
    """The key of KINDS that `path` belongs to. Raises EngineError where there is none."""
    suffix = path.suffix.lower()
    fitting = [name for name, kind in KINDS.items() if suffix in kind.suffixes]
    if not fitting:
        known = sorted({suffix for kind in KINDS.values() for suffix in kind.suffixes})
        raise EngineError(f"{path}: networks come as {', '.join(known)}; or say with --kind what it is")
    if len(fitting) == 1:
        return fitting[0]
    state = load_state(path)
    for name in fitting:
        if KINDS[name].parameter in state:
            return name
    raise EngineError(
        f"{path} holds the weights of no network that is known ({', '.join(fitting)}): it begins with "
        f"{', '.join(list(state)[:3])}. Any network can be brought as ONNX: torch.onnx.export"
    )
