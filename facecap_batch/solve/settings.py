"""Settings of the solve: what a command line gives and a run's record keeps.

In: numbers and switches. Out: `SolveSettings`, checked. Imports no NumPy: the driver solves nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

# Part of the fingerprint of every result. Raise it with every change of code that changes what is made from a
# raw table: the final table or the FBX. Folders made before are then solved again, without decoding.
# `tests/runs/test_revisions.py` fails where the tables changed and this did not.
SOLVE_REVISION = 3

Calibrate = Literal["card", "actor"]


@dataclasses.dataclass(frozen=True)
class SolveSettings:
    """What the solve may do. Of a smoothing, 1 is the default, 0 leaves the signal as measured, 2 is twice as
    smooth."""

    enabled: bool = True  # False: measured values as they are, every gap empty
    max_gap_s: float = 0.5  # seconds between the measured frames on either side; longer gaps stay empty
    smoothing: float = 1.0  # of all coefficients but the lids
    lid_smoothing: float = 1.0  # of eyeBlinkLeft and eyeBlinkRight: a blink may last a single frame
    head_smoothing: float = 1.0  # of rotation and position
    amplitude: float = 1.0  # share of the regressor's known damping that is compensated; lids apart
    reject_outliers: bool = True  # drop frames whose head pose jumps away and back
    close_blinks: bool = True  # stretch the lids so that full blinks close them, without flicker
    # Where rest and the gain of lids come from. "card": from the regressor's card; "actor": from all clips of
    # the manifest with the same actor, those without an actor as with "card".
    calibrate: Calibrate = "card"

    def __post_init__(self) -> None:
        """Raises ValueError for a number below 0 and for an unknown calibration."""
        if self.calibrate not in get_args(Calibrate):
            raise ValueError(f"calibrate must be 'card' or 'actor', not {self.calibrate!r}")
        for name in ("max_gap_s", "smoothing", "lid_smoothing", "head_smoothing", "amplitude"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")

    @property
    def by_actor(self) -> bool:
        """True where clips of one actor are solved with a calibration of their own."""
        return self.enabled and self.calibrate == "actor"
