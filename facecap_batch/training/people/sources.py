"""What people are rendered from: folders of third-party files, read once and cached.

In: ICT-FaceKit's ``FaceXModel`` and, if there is one, a folder of MakeHuman's files. Out: a `Rig`, the head
of a family with what makes people of it. The cache folder is to be emptied when the code that reads these
files changes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from facecap_batch.training.people import (
    head_model,
    hm08_head,
    ict_head,
    identities,
    registration,
    skins,
)
from facecap_batch.training.people.rig import Rig
from facecap_batch.training.rendering.expressions import read_take

FAMILIES = ("ict", "hm08")


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where the files are."""

    ict: Path  # ICT-FaceKit's FaceXModel
    makehuman: Path | None  # layout in `skins` and `hm08_head`; None: all skin is procedural, no hm08
    cache: Path  # folder for what is read from them
    takes: Path | None = None  # folder of Live Link Face CSV files that faces are taken from, too

    def load(self, family: str = "ict") -> Rig:
        """The rig of a family of `FAMILIES`. Raises ValueError where its files are not given."""
        return {"ict": self._ict, "hm08": self._hm08}[family]()

    def _reference(self) -> head_model.HeadModel:
        return head_model.load(self.cache / "head_model.npz", lambda: ict_head.build(self.ict))

    def _ict(self) -> Rig:
        model = self._reference()
        worn = None
        if self.makehuman is not None:
            worn = skins.load(self.makehuman, model, registration.register, self.cache / "skins.npz")
        return Rig(model, identities.ict, worn)

    def _hm08(self) -> Rig:
        makehuman = self.makehuman
        if makehuman is None:
            raise ValueError("hm08 is MakeHuman's head: its folder is needed")
        model = head_model.load(
            self.cache / "hm08_model.npz", lambda: hm08_head.build(makehuman, self._reference())
        )
        worn = skins.load(makehuman, model, hm08_head.lay, self.cache / "hm08_skins.npz")
        return Rig(model, identities.hm08, worn)

    def performances(self) -> np.ndarray | None:
        """The rows of all takes, float32 [N, 51], where there are any."""
        if self.takes is None:
            return None
        files = sorted(self.takes.glob("*.csv"))
        if not files:
            raise FileNotFoundError(f"{self.takes} holds no Live Link Face take (*.csv)")
        return np.concatenate([read_take(path) for path in files])
