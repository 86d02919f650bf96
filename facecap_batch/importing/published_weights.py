"""Weights in public layouts, and ONNX files with a card, made into engines.

In: a weights file in a public layout, or an ONNX file with a card. Out: an ONNX file and a card in an engine
folder. `kinds` decides which importer a file gets. Torch is imported only when weights are.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec, read_card, sha256_of, write_card
from facecap_batch.engines.default_crop import CROP, CROP_SCALE, POINTS
from facecap_batch.engines.output_columns import head_frame_of, output_columns
from facecap_batch.engines.registry import open_engine
from facecap_batch.errors import EngineError
from facecap_batch.importing.options import Channels
from facecap_batch.importing.weights import fit, load_state
from facecap_batch.storage.publish import publish_bytes

if TYPE_CHECKING:
    from torch import Tensor

# The public FaceBoxes weights were trained on BGR images less this mean (RGB order here), no further scaling.
FACEBOXES_MEAN_RGB = (123.0, 117.0, 104.0)
# Its training accepted faces from 20 px at 1024 px; 640 px sees faces from about 1/32 of the image.
FACEBOXES_SIZE = 640
MOBILENET_SIZE = 112
# By the number of the last block; the first is 0.
MOBILENET_BLOCKS: dict[int, Literal["small", "large"]] = {12: "small", 16: "large"}
MOBILENET_LAST = "head.3.weight"  # of the layer that gives the outputs
TORCHVISION_EPSILON = 1e-3  # of its MobileNetV3's batch normalisation


def detector_card(name: str, size: int, anchors: int | str, **fields: Any) -> EngineCard:
    """The card of a detector of the default contract.

    Args:
        name: the engine's name.
        size: pixels, side of its input.
        anchors: how many boxes it gives, or a name where that depends on the image.
        fields: further fields of `EngineCard`, instead of the defaults.
    """
    defaults: dict[str, Any] = {
        "file": "detector.onnx",
        "sha256": "",
        "licence": "unknown",
        "version": "1",
        "input": InputSpec("image", (BATCH, size, size, 3)),
        "outputs": {"boxes": (BATCH, anchors, 4), "scores": (BATCH, anchors)},
        "batch_sizes": (1, 8),
        "postprocess": {"score_threshold": 0.5, "nms_iou": 0.3},
    }
    return EngineCard(name=name, role="detector", **{**defaults, **fields})


def regressor_card(name: str, **fields: Any) -> EngineCard:
    """The card of a regressor of the default contract; `fields` of `EngineCard` instead of the defaults."""
    defaults: dict[str, Any] = {
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
    return EngineCard(name=name, role="regressor", **{**defaults, **fields})


def import_faceboxes(
    weights: Path, folder: Path, size: int = FACEBOXES_SIZE, name: str = "faceboxes", licence: str = "unknown"
) -> EngineCard:
    """Export FaceBoxes weights of the public PyTorch layout to `folder` as a detector.

    Args:
        weights: the ``.pth`` file.
        folder: the set's folder.
        size: pixels, longest side of the images that it is run on.
        name, licence: written into the card.

    Returns:
        The card.

    Raises:
        EngineError: the weights are not FaceBoxes' (missing and superfluous names are listed), or `size` is
            smaller than its coarsest stride.
    """
    state = load_state(weights)
    from facecap_batch.importing.networks.faceboxes import FaceBoxes, FaceBoxesDetector
    from facecap_batch.importing.networks.onnx_export import export_onnx

    network = FaceBoxes()
    fit(network, state, weights, "FaceBoxes weights")
    least = network.strides[-1]
    if size < least:
        raise EngineError(f"FaceBoxes needs images of at least {least} pixels, not {size}")
    detector = FaceBoxesDetector(network, size, FACEBOXES_MEAN_RGB, (1.0, 1.0, 1.0), bgr=True)
    card = detector_card(
        name,
        size,
        "P" if network.step(size) else len(network.anchors(size, size)),
        licence=licence,
        input=InputSpec("image", (BATCH, size, size, 3), mean=FACEBOXES_MEAN_RGB, step=network.step(size)),
        architecture={"network": "FaceBoxes", "width": 1.0, "stem_stride": 4},
        training=_origin(weights),
    )
    return export_onnx(detector, card, folder)


def import_mobilenetv3(
    weights: Path,
    folder: Path,
    output_names: Sequence[str] = OUTPUT_NAMES,
    variant: str | None = None,
    size: int = MOBILENET_SIZE,
    name: str = "mobilenetv3",
    licence: str = "unknown",
    mean: Channels = (127.5, 127.5, 127.5),
    std: Channels = (127.5, 127.5, 127.5),
    channels: str = "RGB",
    crop_scale: float = CROP_SCALE,
) -> EngineCard:
    """Export a MobileNetV3 regressor with one output per name of `output_names` to `folder`.

    Args:
        weights: a ``.pth`` file with the parameter names of `networks.mobilenetv3` or of torchvision.
        folder: the set's folder.
        output_names: one name per output, in their order.
        variant: "small" or "large", to be checked; None where the weights decide.
        size: pixels, side of its crop.
        name, licence: written into the card.
        mean, std: 0..255, in the order of `channels`: the normalisation that it was trained with.
        channels: "RGB" or "BGR", the order that it was trained with.
        crop_scale: side of the crop over the longer side of the face box.

    Returns:
        The card.

    Raises:
        EngineError: the weights are of another network, or have another number of outputs.
    """
    state = load_state(weights)
    head_frame = head_frame_of(output_names, f"regressor {name!r}")
    import torch

    from facecap_batch.importing.networks.mobilenetv3 import MobileNetV3
    from facecap_batch.importing.networks.onnx_export import ScaledPixels, export_onnx

    public = any(key.startswith("classifier.") for key in state)
    if public:
        state = _from_torchvision(state)
    found = _variant(state, variant, weights)
    what = f"a MobileNetV3-{found} with {len(output_names)} outputs"
    last = state.get(MOBILENET_LAST)
    if last is not None and len(last) != len(output_names):
        raise EngineError(
            f"{weights} does not hold {what}: it has {len(last)}; set --num-outputs {len(last)} and "
            f"--output-names with a name for each"
        )
    network = MobileNetV3(found, len(output_names))
    fit(network, state, weights, what)
    if public:
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.eps = TORCHVISION_EPSILON
    if channels == "BGR":  # the engine is fed RGB: its first layer's colours change places
        first = next(layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d))
        first.weight.data = first.weight.data.flip(1)
        mean, std = mean[::-1], std[::-1]
    card = regressor_card(
        name,
        licence=licence,
        input=InputSpec("crop", (BATCH, size, size, 3), mean=mean, std=std),
        outputs={"outputs": (BATCH, len(output_names))},
        output_names=tuple(output_names),
        head_frame=head_frame,
        postprocess={"crop_scale": crop_scale},
        architecture={"network": "MobileNetV3", "variant": found, "trained_on": channels},
        training=_origin(weights),
    )
    return export_onnx(ScaledPixels(network, mean, std), card, folder)


def _origin(weights: Path) -> dict[str, str]:
    return {"imported_from": weights.name, "weights_sha256": sha256_of(weights)}


def _from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameter names of torchvision's MobileNetV3 as ours; the layers are the same and in the same order."""
    renamed = {}
    for key, value in state.items():
        key = key.replace(".block.", ".layers.").replace(".fc1.", ".reduce.").replace(".fc2.", ".expand.")
        renamed[key.replace("classifier.", "head.")] = value
    return renamed


