"""Knowledge distillation: predictions of engines for rendered crops, kept on disk for another one to learn.

In: a folder of ``faces_XXXX.npz`` and regressors of any kind. Out: beside each shard's name a
``faces_XXXX.npy``, float32 [n, 51]: the mean of their predictions for each crop and for its mirror image.
Labels hold what cannot be seen, too; of what can be seen several networks are surer than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from facecap_batch.capturing.regressor import Regressor
from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import CROP_SCALE
from facecap_batch.errors import EngineMismatch
from facecap_batch.storage.publish import published
from facecap_batch.training.mirror import MIRRORED_CHANNELS
from facecap_batch.training.rendering import dataset

BATCH = 32


def path_of(folder: Path, shard: Path) -> Path:
    """Where in `folder` the predictions for `shard` are kept."""
    return folder / f"{shard.stem}.npy"


def taught(folder: Path, shards: Sequence[Path]) -> list[Path]:
    """Those of `shards` that `folder` holds predictions for.

    Raises FileNotFoundError where there is none.
    """
    found = [shard for shard in shards if path_of(folder, shard).exists()]
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no predictions for the shards of {shards[0].parent}; make some with `distill`"
        )
    return found


def predictions(teachers: Sequence[Regressor], image: np.ndarray) -> np.ndarray:
    """Of crops, uint8 [n, S, S, 3] RGB: float32 [n, 51], 0..1.

    Raises EngineMismatch for a teacher that takes other crops or has no output for some of the 51.
    """
    for teacher in teachers:
        if teacher.crop_scale != CROP_SCALE:
            raise EngineMismatch(
                f"{teacher.engine.card.name} takes crops of {teacher.crop_scale:g} times the face, these "
                f"have {CROP_SCALE:g}: it cannot teach"
            )
    total = np.zeros((len(image), len(ARKIT_NAMES)))
    for teacher in teachers:
        for start in range(0, len(image), BATCH):
            rows = slice(start, start + BATCH)
            crops = list(dataset.resized(image[rows], teacher.size))
            plain = teacher.read(crops).coefficients
            mirror = teacher.read([cv2.flip(crop, 1) for crop in crops]).coefficients
            total[rows] += plain[:, : len(ARKIT_NAMES)] + mirror[:, list(MIRRORED_CHANNELS)]
    if not np.isfinite(total).all():
        names = ", ".join(teacher.engine.card.name for teacher in teachers)
        raise EngineMismatch(f"not all of {names} have an output for each of the 51 coefficients")
    return (total / (2 * len(teachers))).astype(np.float32)


def distill(teachers: Sequence[Regressor], data: Path, output: Path) -> int:
    """Write the predictions of `teachers` for every shard of `data` that `output` lacks; return how many.

    Raises EngineMismatch, as `predictions`, and FileNotFoundError where `data` has no shards.
    """
    shards = [path for path in dataset.face_shards(data) if not path_of(output, path).exists()]
    for shard in shards:
        with published(path_of(output, shard)) as temporary, temporary.open("wb") as file:
            np.save(file, predictions(teachers, dataset.load_faces(shard).image))
    return len(shards)
