"""ONNX files without a card: the card is made from the file and the user's options, and tried.

In: an ONNX file, `ImportOptions`. Out: a set's engine. A detector gives ``boxes`` [N, P, 4] (x0 y0 x1 y1,
pixels of its input) and ``scores`` [N, P] (0..1), under any names; a regressor one number per name, and, if
it has them, ``presence`` [N], ``landmarks`` [N, P, 2] and ``hidden`` [N, 3] under these names. A file that a
card cannot describe is an error, and so is a file that does not do what its card promises.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.batching import prepare_input
from facecap_batch.engines.cards import (
    AUXILIARY_OUTPUTS,
    BATCH,
    DEFAULT_BATCH_SIZES,
    EngineCard,
    InputSpec,
    Shape,
    sha256_of,
    write_card,
)
from facecap_batch.engines.default_crop import CROP_SCALE
from facecap_batch.engines.output_columns import head_frame_of
from facecap_batch.engines.registry import open_engine
from facecap_batch.errors import BackendUnavailable, EngineError, install_hint
from facecap_batch.importing.options import ImportOptions, as_flags
from facecap_batch.importing.published_weights import import_onnx

TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
DETECTOR_BATCHES = (1, 8)  # its images are large
DETECTOR_CONTRACT = (
    "a detector gives boxes [N, P, 4] (x0 y0 x1 y1, pixels of its input) and scores [N, P] (0..1), decoded "
    "inside the graph"
)
ONLY_FOR = {"detector": {"detector_size"}, "regressor": {"size", "output_names", "crop_scale"}}
MAX_NORMALISED = 2.0  # boxes that reach no further, in pixels, are fractions of the image


@dataclasses.dataclass(frozen=True)
class Port:
    """One input or output of an ONNX file."""

    name: str
    kind: str  # "tensor(float)" …
    shape: tuple[Any, ...]  # whole numbers; a name, or None, where an axis is free

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {list(self.shape)}"


def import_bare_onnx(file: Path, folder: Path, options: ImportOptions) -> EngineCard:
    """Make the ONNX network `file` an engine in `folder`.

    Args:
        file: an ONNX file with one input, the image.
        folder: the set's folder.
        options: what the file does not say of itself.

    Returns:
        The card that was written beside the copy of the file.

    Raises:
        EngineError: a card cannot describe the file, `options` contradict it, or it fails when it is tried.
        BackendUnavailable: onnxruntime is not installed; or onnx, where outputs must be renamed.
    """
    inputs, outputs = _ports(file)
    if len(inputs) != 1:
        raise EngineError(
            f"{file} has {len(inputs)} inputs ({_listed(inputs)}); an engine has one: the image"
        )
    role = options.role or _role(file, outputs)
    if unused := options.given() & ONLY_FOR["regressor" if role == "detector" else "detector"]:
        raise EngineError(
            f"{file} is a {role}: {as_flags(unused)} does not apply to it; leave it out, or set --role"
        )
    spec = _input(file, inputs[0], role, options)
    batch = inputs[0].shape[0]
    common: dict[str, Any] = {
        "name": options.name or file.stem,
        "role": role,
        "file": f"{role}.onnx",
        "sha256": "",
        "licence": options.licence or "unknown",
        "version": "1",
        "input": spec,
        "training": {"imported_from": file.name, "file_sha256": sha256_of(file)},
    }
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch)
        sizes = (batch,) if isinstance(batch, int) else DEFAULT_BATCH_SIZES
        if role == "detector":
            boxes, scores = _detections(file, outputs)
            _copy_renamed(file, trial / "detector.onnx", {boxes.name: "boxes", scores.name: "scores"})
            common["outputs"] = {"boxes": _free(boxes), "scores": _free(scores)}
            common["batch_sizes"] = sizes if isinstance(batch, int) else DETECTOR_BATCHES
        else:
            (trial / "regressor.onnx").write_bytes(file.read_bytes())
            common |= _regression(file, outputs, options)
            common["batch_sizes"] = sizes
        card = write_card(EngineCard(**common), trial / f"{role}.json")
        card = _try_out(file, card, isinstance(batch, int))
        write_card(card, trial / f"{role}.json")
        return import_onnx(trial / f"{role}.json", folder)


def _ports(file: Path) -> tuple[list[Port], list[Port]]:
    if not file.is_file():
        raise EngineError(f"{file} is not there")
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable(f"importing {file.name} needs onnxruntime: {install_hint('cpu')}") from error
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # its own lines come back as the error's text
    try:
        session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own, undocumented, classes
        raise EngineError(f"{file} is no ONNX network that ONNX Runtime loads: {error}") from error
    inputs, outputs = (
        [Port(port.name, port.type, tuple(port.shape)) for port in ports]
        for ports in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs


def _listed(ports: list[Port]) -> str:
    return ", ".join(map(str, ports))


def _role(file: Path, outputs: list[Port]) -> str:
    ranks = {len(port.shape) for port in outputs}
    if any(len(port.shape) == 3 and port.shape[2] == 4 for port in outputs) and len(outputs) > 1:
        return "detector"
    if 2 in ranks:
        return "regressor"
    raise EngineError(
        f"{file}: its outputs ({_listed(outputs)}) are neither a regressor's, [N, count], nor a detector's: "
        f"{DETECTOR_CONTRACT}"
    )


def _input(file: Path, port: Port, role: str, options: ImportOptions) -> InputSpec:
    if port.kind not in TYPES or len(port.shape) != 4 or 3 not in (port.shape[1], port.shape[3]):
        raise EngineError(
            f"{file}: its input is {port}; an engine takes colour images, uint8 or float32, [N, 3, H, W] or "
            f"[N, H, W, 3]"
        )
    layout = "NCHW" if port.shape[1] == 3 else "NHWC"
    sides = port.shape[2:] if layout == "NCHW" else port.shape[1:3]
    option, wanted = (
        ("--detector-size", options.detector_size) if role == "detector" else ("--size", options.size)
    )
    fixed = {side for side in sides if isinstance(side, int)}
    if len(fixed) > 1:
        raise EngineError(f"{file}: its input is {port}; images of an engine are square")
    if not fixed and wanted is None:
        raise EngineError(f"{file}: its input {port} leaves the size open: set it with {option}")
    size = fixed.pop() if fixed else int(wanted or 0)
    if wanted not in (None, size):
        raise EngineError(f"{file}: its input is {port}, not of the {wanted} pixels of {option}")
    dtype = TYPES[port.kind]
    if dtype == "uint8" and (options.mean or options.std):
        raise EngineError(f"{file} takes uint8 and normalises by itself: leave --mean and --std out")
    return InputSpec(
        port.name,
        (BATCH, 3, size, size) if layout == "NCHW" else (BATCH, size, size, 3),
        dtype,
        layout,
        options.channels or "RGB",
        options.mean or ((127.5,) * 3 if dtype == "float32" else (0.0,) * 3),
        options.std or ((127.5,) * 3 if dtype == "float32" else (1.0,) * 3),
    )


def _detections(file: Path, outputs: list[Port]) -> tuple[Port, Port]:
    boxes = [port for port in outputs if len(port.shape) == 3 and port.shape[2] == 4]
    scores = [port for port in outputs if len(port.shape) == 2]
    if len(boxes) != 1 or len(scores) != 1:
        raise EngineError(f"{file}: {DETECTOR_CONTRACT}; this one gives {_listed(outputs)}")
    return boxes[0], scores[0]


def _regression(file: Path, outputs: list[Port], options: ImportOptions) -> dict[str, Any]:
    """The fields of the card that describe a regressor's outputs."""
    main = [port for port in outputs if len(port.shape) == 2 and port.name not in AUXILIARY_OUTPUTS]
    if len(main) > 1:
        main = [port for port in main if port.name == "outputs"]
    if len(main) != 1:
        raise EngineError(
            f"{file}: a regressor has one output [N, count], or one of them is called outputs; this one "
            f"gives {_listed(outputs)}"
        )
    names = options.output_names or OUTPUT_NAMES
    count = main[0].shape[1]
    if isinstance(count, int) and count != len(names):
        raise EngineError(
            f"{file}: its output {main[0].name} has {count} numbers, not {len(names)}; set --num-outputs "
            f"{count} and --output-names with a name for each"
        )
    beside = [port for port in outputs if port.name in AUXILIARY_OUTPUTS]
    shapes: dict[str, Shape] = {
        main[0].name: (BATCH, len(names)),
        **{port.name: _free(port) for port in beside},
    }
    return {
        "outputs": shapes,
        "output_names": tuple(names),
        "head_frame": head_frame_of(names, str(file)),
        "postprocess": {"crop_scale": options.crop_scale or CROP_SCALE},
    }


