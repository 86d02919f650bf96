"""Which importer a file gets: by its kind as the user names it, by its suffix, or by the parameters in it.

In: a file (or a set's name, for one of its engines), the folder of the new set, `ImportOptions`. Out: the
cards of the engines that were made. A further kind of file is one more entry of KINDS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facecap_batch.engines.cards import ROLES, EngineCard
from facecap_batch.engines.sets import available_sets, is_shipped, load_set
from facecap_batch.errors import EngineError
from facecap_batch.importing.mediapipe.importer import import_mediapipe
from facecap_batch.importing.onnx_file import import_bare_onnx
from facecap_batch.importing.options import ImportOptions, as_flags
from facecap_batch.importing.published_weights import import_faceboxes, import_mobilenetv3, import_onnx
from facecap_batch.importing.weights import load_state

WEIGHTS = (".pth", ".pt", ".ckpt", ".bin")  # all of them pickles of torch: their parameters' names decide


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file that engines are made of."""

    suffixes: tuple[str, ...]
    make: Callable[[Path, Path, ImportOptions], tuple[EngineCard, ...]]
    used_options: frozenset[str]  # fields of ImportOptions that its importer uses
    parameter: str = ""  # weights: name of a parameter that no other kind has


def _given(options: ImportOptions) -> dict[str, Any]:
    """The options that were given, as keyword arguments of an importer."""
    return {field: getattr(options, field) for field in options.given()}


def _faceboxes(source: Path, folder: Path, options: ImportOptions) -> tuple[EngineCard, ...]:
    arguments = _given(options)
    if options.detector_size is not None:
        arguments["size"] = arguments.pop("detector_size")
    return (import_faceboxes(source, folder, **arguments),)


def _mobilenetv3(source: Path, folder: Path, options: ImportOptions) -> tuple[EngineCard, ...]:
    return (import_mobilenetv3(source, folder, **_given(options)),)


def _onnx(source: Path, folder: Path, options: ImportOptions) -> tuple[EngineCard, ...]:
    return (import_bare_onnx(source, folder, options),)


def _card(source: Path, folder: Path, options: ImportOptions) -> tuple[EngineCard, ...]:
    return (import_onnx(source, folder, **_given(options)),)


def _mediapipe(source: Path, folder: Path, options: ImportOptions) -> tuple[EngineCard, ...]:
    return import_mediapipe(source, folder, **_given(options))


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
    source: str, folder: Path, options: ImportOptions, kind: str | None = None
) -> tuple[EngineCard, ...]:
    """Make `source` one engine, or more, of the set in `folder`.

    Args:
        source: a file; or the name or the folder of an engine set, of which the engine of `options.role` is
            taken.
        folder: the set's folder; made where there is none.
        options: what the file does not say of itself.
        kind: a key of KINDS; None where the file decides.

    Returns:
        The cards of the engines that were written.

    Raises:
        EngineError: the file is of no known kind, its kind has no use for an option that was given, or its
            importer refuses it.
        BackendUnavailable: a package that the importer needs is not installed.
    """
    if kind is not None and kind not in KINDS:
        raise EngineError(f"there is no kind {kind!r} of network; kinds: {', '.join(KINDS)}")
    if is_shipped(folder):
        raise EngineError(f"{folder} came with facecap-batch and stays as it is: name a folder of your own")
    path = Path(source)
    if not path.is_file() and (path.is_dir() or source in available_sets()):
        if options.role not in ROLES:
            raise EngineError(
                f"{source} is an engine set: choose one of its engines with --role {' or '.join(ROLES)}"
            )
        path = load_set(source).folder / f"{options.role}.json"
        options = dataclasses.replace(options, role=None)
    if not path.is_file():
        raise EngineError(
            f"{source} is neither a file nor an engine set; sets here: {', '.join(available_sets())}"
        )
    kind = kind or kind_of(path)
    if unused := options.given() - KINDS[kind].used_options:
        raise EngineError(
            f"{path}: {as_flags(unused)} does not apply to a network of the kind {kind}: leave it out"
        )
    return KINDS[kind].make(path, folder, options)


def kind_of(path: Path) -> str:
    """The key of KINDS that `path` belongs to.

    Raises:
        EngineError: it belongs to none, or its weights cannot be read safely.
    """
    suffix = path.suffix.lower()
    fitting = [name for name, kind in KINDS.items() if suffix in kind.suffixes]
    if not fitting:
        known = sorted({suffix for kind in KINDS.values() for suffix in kind.suffixes})
        raise EngineError(f"{path}: networks come as {', '.join(known)}; name another one's kind with --kind")
    if len(fitting) == 1:
        return fitting[0]
    state = load_state(path)
    for name in fitting:
        if KINDS[name].parameter in state:
            return name
    raise EngineError(
        f"{path} holds the weights of no known network ({', '.join(fitting)}): it begins with "
        f"{', '.join(list(state)[:3])}. Any network can be imported as ONNX: torch.onnx.export"
    )
