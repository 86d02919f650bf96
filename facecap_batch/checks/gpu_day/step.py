"""A step of a GPU day, and how it ended.

In: nothing. Out: `Step` (what to call, with what, for how long at most) and `StepResult`, plain values both,
so that a report can hold them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

# What a step finds out, one after the other: plain JSON values.
Record = dict[str, Any]
State = Literal[
    "done",
    "unavailable",  # a library, a driver or a device that it needs is not there
    "failed",  # an error
    "crashed",  # its process was ended by a signal
    "overtime",  # it was ended when its time was over
    "left out",  # no time was left to begin it
]
# Ends that are an answer. After the others something is to be mended, or more time is needed.
ANSWERED: tuple[State, ...] = ("done", "unavailable")
BROKEN: tuple[State, ...] = ("failed", "crashed")


@dataclasses.dataclass(frozen=True)
class Step:
    """What is to be found out, in a process of its own."""

    name: str  # "bench tensorrt"
    function: str  # "package.module:function", which yields records
    arguments: Mapping[str, Any]  # of the function, plain JSON values
    share: float  # of the whole day's time that it may take, 0..1
    needs: str = ""  # what of `steps.machine`'s findings it cannot do without: a backend, or NVDEC
    # It repeats less, as its argument `budget_s` says, where the machine is slow.
    paced: bool = False


@dataclasses.dataclass(frozen=True)
class StepResult:
    """How a step ended, and what it found out until then."""

    step: Step
    state: State
    why: str = ""  # it is not "done"; or what was odd
    seconds: float = 0.0
    records: tuple[Record, ...] = ()

    @property
    def kind(self) -> str:
        """The name of its function alone: which table its records belong to."""
        return self.step.function.rpartition(":")[2]

    def describe(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {
            "step": self.step.name,
            "kind": self.kind,
            "arguments": dict(self.step.arguments),
            "state": self.state,
            "why": self.why,
            "seconds": round(self.seconds, 2),
            "records": list(self.records),
        }
