"""A GPU day from its first step to its report, within its time.

In: `DayOptions`. Out: ``gpu_day.json``, published anew after every step, so that nothing found out is lost
whatever happens then.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from facecap_batch import machine
from facecap_batch.checks.gpu_day.schedule import (
    COMPARED,
    GPU_BACKENDS,
    STAND_INS,
    DayOptions,
    first_steps,
    measuring_steps,
    opening_steps,
)
from facecap_batch.checks.gpu_day.step import Step, StepResult
from facecap_batch.checks.gpu_day.step_process import carry_out
from facecap_batch.storage.publish import publish_bytes

JSON_NAME = "gpu_day.json"
WORTH_S = 4.0  # a step that has less left is not begun: Python's start alone takes a second
USED_SHARE = 0.95  # of the time; the rest is for ending what does not end by itself, and for the report
# Of its time, what a step that paces itself is told to measure in; the rest is for Python's start, for
# opening engines, and for the last repetition.
PACED_SHARE = 0.5

Say = Callable[[str], None]


class GpuDay:
    """One day. Use once: `carry_out`."""

    def __init__(self, options: DayOptions, say: Say = print) -> None:
        """`say` is told a line for each step, when it ends."""
        self.options, self._say = options, say
        self.results: list[StepResult] = []
        self._started_s, self._started_at = time.monotonic(), machine.utc_now()
        self._gpu = False
        self._finished_at: str | None = None
        if options.rehearse:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for the steps: their processes see no GPU

    @property
    def total_s(self) -> float:
        """The time that there is, seconds."""
        return 60 * self.options.minutes

    @property
    def elapsed_s(self) -> float:
        """The time since it began, seconds."""
        return time.monotonic() - self._started_s

    def carry_out(self) -> dict[str, Any]:
        """Do every step that there is time for, and return the report."""
        self.follow(first_steps())
        self._gpu = self._has_gpu()
        self.follow(opening_steps(self.options, self._gpu))
        self.follow(measuring_steps(self.options, self._opened(), self._gpu), to_the_end=True)
        self._finished_at = machine.utc_now()
        self._publish()
        return self.describe()

    def follow(self, steps: Sequence[Step], to_the_end: bool = False) -> None:
        """Do `steps`, one after the other; what there is no time for is noted.

        Args:
            steps: Each may take its share of the time.
            to_the_end: No others follow: each may take its share of what is left, so that the last ones, too,
                find out what they can on a slow machine.
        """
        for number, step in enumerate(steps):
            left_s = USED_SHARE * self.total_s - self.elapsed_s
            whole_s = left_s / sum(later.share for later in steps[number:]) if to_the_end else self.total_s
            may_s = min(left_s, step.share * whole_s)
            if why := self._missing().get(step.needs):
                result = StepResult(step, "unavailable", why)
            elif left_s < WORTH_S:
                result = StepResult(step, "left out", f"no time was left of {self.options.minutes:g} minutes")
            else:
                result = carry_out(_within(step, may_s), may_s)
            self.results.append(result)
            self._publish()
            why = f": {result.why.splitlines()[-1]}" if result.why else ""
            self._say(f"{step.name}: {result.state} ({result.seconds:.1f} s){why}")

    def _missing(self) -> dict[str, str]:
        """What was found missing, and why: no process is started for a step that needs it."""
        return {
            record["needs"]: record["missing"]
            for result in self.results
            for record in result.records
            if record.get("missing")
        }

    def _has_gpu(self) -> bool:
        told = [record["gpu"] for result in self.results for record in result.records if "gpu" in record]
        if told or self.options.rehearse:
            return any(told) and not self.options.rehearse
        return bool(machine.hardware()["gpus"])  # the step did not come that far

    def _opened(self) -> list[str]:
        """The backends that open, the one that matters most first."""
        opened = {
            result.step.arguments["backend"]
            for result in self.results
            if result.kind == "opening" and result.state == "done"
        }
        ranked = (*GPU_BACKENDS, *(COMPARED if self._gpu else STAND_INS))
        return [name for name in ranked if name in opened]

    def describe(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        options = dataclasses.asdict(self.options)
        return {
            "rehearsal": not self._gpu,
            "started_at": self._started_at,
            "finished_at": self._finished_at,  # None: it broke off
            "elapsed_s": round(self.elapsed_s, 1),
            "options": {name: getattr(value, "name", value) for name, value in options.items()},
            "hardware": machine.hardware(),
            "versions": machine.versions(),
            "steps": [result.describe() for result in self.results],
        }

    def _publish(self) -> None:
        text = json.dumps(self.describe(), indent=2, default=str) + "\n"
        publish_bytes(self.options.output / JSON_NAME, text.encode())


def _within(step: Step, seconds: float) -> Step:
    """`step`, told how many of its `seconds` it may measure in if it paces itself."""
    if not step.paced:
        return step
    return dataclasses.replace(
        step, arguments={**step.arguments, "budget_s": round(PACED_SHARE * seconds, 1)}
    )
