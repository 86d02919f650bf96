"""What a folder of MakeHuman's files holds for the head hm08, and where each file is from; all are CC0.

In: the folder. Out: `MissingSource` for the first file that is not there.
"""

from __future__ import annotations

from pathlib import Path

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.heads.hm08.identities import MACRO_NAMES
from facecap_batch.training.heads.makehuman import BASE_MESH, FOLDER_ADVICE
from facecap_batch.training.heads.source_files import SourceFile, require

FACE_UNITS = "assets/faceunits01/targets/faceunits of github.com/makehumancommunity/extra-targets"
TARGETS = "src/mpfb/data/targets of github.com/makehumancommunity/mpfb2"
# MakeHuman's own units that are added to face units: shape, target and share. The face units of noseSneer
# wrinkle the root of the nose and hardly raise the nostril, which is what Apple's shape does.
ADDED_UNITS = {
    f"noseSneer{side}": (f"expression/units/caucasian/nose-{side.lower()}-elevation", 1.6)
    for side in ("Left", "Right")
}


def head_files() -> list[SourceFile]:
    """The files without which there is no head; details of the face are used as far as they are there."""
    targets = [name for name, _ in ADDED_UNITS.values()]
    targets += [f"macrodetails/{name}" for name in MACRO_NAMES]
    return [
        BASE_MESH,
        *(SourceFile((f"faceunits/{name}.target",), FACE_UNITS) for name in ARKIT_NAMES),
        *(SourceFile((f"targets/{name}.target.gz", f"targets/{name}.target"), TARGETS) for name in targets),
    ]


def require_head(makehuman: Path) -> None:
    """Check that the folder `makehuman` holds the head.

    Raises:
        MissingSource: it does not; the message names the first missing file and where to get it.
    """
    require(makehuman, head_files(), FOLDER_ADVICE)
