"""Which executor carries a run out: one process of this machine for a small job, else Ray.

In: a plan, the options. Out: a `ProcessExecutor` or a `RayExecutor`, with the reason that ``run.json`` names.
Ray's start takes as long as some 60 seconds of video do on one core, and what Ray brings (many workers, many
machines) pays from there on.
"""

from __future__ import annotations

import sys

from facecap_batch.runs.config import RunOptions
from facecap_batch.runs.executors.executor import Executor
from facecap_batch.runs.executors.lengths import measured_seconds
from facecap_batch.runs.executors.process_executor import ProcessExecutor
from facecap_batch.runs.executors.ray_executor import RayExecutor
from facecap_batch.runs.planner import JOIN_SHARE, Plan, WorkItem

SMALL_S = 60.0  # seconds of video that one process takes
# How far the length that is guessed from a file's size may be from the truth, as a factor: what is this far
# from SMALL_S needs no measurement.
SURELY_SHORTER, SURELY_LONGER = 6, 10
MAX_MEASURED = 16  # clips; more are not opened to decide


def choose_executor(plan: Plan, options: RunOptions) -> Executor:
    """The executor of a run.

    Args:
        plan: What there is to do.
        options: `ray_address`, more than one of `workers`, a share of a GPU, or another number of CPUs for a
            worker mean Ray.
    """
    if options.ray_address is not None:
        return RayExecutor(options, "its address was given")
    if options.workers is not None and options.workers > 1:
        return RayExecutor(options, f"{options.workers} workers were asked for")
    if options.gpus_per_worker > 0 or options.cpus_per_worker != RunOptions.cpus_per_worker:
        return RayExecutor(options, "the size of a worker was given")
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return RayExecutor(options, "this process was connected to it")
    if options.workers == 1:
        return ProcessExecutor(options, "one worker was asked for")
    seconds = _seconds_to_do(plan)
    length = f"about {seconds:.0f} s of video to do"
    if seconds <= SMALL_S:
        return ProcessExecutor(options, f"{length}, at most {SMALL_S:.0f} s")
    return RayExecutor(options, f"{length}, more than {SMALL_S:.0f} s")


def _seconds_to_do(plan: Plan) -> float:
    """Seconds of video that the plan holds; what is only to be solved counts with its share of a capture."""
    captures = [item for item in plan.items if not item.reuse_raw]
    solved = sum(item.cost_s for item in plan.items if item.reuse_raw)
    solved += sum(own.record.seconds for actor in plan.actors for own in actor.captured)
    return _seconds_to_capture(captures) + JOIN_SHARE * solved


def _seconds_to_capture(items: list[WorkItem]) -> float:
    """Seconds of video, measured where the guess does not decide."""
    guess = sum(item.cost_s for item in items)
    decides = guess <= SMALL_S / SURELY_SHORTER or guess >= SMALL_S * SURELY_LONGER
    if decides or len(items) > MAX_MEASURED:
        return guess
    measured = measured_seconds([item.clip for item in items])
    return sum(
        item.cost_s if seconds is None else seconds for item, seconds in zip(items, measured, strict=True)
    )
