"""A human head of our own making with ARKit's 52 shapes, built from numbers, derived from no other mesh."""

from __future__ import annotations

import functools

from facecap_batch.exporting.head.model import HeadModel, Material, Morph


@functools.cache
def head_model() -> HeadModel:
    """The packaged head; built at the first call in a process (about a second), then the same object."""
    from facecap_batch.exporting.head.mesh import build_head

    return build_head()


__all__ = ["HeadModel", "Material", "Morph", "head_model"]
