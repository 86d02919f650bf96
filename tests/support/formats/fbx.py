"""FBX: key times from the file's records by a parser of our own, values from ufbx."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import shape_names
from tests.support.fbx_readers import find, parse, quaternion_matrices, read_back
from tests.support.formats.seen import Seen

TICKS_PER_SECOND = 46_186_158_000


def read_fbx(path: Path) -> Seen:
    objects = find(parse(path.read_bytes())[0], "Objects")[2]
    times = [find(node[2], "KeyTime")[1][0] for node in objects if node[0] == "AnimationCurve"]
    seconds = max(times, key=len) / TICKS_PER_SECOND  # the joint's rotation has a key on every frame
    with tempfile.TemporaryDirectory() as folder:
        seen = read_back(path, seconds, Path(folder))
    names = [str(name) for name in seen["names"]]
    assert names == list(shape_names(names))
    return Seen(
        seconds=seconds,
        channels=dict(zip(names, seen["weights"].astype(np.float64), strict=True)),
        rotation=quaternion_matrices(seen["rotation"]),
        position=seen["translation"],
    )