def _variant(state: dict[str, Tensor], wanted: str | None, weights: Path) -> Literal["small", "large"]:
    """Small or large, by the number of blocks; EngineError where it is neither, or not as `wanted`."""
    blocks = [int(found[1]) for key in state if (found := re.match(r"features\.(\d+)\.", key))]
    variant = MOBILENET_BLOCKS.get(max(blocks, default=-1))
    if variant is None:
        instead = f"it has {max(blocks) + 1} blocks" if blocks else f"it begins with {next(iter(state))}"
        raise EngineError(
            f"{weights} does not hold MobileNetV3 weights of torchvision's layout (features.0.0.weight …, "
            f"classifier.3.bias; 13 blocks small, 17 large): {instead}"
        )
    if wanted not in (None, variant):
        raise EngineError(f"{weights} holds a MobileNetV3-{variant}, not -{wanted}: leave --variant out")
    return variant


def import_onnx(
    card: Path,
    folder: Path,
    name: str | None = None,
    licence: str | None = None,
    crop_scale: float | None = None,
) -> EngineCard:
    """Copy any ONNX network with its card to `folder`, under the names of a set.

    Args:
        card: the card's JSON file; its network lies beside it.
        folder: the set's folder.
        name, licence, crop_scale: replace the card's own.

    Returns:
        The new card.

    Raises:
        EngineError: no backend runs the network, or `crop_scale` is given for a detector.
        EngineMismatch: card and network do not belong together.
    """
    given = read_card(card)
    if given.output_names:
        output_columns(given.output_names, str(card))
    engine = open_engine(given)
    shape = (1, *(int(axis) for axis in given.input.shape[1:]))
    engine.run(np.zeros(shape, given.input.dtype))
    if crop_scale is not None and given.role != "regressor":
        raise EngineError(f"{card} is the card of a {given.role}: it has no crop to scale")
    scale = {} if crop_scale is None else {"crop_scale": crop_scale}
    given = dataclasses.replace(
        given,
        name=name or given.name,
        licence=licence or given.licence,
        postprocess={**given.postprocess, **scale},
    )
    publish_bytes(folder / f"{given.role}.onnx", given.path.read_bytes())
    return write_card(dataclasses.replace(given, file=f"{given.role}.onnx"), folder / f"{given.role}.json")
