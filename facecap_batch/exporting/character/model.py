"""What a character is: nodes at rest, morph targets and expressions by name, and the file they came from.

`file` makes it from a GLB or VRM; `mapping` finds a rig's channels on it; `writer` adds an animation to it.
"""

from __future__ import annotations

import dataclasses

from facecap_batch.exporting.gltf.binary import Json
from facecap_batch.storage.publish import StoragePath


@dataclasses.dataclass(frozen=True)
class Target:
    """A morph target of one node."""

    node: int  # a node with a mesh
    morph: int  # number of the target in the mesh
    weight: float = 1.0  # of the target where the name's value is 1


@dataclasses.dataclass(frozen=True)
class Node:
    """A node at rest."""

    name: str
    parent: int | None
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]  # x y z w
    scale: tuple[float, float, float]
    has_matrix: bool  # the file gives the three as one matrix


@dataclasses.dataclass(frozen=True, eq=False)
class Character:
    """What can be moved, and the file it came from."""

    path: StoragePath
    document: Json  # as read; not to be changed
    binary: bytes
    nodes: tuple[Node, ...]
    morphs: dict[str, tuple[Target, ...]]  # morph targets by name
    # VRM's expressions by preset or custom name; those of 0.x by 1.0's names, too.
    expressions: dict[str, tuple[Target, ...]]
    weights: dict[int, tuple[float, ...]]  # node with morph targets -> their weights at rest
    humanoid: dict[str, int]  # VRM's bones: name -> node
    vrm: str | None  # "1.0", "0.x", None for a plain GLB

    def targets(self, name: str) -> tuple[Target, ...]:
        """What a name stands for: morph targets called so, else VRM's expression, else ()."""
        return self.morphs.get(name) or self.expressions.get(name, ())

    def names(self) -> frozenset[str]:
        """Every name that `targets` knows."""
        return frozenset((*self.morphs, *self.expressions))
