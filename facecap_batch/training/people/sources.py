"""What people are rendered from: folders of third-party files, read once and cached.

In: ICT-FaceKit's ``FaceXModel`` and, if there is one, a folder of MakeHuman's files. Out: a `Rig`, the head
of a family with what makes people of it. Empty the cache folder when the code that reads these files
changes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from facecap_batch.training.heads import head_model, ict_head, registration
from facecap_batch.training.heads.hm08 import head as hm08_head
from facecap_batch.training.heads.hm08 import texture as hm08_texture
from facecap_batch.training.heads.makehuman import FOLDER_ADVICE
from facecap_batch.training.heads.source_files import MissingSource
from facecap_batch.training.people import identities, skins
from facecap_batch.training.people.rig import Family, Rig
from facecap_batch.training.people.takes import read_take


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where the files are."""

    ict: Path  # ICT-FaceKit's FaceXModel
    makehuman: Path | None  # MakeHuman's files, docs/training.md; None: all skin is procedural, no hm08
    cache: Path  # folder for what is read from them
    takes: Path | None = None  # folder of Live Link Face CSV files that expressions are also taken from

    def load(self, family: Family = Family.ict) -> Rig:
        """The rig of a family.

        Raises:
            MissingSource: a file is missing; the message says which and where to get it.
        """
        return {Family.ict: self._ict, Family.hm08: self._hm08}[family]()

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
            raise MissingSource(f"hm08 is MakeHuman's head: its files are needed. {FOLDER_ADVICE}")
        model = head_model.load(
            self.cache / "hm08_model.npz", lambda: hm08_head.build(makehuman, self._reference())
        )
        worn = skins.load(makehuman, model, hm08_texture.lay, self.cache / "hm08_skins.npz")
        return Rig(model, identities.hm08, worn)

    def performances(self) -> np.ndarray | None:
        """The rows of all takes, float32 [N, 51]; None without a folder of takes.

        Raises:
            MissingSource: the folder holds no take.
            ValueError: a file is no take; the message names it and the column it lacks.
        """
        if self.takes is None:
            return None
        files = sorted(self.takes.glob("*.csv"))
        if not files:
            raise MissingSource(f"{self.takes} holds no Live Link Face take (*.csv)")
        return np.concatenate([read_take(path) for path in files])
