"""The calibrations of a folder's actors: ``actors.parquet``, one row per actor.

In: an `ActorCalibration` for each actor. Out: the table, and the same read back. Equal calibrations give
equal bytes, whoever writes them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.coefficients import ARKIT_NAMES, SHAPE_NAMES
from facecap_batch.solve.actors import ActorCalibration
from facecap_batch.storage.columns import read_table
from facecap_batch.storage.publish import StoragePath, published

log = logging.getLogger(__name__)

ACTORS_NAME = "actors.parquet"
_SHAPES = (ARKIT_NAMES, SHAPE_NAMES)  # what coefficients clips can have


def _rest_names(shapes: Sequence[str]) -> list[str]:
    return [f"{name}Rest" for name in shapes]


def _gain_names(shapes: Sequence[str]) -> list[str]:
    return [f"{name}Gain" for name in shapes]


def _schema(shapes: Sequence[str]) -> pa.Schema:
    """The columns where clips have the coefficients `shapes`."""
    return pa.schema(
        [
            pa.field("actor", pa.string(), nullable=False),
            pa.field("clips", pa.int64(), nullable=False),  # that the calibration was measured on
            pa.field("frames", pa.int64(), nullable=False),  # of these clips, with a face
            *(pa.field(name, pa.float64(), nullable=False) for name in _rest_names(shapes)),  # 0..1
            # null: a lid of which too few blinks were seen
            *(pa.field(name, pa.float64()) for name in _gain_names(shapes)),
        ]
    )


def read_actors(output: StoragePath) -> dict[str, ActorCalibration]:
    """The calibrations in the folder, by actor; none where the file is missing or is none of this version's:
    they are then measured again. A broken file is logged."""
    try:
        table = read_table(output / ACTORS_NAME)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, pa.ArrowException) as error:
        log.warning("broken file %s: %s; actors are measured again", output / ACTORS_NAME, error)
        return {}
    shapes = next((names for names in _SHAPES if table.schema.equals(_schema(names))), None)
    if shapes is None:
        return {}
    rows = table.to_pylist()
    if not all(_is_possible(row, shapes) for row in rows):
        log.warning("broken file %s: impossible values; actors are measured again", output / ACTORS_NAME)
        return {}
    return {
        row["actor"]: ActorCalibration(
            actor=row["actor"],
            clips=row["clips"],
            frames=row["frames"],
            rest=tuple(row[name] for name in _rest_names(shapes)),
            gain=tuple(row[name] for name in _gain_names(shapes)),
        )
        for row in rows
    }


def _is_possible(row: Mapping[str, Any], shapes: Sequence[str]) -> bool:
    """Whether a row can be a calibration of the coefficients `shapes`."""
    rests, gains = ([row[name] for name in names] for names in (_rest_names(shapes), _gain_names(shapes)))
    return (
        all(row[field.name] is not None for field in _schema(shapes) if not field.nullable)
        and row["clips"] >= 0
        and row["frames"] >= 0
        and all(0 <= rest <= 1 for rest in rests)
        and all(gain is None or 0 < gain < math.inf for gain in gains)
    )


def write_actors(output: StoragePath, calibrations: Mapping[str, ActorCalibration]) -> None:
    """Make ``actors.parquet`` hold `calibrations`, sorted by actor. Raises OSError.

    They are of one regressor. A file that holds them already is left alone; without calibrations there is no
    file.
    """
    if not calibrations:
        if (output / ACTORS_NAME).exists():  # a storage that lets nothing be removed is not asked to
            (output / ACTORS_NAME).unlink(missing_ok=True)
        return
    if read_actors(output) == calibrations:
        return
    shapes = SHAPE_NAMES[: len(next(iter(calibrations.values())).rest)]
    rows = [
        {
            "actor": found.actor,
            "clips": found.clips,
            "frames": found.frames,
            **dict(zip(_rest_names(shapes), found.rest, strict=True)),
            **dict(zip(_gain_names(shapes), found.gain, strict=True)),
        }
        for _, found in sorted(calibrations.items())
    ]
    with published(output / ACTORS_NAME) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=_schema(shapes)), temporary, compression="zstd")
