"""What the solve may do: the settings that a command line gives and a run's record keeps.

In: numbers and switches. Out: `SolveSettings`, checked. Imports nothing: the driver solves nothing.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class SolveSettings:
    """What the solve may do. Strengths: 1 is the default, 0 leaves the signal as measured, 2 is twice as
    cautious.
    """

    enabled: bool = True  # False: measured values as they are, every gap empty
    max_gap_s: float = 0.5  # seconds between the measured frames on either side; longer gaps stay empty
    smoothing: float = 1.0  # of all coefficients but the lids
    lid_smoothing: float = 1.0  # of eyeBlinkLeft and eyeBlinkRight: a blink may last a single frame
    head_smoothing: float = 1.0  # of rotation and position
    amplitude: float = 1.0  # how much of what the regressor is known to damp is given back; lids apart
    reject_outliers: bool = True  # drop frames whose head pose jumps away and back
    close_blinks: bool = True  # stretch the lids so that the clip's full blinks close them, without flicker

    def __post_init__(self) -> None:
        for name in ("max_gap_s", "smoothing", "lid_smoothing", "head_smoothing", "amplitude"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
