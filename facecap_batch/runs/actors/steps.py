"""A worker's step for an actor: the calibration, from the raw tables of all clips.

In: a `CalibrationItem`, the output folder. Out: an `ActorCalibration`. One table is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from facecap_batch.errors import InputNotReadable
from facecap_batch.output.compact_index import read_clip, table_name
from facecap_batch.output.integrity import UNREADABLE
from facecap_batch.runs.planner import CalibrationItem
from facecap_batch.solve.actors import ActorCalibration, ActorStatistics
from facecap_batch.storage.publish import StoragePath


def do_calibration(
    item: CalibrationItem, output: StoragePath, progress: Callable[[int], None] | None
) -> ActorCalibration:
    """Measure an actor's calibration.

    Raises:
        InputNotReadable: A raw table cannot be read; whether that may pass is kept in its cause.
    """
    statistics = ActorStatistics(item.actor)
    for clip_id in item.clip_ids:
        name = table_name("raw", clip_id)
        try:
            statistics.add(read_clip(output, name))
        except UNREADABLE as error:
            raise InputNotReadable(
                f"{output / name} cannot be read: {error}; remove it and run the manifest again: the "
                "clip is then captured again"
            ) from error
        if progress is not None:
            progress(0)  # a sign of life: no frame is captured here
    return statistics.calibration()