def _free(port: Port) -> Shape:
    """A port's shape as cards write it: a free batch axis, a name for other axes that depend on the input."""
    return (BATCH, *(axis if isinstance(axis, int) else "P" for axis in port.shape[1:]))


def _copy_renamed(file: Path, target: Path, names: dict[str, str]) -> None:
    """Copy `file` to `target` with its outputs renamed; byte by byte where they have those names already."""
    if all(before == after for before, after in names.items()):
        target.write_bytes(file.read_bytes())
        return
    try:
        import onnx
    except ImportError as error:
        raise BackendUnavailable(
            f"{file}: its outputs are called {', '.join(names)}, not {', '.join(names.values())}; renaming "
            f"them needs onnx: pip install onnx"
        ) from error
    model = onnx.load(str(file))
    for entry in model.graph.output:
        if after := names.get(entry.name):
            model.graph.node.append(onnx.helper.make_node("Identity", [entry.name], [after]))
            entry.name = after
    onnx.save(model, str(target))


def _try_out(file: Path, card: EngineCard, fixed_batch: bool) -> EngineCard:
    """`card` with the batch sizes that the file really takes; EngineError where the card is wrong."""
    size = card.input.size
    noise = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    image = prepare_input(card, noise)
    try:
        _check_outputs(file, open_engine(card).run(image), card)
    except EngineError:
        raise
    except Exception as error:  # a runtime's own classes
        raise EngineError(f"{file} fails on an image as its input describes it: {error}") from error
    if fixed_batch:
        return card
    try:  # a free batch axis is often a promise that a Reshape inside does not keep
        outputs = open_engine(card).run(np.repeat(image, max(card.batch_sizes), axis=0))
        kept = all(len(values) == max(card.batch_sizes) for values in outputs.values())
    except Exception:
        kept = False
    return card if kept else dataclasses.replace(card, batch_sizes=(1,))


