"""A family of heads: what people are made from.

In: a head model, its sampler of identities and photographic skins. Out: a `Rig`, which `appearance.person`
makes people of.
"""

from __future__ import annotations

import dataclasses
import enum

from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.people.identities import Sampler
from facecap_batch.training.people.skins import Skins


class Family(str, enum.Enum):
    """Families of heads that there are."""

    ict = "ict"  # ICT-FaceKit
    hm08 = "hm08"  # MakeHuman


@dataclasses.dataclass(frozen=True)
class Rig:
    """One mesh with one set of shapes, and many people."""

    model: HeadModel
    identity: Sampler
    skins: Skins | None = None  # None: all skin is procedural
