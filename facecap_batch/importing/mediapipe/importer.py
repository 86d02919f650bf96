"""MediaPipe's Face Landmarker as an engine set.

In: ``face_landmarker.task``. Out: a folder with ``detector`` and ``regressor``, each an ONNX file and its
card.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec, sha256_of, write_card
from facecap_batch.errors import EngineError
from facecap_batch.importing.mediapipe.graphs import (
    ANCHORS,
    CROP_SIZE,
    DETECTOR_SIZE,
    POINTS,
    detector_model,
    regressor_model,
)
from facecap_batch.importing.mediapipe.task_bundle import (
    BLENDSHAPES,
    DETECTOR,
    GEOMETRY,
    LANDMARKS,
    read_task,
)
from facecap_batch.storage.publish import publish_bytes

# What graphs raise whose operators, tensors and shapes contradict each other.
_DAMAGE = (ArithmeticError, LookupError, MemoryError, TypeError, ValueError)
LICENCE = "Apache-2.0"  # of the bundle, by its model cards
# Side of a crop over the longer side of its box: what the landmark network is shown, and a quarter more, for
# a box that lies off and a head that is turned.
CROP_SCALE = 1.9
# More than two faces at once fall out of a CPU core's cache and take longer each; the large one is for GPUs.
BATCH_SIZES = (1, 2, 32)


def import_mediapipe(source: Path, folder: Path, name: str = "mediapipe") -> tuple[EngineCard, EngineCard]:
    """Convert a bundle to the detector and the regressor of an engine set.

    Args:
        source: ``face_landmarker.task``.
        folder: the set's folder.
        name: the engines are called `name`-detector and `name`-regressor.

    Returns:
        The cards of the detector and of the regressor.

    Raises:
        EngineError: `source` is no such bundle, or holds an operator that cannot be converted.
        BackendUnavailable: the packages of the extra ``import`` are not installed.
    """
    task = read_task(source)
    try:
        models = {"detector": detector_model(task), "regressor": regressor_model(task)}
    except _DAMAGE as error:
        raise EngineError(f"{source} holds networks that do not fit: {error!r}") from error
    common: dict[str, Any] = {"sha256": "", "licence": LICENCE, "version": "1", "batch_sizes": BATCH_SIZES}
    origin = {"imported_from": source.name, "task_sha256": sha256_of(source)}
    detector = EngineCard(
        name=f"{name}-detector",
        role="detector",
        file="detector.onnx",
        input=InputSpec(
            "image", (BATCH, DETECTOR_SIZE, DETECTOR_SIZE, 3), mean=(127.5,) * 3, std=(127.5,) * 3
        ),
        outputs={"boxes": (BATCH, ANCHORS, 4), "scores": (BATCH, ANCHORS)},
        postprocess={"score_threshold": 0.5, "nms_iou": 0.3},
        architecture={"network": "BlazeFace short range", "parts": [DETECTOR]},
        training=origin,
        **common,
    )
    regressor = EngineCard(
        name=f"{name}-regressor",
        role="regressor",
        file="regressor.onnx",
        input=InputSpec("crop", (BATCH, CROP_SIZE, CROP_SIZE, 3), std=(255.0,) * 3),
        outputs={
            "outputs": (BATCH, len(OUTPUT_NAMES)),
            "landmarks": (BATCH, POINTS, 2),
            "presence": (BATCH,),
        },
        output_names=OUTPUT_NAMES,
        postprocess={"crop_scale": CROP_SCALE, "presence_threshold": 0.5},
        architecture={
            "network": "MediaPipe Face Landmarker",
            "parts": [DETECTOR, LANDMARKS, BLENDSHAPES, GEOMETRY],
        },
        training=origin,
        **common,
    )
    cards = []
    for card in (detector, regressor):
        publish_bytes(folder / card.file, models[card.role])
        cards.append(write_card(card, folder / f"{card.role}.json"))
    return cards[0], cards[1]