def _check_outputs(file: Path, outputs: Mapping[str, np.ndarray], card: EngineCard) -> None:
    for name, values in outputs.items():
        if values.dtype != np.float32:
            raise EngineError(f"{file}: its output {name} is {values.dtype}; outputs are float32")
        if not np.isfinite(values).all():
            raise EngineError(f"{file}: its output {name} holds values that are not finite")
    if card.role == "detector":
        boxes, scores = outputs["boxes"], outputs["scores"]
        if scores.size and not 0 <= scores.min() <= scores.max() <= 1:
            raise EngineError(
                f"{file}: its scores reach from {scores.min():g} to {scores.max():g}; {DETECTOR_CONTRACT}"
            )
        if boxes.size and np.abs(boxes).max() <= MAX_NORMALISED:
            raise EngineError(f"{file}: its boxes reach {np.abs(boxes).max():g} at most; {DETECTOR_CONTRACT}")
        if boxes.shape[1] != scores.shape[1]:
            raise EngineError(f"{file}: it gives {boxes.shape[1]} boxes and {scores.shape[1]} scores")
    elif len(card.output_names) != outputs[card.main_output].shape[1]:
        raise EngineError(
            f"{file}: its output has {outputs[card.main_output].shape[1]} numbers, not "
            f"{len(card.output_names)}"
        )
