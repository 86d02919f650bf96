"""From when on a movement counts as an event: the parameters of the macros and of `Capture.events`.

In: numbers and a switch. Out: `MovementThresholds`, checked, and the same as SQL. Imports no DuckDB.
"""

from __future__ import annotations

import dataclasses

# An event begins and ends at this share of its threshold, so that noise makes no two of it.
RELEASE_SHARE = 0.7
# Less movement in a take is not distinguished from rest: real takes rest at up to 0.12 in some channels.
LEAST_AMPLITUDE = 0.1

# Of the macros `events` and `summary`, as `MovementThresholds` has them.
PARAMETERS = (
    f"threshold := NULL, release := NULL, relative := false, least_amplitude := {LEAST_AMPLITUDE}::DOUBLE"
)


@dataclasses.dataclass(frozen=True)
class MovementThresholds:
    """From when on a movement counts as an event (docs/for-researchers.md). Without arguments: what the views
    ``events`` and ``summary`` count by."""

    threshold: float | None = None  # that an event reaches: a coefficient or a share, 0..1; None: 0.5
    release: float | None = None  # that it stays above, 0..`threshold`; None: 0.7 of `threshold`
    # Whether both are shares of the way from the channel's rest (0) to its highest value (1) in the clip.
    relative: bool = False
    least_amplitude: float = LEAST_AMPLITUDE  # with `relative`: a channel that moves by less has no events

    def __post_init__(self) -> None:
        """Raises ValueError for a number below 0 or above 1, and for a release above the threshold."""
        for name in ("threshold", "release", "least_amplitude"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must be 0..1, not {value}")
        if None not in (self.threshold, self.release) and self.release > self.threshold:  # type: ignore[operator]
            raise ValueError(f"release ({self.release}) is above threshold ({self.threshold})")

    def arguments(self) -> str:
        """The arguments of the macros, as SQL."""
        numbers = {
            "threshold": self.threshold,
            "release": self.release,
            "least_amplitude": self.least_amplitude,
        }
        given = [f"{name} := {float(value)!r}" for name, value in numbers.items() if value is not None]
        return ", ".join([*given, f"relative := {str(bool(self.relative)).lower()}"])
