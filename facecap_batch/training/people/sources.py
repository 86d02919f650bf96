"""What people are rendered from: folders of third-party files, read once and cached.

In: ICT-FaceKit's ``FaceXModel`` and, if there is one, a folder of MakeHuman's skins and brows. Out: the head
model and the skins. The cache folder is to be emptied when the code that reads these files changes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from facecap_batch.training.people import head_model, skins
from facecap_batch.training.rendering.expressions import read_take


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where the files are."""

    ict: Path  # ICT-FaceKit's FaceXModel
    makehuman: Path | None  # layout in `skins`; None: all skin is procedural
    cache: Path  # folder for what is read from them
    takes: Path | None = None  # folder of Live Link Face CSV files that faces are taken from, too

    def load(self) -> tuple[head_model.HeadModel, skins.Skins | None]:
        """The head, and the skins where there are any."""
        model = head_model.load(self.ict, self.cache / "head_model.npz")
        if self.makehuman is None:
            return model, None
        return model, skins.load(self.makehuman, model, self.cache / "skins.npz")

    def performances(self) -> np.ndarray | None:
        """The rows of all takes, float32 [N, 51], where there are any."""
        if self.takes is None:
            return None
        files = sorted(self.takes.glob("*.csv"))
        if not files:
            raise FileNotFoundError(f"{self.takes} holds no Live Link Face take (*.csv)")
        return np.concatenate([read_take(path) for path in files])
