"""MakeHuman's targets: how far each vertex of the base mesh hm08 moves.

In: ``.target`` files, plain or gzipped: a line per vertex, its number and its way in decimetres, comments
after ``#``. Out: `Target`.
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

    def rows(self, row: np.ndarray, count: int) -> np.ndarray:
        """The target over a part of the mesh: float64 [count, 3], decimetres.

        row: int [vertices of the base mesh], the part's row of each vertex, -1 where it is left out.
        """
        full = np.zeros((count, 3))
        there = row[self.vertex]
        full[there[there >= 0]] = self.delta[there >= 0]
        return full


def read_target(path: Path, vertices: int) -> Target:
    """The target in `path` for a base mesh of so many `vertices`.

    Raises ValueError naming the file and the line where it is not one.
    """
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    index, delta = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            vertex, x, y, z = int(words[0]), *(float(word) for word in words[1:])
        except (ValueError, TypeError):
            raise ValueError(f"{path}, line {number}: not 'vertex dx dy dz': {line.strip()}") from None
        if not 0 <= vertex < vertices:
            raise ValueError(f"{path}, line {number}: the base mesh has no vertex {vertex}")
        index.append(vertex)
        delta.append((x, y, z))
    return Target(np.array(index, np.int64), np.array(delta, np.float64).reshape(-1, 3))


def stem(path: Path) -> str:
    """A target's name: the file's without ``.target`` or ``.target.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".target")
