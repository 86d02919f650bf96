"""A human head of our own making with ARKit's 52 shapes, built from numbers, derived from no other mesh."""

from __future__ import annotations

import functools
import threading

from facecap_batch.exporting.head.model import HeadModel, Material, Morph

_BUILDING = threading.Lock()


def head_model() -> HeadModel:
    """The packaged head; built at the first call in a process (about a second), then the same object. A call
    waits for another thread that is building it."""
    with _BUILDING:
        return _built()


@functools.cache
def _built() -> HeadModel:
    from facecap_batch.exporting.head.mesh import build_head

    return build_head()


__all__ = ["HeadModel", "Material", "Morph", "head_model"]
