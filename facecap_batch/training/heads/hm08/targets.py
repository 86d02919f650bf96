"""MakeHuman's targets: how far each vertex of the base mesh hm08 moves.

In: ``.target`` files, plain or gzipped: a line for each vertex, its number and its displacement in
decimetres, comments after ``#``. Out: `Target`.
"""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Target:
    """A sparse displacement of the base mesh."""

    vertex: np.ndarray  # int64 [N]
    delta: np.ndarray  # float64 [N, 3], decimetres

    def full(self, vertices: int) -> np.ndarray:
        """The displacement of every vertex of a base mesh of so many: float64 [vertices, 3], decimetres."""
        displacement = np.zeros((vertices, 3))
        displacement[self.vertex] = self.delta
        return displacement


def read_target(path: Path, vertices: int) -> Target:
    """The target in `path` for a base mesh of so many `vertices`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no target; the message names the file and the line.
    """
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    index, delta = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            vertex, (x, y, z) = int(words[0]), map(float, words[1:])
        except ValueError:
            raise ValueError(f"{path}, line {number}: not 'vertex dx dy dz': {line.strip()}") from None
        if not 0 <= vertex < vertices:
            raise ValueError(f"{path}, line {number}: the base mesh has no vertex {vertex}")
        index.append(vertex)
        delta.append((x, y, z))
    return Target(np.array(index, np.int64), np.array(delta, np.float64).reshape(-1, 3))


def find_target(folder: Path, name: str) -> Path:
    """The file of the target `name` in `folder`: packed where there is one, else plain."""
    packed = folder / f"{name}.target.gz"
    return packed if packed.exists() else folder / f"{name}.target"


def stem(path: Path) -> str:
    """A target's name: the file's without ``.target`` or ``.target.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".target")
