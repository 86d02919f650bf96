"""What people are rendered from: folders of third-party files, read once and cached.

In: ICT-FaceKit's ``FaceXModel`` and, if there is one, a folder of MakeHuman's skins and brows. Out: the head
model and the skins. The cache folder is to be emptied when the code that reads these files changes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from facecap_batch.training.people import head_model, skins


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where the files are."""

    ict: Path  # ICT-FaceKit's FaceXModel
    makehuman: Path | None  # layout in `skins`; None: all skin is procedural
    cache: Path  # folder for what is read from them

    def load(self) -> tuple[head_model.HeadModel, skins.Skins | None]:
        """The head, and the skins where there are any."""
        model = head_model.load(self.ict, self.cache / "head_model.npz")
        if self.makehuman is None:
            return model, None
        return model, skins.load(self.makehuman, model, self.cache / "skins.npz")
