"""A family of heads: what people are made from."""

from __future__ import annotations

import dataclasses

from facecap_batch.training.people.head_model import HeadModel
from facecap_batch.training.people.identities import Sampler
from facecap_batch.training.people.skins import Skins


@dataclasses.dataclass(frozen=True)
class Rig:
    """One mesh with one set of shapes, and many people."""

    model: HeadModel
    identity: Sampler
    skins: Skins | None = None  # None: all skin is procedural
