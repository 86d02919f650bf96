"""What decides the raw table of a clip, apart from the engines.

In: the options of a run. Out: `CaptureSettings`, checked. Imports no decoder and no image library: the driver
of a run reads it on machines that never open a video.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facecap_batch.video.options import Damage, HardwareDecoding

# Part of the fingerprint of every raw table. Raise it with every change of code that changes what the raw
# table of any clip holds (decoding, detection, tracking, crops, batches): folders made before are then done
# again. `tests/runs/test_revisions.py` fails where results changed and this did not.
CAPTURE_REVISION = 1


@dataclasses.dataclass(frozen=True)
class CaptureSettings:
    """What decides the raw table, apart from the engines."""

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

    def __post_init__(self) -> None:
        for name in ("detect_every", "detect_batch", "regress_batch", "max_faces", "held_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 1 <= self.decode_threads <= 16:
            raise ValueError(f"decode_threads must be 1..16, not {self.decode_threads}")
        if self.hwaccel not in ("none", "auto", "cuda"):
            raise ValueError(f"hwaccel must be 'none', 'auto' or 'cuda', not {self.hwaccel!r}")
        if self.damage not in ("refuse", "keep"):
            raise ValueError(f"damage must be 'refuse' or 'keep', not {self.damage!r}")
