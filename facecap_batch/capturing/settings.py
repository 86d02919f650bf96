"""What decides the raw table of a clip, apart from the engines.

In: the options of a run. Out: `CaptureSettings`, checked. Imports no decoder and no image library: the driver
of a run reads it on machines that never open a video.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from facecap_batch.video.formats.limits import MAX_FRAMES, MAX_MEGAPIXELS, Limits
from facecap_batch.video.options import Damage, HardwareDecoding

# Part of the fingerprint of every raw table. Raise it with every change of code that changes what the raw
# table of any clip holds (decoding, detection, tracking, crops, batches): folders made before are then done
# again. `tests/runs/test_revisions.py` fails where results changed and this did not.
CAPTURE_REVISION = 2

ALL: Literal["all"] = "all"
Faces: TypeAlias = int | Literal["all"]
# Faces in one frame that are read where everyone is wanted: it bounds the time and the memory of a frame.
# Where there are more, most are too small for the regressor.
MAX_FACES = 32

# Tracks read beside those that are wanted: who weighs most is known at the end only.
SPARE_FACES = 1


def faces_from(text: str) -> Faces:
    """How many people are wanted, from text: a number, or "all". Raises ValueError."""
    if text.strip().lower() == ALL:
        return ALL
    if not text.strip().isdecimal() or not 1 <= int(text) <= MAX_FACES:
        raise ValueError(f"faces must be a number from 1 to {MAX_FACES} or 'all', not {text!r}")
    return int(text)


def with_wanted(
    settings: CaptureSettings | None, faces: Faces | None, landmarks: bool | None
) -> CaptureSettings | None:
    """`settings` (None: the defaults) for `faces` people, with or without landmarks (each None: as they are).

    Raises ValueError.
    """
    wanted = {"faces": faces, "landmarks": landmarks}
    changes = {name: value for name, value in wanted.items() if value is not None}
    return dataclasses.replace(settings or CaptureSettings(), **changes) if changes else settings  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class CaptureSettings:
    """What decides the raw table, apart from the engines."""

    faces: Faces = 1  # people that become tracks: the main subject alone, the n heaviest, or all
    landmarks: bool = False  # the tables get columns of the landmarks and of the gaze
    detect_every: int = 6  # frames from one detection to the next
    detect_batch: int = 1  # images per call of the detector; 1 holds the fewest frames
    regress_batch: int = 8  # crops per call of the regressor
    max_faces: int = 2  # tracks read per frame, so that the subject can be chosen at the end
    min_score: float | None = None  # of a detection; None: the detector card's threshold
    refine_above: float = 0.3  # how far off its nominal place a head may lie before its crop is cut again
    try_turns: bool = True  # look for faces at 90 degree steps in clips that show none
    decode_threads: int = 1  # frames decoded at once; changes no result
    hwaccel: HardwareDecoding = "none"  # whether the GPU decodes
    damage: Damage = "refuse"  # "keep": rows of whatever decodes, the damage noted in the metadata
    held_bytes: int = 256 * 1024 * 1024  # of decoded frames waiting for their boxes
    max_megapixels: float = MAX_MEGAPIXELS  # million pixels of one picture; a clip with larger ones fails
    max_frames: int = MAX_FRAMES  # of one clip; a clip with more fails

    def __post_init__(self) -> None:
        if self.faces != ALL and (not isinstance(self.faces, int) or not 1 <= self.faces <= MAX_FACES):
            raise ValueError(f"faces must be 1..{MAX_FACES} or {ALL!r}, not {self.faces!r}")
        for name in ("detect_every", "detect_batch", "regress_batch", "max_faces", "held_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 1 <= self.decode_threads <= 16:
            raise ValueError(f"decode_threads must be 1..16, not {self.decode_threads}")
        if self.hwaccel not in ("none", "auto", "cuda"):
            raise ValueError(f"hwaccel must be 'none', 'auto' or 'cuda', not {self.hwaccel!r}")
        if self.damage not in ("refuse", "keep"):
            raise ValueError(f"damage must be 'refuse' or 'keep', not {self.damage!r}")
        _ = self.limits  # checked where they are made

    @property
    def limits(self) -> Limits:
        """What a video may have. Raises ValueError."""
        return Limits(self.max_megapixels, self.max_frames)

    @property
    def several(self) -> bool:
        """True where people are told apart and shots are looked for."""
        return self.faces != 1

    @property
    def tracked_faces(self) -> int:
        """Tracks read per frame, at most. More than `faces`, who are chosen at the end."""
        if not isinstance(self.faces, int):
            return MAX_FACES
        return max(self.max_faces, self.faces + SPARE_FACES) if self.several else self.max_faces

    @property
    def detected_faces(self) -> int:
        """Faces in one image that are not too many for the detector; 1 leaves that to its card."""
        return min(MAX_FACES, 2 * self.tracked_faces) if self.several else 1
