"""What engines say of rendered crops, kept on disk, so that another one can learn from it.

In: a folder of ``faces_XXXX.npz`` and regressor engines of any kind. Out: beside each shard's name a
``faces_XXXX.npy``, float32 [n, 51]: the mean of what all of them say of each crop and of its mirror image.
Labels tell what cannot be seen, too; of what can be seen several networks are surer than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.engine import Engine
from facecap_batch.storage import published
from facecap_batch.synthesis import dataset

BATCH = 32


def mirrored_name(name: str) -> str:
    """Of the coefficient that a mirror shows instead."""
    if name.endswith("Left"):
        return name[: -len("Left")] + "Right"
    return name[: -len("Right")] + "Left" if name.endswith("Right") else name


MIRRORED_CHANNELS = tuple(ARKIT_NAMES.index(mirrored_name(name)) for name in ARKIT_NAMES)


def path_of(folder: Path, shard: Path) -> Path:
    """Where in `folder` it is kept what was said of `shard`."""
    return folder / f"{shard.stem}.npy"


def said(engines: Sequence[Engine], image: np.ndarray) -> np.ndarray:
    """Of crops, uint8 [n, CROP, CROP, 3] RGB: float32 [n, 51]."""
    total = np.zeros((len(image), len(ARKIT_NAMES)))
    for engine in engines:
        for start in range(0, len(image), BATCH):
            rows = slice(start, start + BATCH)
            plain, mirror = (
                engine.run(np.ascontiguousarray(crops))[engine.card.main_output][:, : len(ARKIT_NAMES)]
                for crops in (image[rows], image[rows, :, ::-1])
            )
            total[rows] += plain + mirror[:, list(MIRRORED_CHANNELS)]
    return (total / (2 * len(engines))).astype(np.float32)


def teach(engines: Sequence[Engine], data: Path, output: Path) -> int:
    """Write what `engines` say of every shard of `data` that `output` has nothing of; how many there were."""
    shards = [path for path in sorted(data.glob("faces_*.npz")) if not path_of(output, path).exists()]
    for shard in shards:
        with published(path_of(output, shard)) as temporary, temporary.open("wb") as file:
            np.save(file, said(engines, dataset.load_faces(shard).image))
    return len(shards)
