"""Other people's networks, made into engines of ours.

In: a weights file in a public layout. Out: an ONNX file and a card in an engine folder. Weights are read with
``weights_only=True``: nothing in a file is ever executed. Torch is imported only when something is imported.
"""

from __future__ import annotations

from pathlib import Path

from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec, sha256_of
from facecap_batch.errors import BackendUnavailable, EngineError

# The public FaceBoxes weights were trained on BGR images less this mean (RGB order here), no further scaling.
FACEBOXES_MEAN_RGB = (123.0, 117.0, 104.0)
# Its training accepted faces from 20 px at 1024 px; 640 px sees faces from about 1/32 of the image.
FACEBOXES_SIZE = 640


def detector_card(name: str, size: int, anchors: int, **fields: object) -> EngineCard:
    """The card of a detector of the default contract; `fields` are further fields of `EngineCard`."""
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
        len(network.anchors(size, size)),
        licence=licence,
        input=InputSpec("image", (BATCH, size, size, 3), mean=FACEBOXES_MEAN_RGB),
        architecture={"network": "FaceBoxes", "width": 1.0, "stem_stride": 4},
        training={"imported_from": weights.name, "weights_sha256": sha256_of(weights)},
    )
    return export_onnx(detector, card, folder)
