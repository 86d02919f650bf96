"""Other people's networks, made into engines of ours.

In: a weights file in a public layout, or an ONNX file with a card. Out: an ONNX file and a card in an engine
folder. Weights are read with ``weights_only=True``: nothing in a file is ever executed. Torch is imported
only when something is imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.backends import open_engine
from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec, read_card, sha256_of, write_card
from facecap_batch.errors import BackendUnavailable, EngineError
from facecap_batch.networks.crop_layout import CROP, CROP_SCALE, POINTS
from facecap_batch.storage import publish_bytes

# The public FaceBoxes weights were trained on BGR images less this mean (RGB order here), no further scaling.
FACEBOXES_MEAN_RGB = (123.0, 117.0, 104.0)
# Its training accepted faces from 20 px at 1024 px; 640 px sees faces from about 1/32 of the image.
FACEBOXES_SIZE = 640
TORCHVISION_EPSILON = 1e-3  # of its MobileNetV3's batch normalisation


def detector_card(name: str, size: int, anchors: int | str, **fields: object) -> EngineCard:
    """The card of a detector of the default contract; `fields` are further fields of `EngineCard`.

    anchors: how many boxes it gives, or a name where that depends on the image.
    """
    defaults: dict[str, object] = {
        "file": "detector.onnx",
        "sha256": "",
        "licence": "unknown",
        "version": "1",
        "input": InputSpec("image", (BATCH, size, size, 3)),
        "outputs": {"boxes": (BATCH, anchors, 4), "scores": (BATCH, anchors)},
        "batch_sizes": (1, 8),
        "postprocess": {"score_threshold": 0.5, "nms_iou": 0.3},
    }
    return EngineCard(name=name, role="detector", **{**defaults, **fields})  # type: ignore[arg-type]


def regressor_card(name: str, **fields: object) -> EngineCard:
    """The card of a regressor of the default contract; `fields` are further fields of `EngineCard`."""
    defaults: dict[str, object] = {
        "file": "regressor.onnx",
        "sha256": "",
        "licence": "unknown",
        "version": "1",
        "input": InputSpec("crop", (BATCH, CROP, CROP, 3)),
        "outputs": {
            "outputs": (BATCH, len(OUTPUT_NAMES)),
            "landmarks": (BATCH, POINTS, 2),
            "presence": (BATCH,),
        },
        "output_names": OUTPUT_NAMES,
        "postprocess": {"crop_scale": CROP_SCALE},
    }
    return EngineCard(name=name, role="regressor", **{**defaults, **fields})  # type: ignore[arg-type]


def load_state(path: Path) -> dict:
    """The state dict in a ``.pth``, wherever common training scripts nest it, less ``module.`` prefixes."""
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailable(
            "importing .pth weights needs torch: pip install 'facecap-batch[torch]'"
        ) from error
    try:
        state = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip and runtime errors alike
        raise EngineError(f"{path} is not a weights file that can be read safely: {error}") from error
    for nest in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(nest), dict):
            state = state[nest]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise EngineError(f"{path} holds no state dict")
    return {name.removeprefix("module."): value for name, value in state.items()}


def import_faceboxes(
    weights: Path, folder: Path, size: int = FACEBOXES_SIZE, name: str = "faceboxes", licence: str = "unknown"
) -> EngineCard:
    """Export FaceBoxes weights of the public PyTorch layout to `folder` as a detector; return its card.

    Raises EngineError where the weights are not FaceBoxes' (every missing or superfluous name is told).
    """
    state = load_state(weights)
    from facecap_batch.networks.faceboxes import FaceBoxes, FaceBoxesDetector
    from facecap_batch.networks.onnx_export import export_onnx

    network = FaceBoxes()
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EngineError(f"{weights} does not hold FaceBoxes weights: {error}") from error
    detector = FaceBoxesDetector(network, size, FACEBOXES_MEAN_RGB, (1.0, 1.0, 1.0), bgr=True)
    card = detector_card(
        name,
        size,
        "P" if network.step(size) else len(network.anchors(size, size)),
        licence=licence,
        input=InputSpec("image", (BATCH, size, size, 3), mean=FACEBOXES_MEAN_RGB, step=network.step(size)),
        architecture={"network": "FaceBoxes", "width": 1.0, "stem_stride": 4},
        training={"imported_from": weights.name, "weights_sha256": sha256_of(weights)},
    )
    return export_onnx(detector, card, folder)


def import_mobilenetv3(
    weights: Path,
    folder: Path,
    output_names: Sequence[str],
    variant: str = "small",
    size: int = 112,
    name: str = "mobilenetv3",
    licence: str = "unknown",
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5),
    std: tuple[float, float, float] = (127.5, 127.5, 127.5),
) -> EngineCard:
    """Export a MobileNetV3 regressor with one output per name of `output_names` to `folder`; return its card.

    `weights` has the parameter names of `networks.mobilenetv3` or of torchvision; `mean` and `std` (RGB,
    0..255) are what it was trained with. Raises EngineError where the weights are of another network.
    """
    state = load_state(weights)
    import torch

    from facecap_batch.networks.mobilenetv3 import MobileNetV3
    from facecap_batch.networks.onnx_export import ScaledPixels, export_onnx

    network = MobileNetV3(variant, len(output_names))  # type: ignore[arg-type]
    if any(key.startswith("classifier.") for key in state):
        state = _from_torchvision(state)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.eps = TORCHVISION_EPSILON
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EngineError(
            f"{weights} does not hold a MobileNetV3-{variant} with {len(output_names)} outputs: {error}"
        ) from error
    card = EngineCard(
        name=name,
        role="regressor",
        file="regressor.onnx",
        sha256="",
        licence=licence,
        version="1",
        input=InputSpec("crop", (BATCH, size, size, 3), mean=mean, std=std),
        outputs={"outputs": (BATCH, len(output_names))},
        output_names=tuple(output_names),
        architecture={"network": "MobileNetV3", "variant": variant},
        training={"imported_from": weights.name, "weights_sha256": sha256_of(weights)},
    )
    return export_onnx(ScaledPixels(network, mean, std), card, folder)


def _from_torchvision(state: dict) -> dict:
    """Parameter names of torchvision's MobileNetV3 as ours; the layers are the same and in the same order."""
    renamed = {}
    for key, value in state.items():
        key = key.replace(".block.", ".layers.").replace(".fc1.", ".reduce.").replace(".fc2.", ".expand.")
        renamed[key.replace("classifier.", "head.")] = value
    return renamed


def import_onnx(card: Path, folder: Path) -> EngineCard:
    """Copy any ONNX network with its card to `folder`, under the names of a set; return the new card.

    Raises EngineError or EngineMismatch where card and file do not belong together or no backend runs them.
    """
    given = read_card(card)
    engine = open_engine(given)
    shape = (1, *(int(axis) for axis in given.input.shape[1:]))
    engine.run(np.zeros(shape, given.input.dtype))
    publish_bytes(folder / f"{given.role}.onnx", given.path.read_bytes())
    return write_card(dataclasses.replace(given, file=f"{given.role}.onnx"), folder / f"{given.role}.json")
