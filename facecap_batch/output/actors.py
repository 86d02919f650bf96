"""The calibrations of a folder's actors: ``actors.parquet``, one row per actor.

In: an `ActorCalibration` for each actor. Out: the table, and the same read back. Equal calibrations give
equal bytes, whoever writes them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.solve.actors import ActorCalibration
from facecap_batch.storage.columns import read_table
from facecap_batch.storage.publish import StoragePath, published

log = logging.getLogger(__name__)

ACTORS_NAME = "actors.parquet"
REST_NAMES = tuple(f"{name}Rest" for name in ARKIT_NAMES)
GAIN_NAMES = tuple(f"{name}Gain" for name in ARKIT_NAMES)

SCHEMA = pa.schema(
    [
        pa.field("actor", pa.string(), nullable=False),
        pa.field("clips", pa.int64(), nullable=False),  # that the calibration was measured on
        pa.field("frames", pa.int64(), nullable=False),  # of these clips, with a face
        *(pa.field(name, pa.float64(), nullable=False) for name in REST_NAMES),  # 0..1
        *(
            pa.field(name, pa.float64()) for name in GAIN_NAMES
        ),  # null: a lid of which too few blinks were seen
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
    if not table.schema.equals(SCHEMA):
        return {}
    rows = table.to_pylist()
    if not all(map(_is_possible, rows)):
        log.warning("broken file %s: impossible values; actors are measured again", output / ACTORS_NAME)
        return {}
    return {
        row["actor"]: ActorCalibration(
            actor=row["actor"],
            clips=row["clips"],
            frames=row["frames"],
            rest=tuple(row[name] for name in REST_NAMES),
            gain=tuple(row[name] for name in GAIN_NAMES),
        )
        for row in rows
    }


def _is_possible(row: Mapping[str, Any]) -> bool:
    """Whether a row can be a calibration."""
    rests, gains = ([row[name] for name in names] for names in (REST_NAMES, GAIN_NAMES))
    return (
        all(row[field.name] is not None for field in SCHEMA if not field.nullable)
        and row["clips"] >= 0
        and row["frames"] >= 0
        and all(0 <= rest <= 1 for rest in rests)
        and all(gain is None or 0 < gain < math.inf for gain in gains)
    )


def write_actors(output: StoragePath, calibrations: Mapping[str, ActorCalibration]) -> None:
    """Make ``actors.parquet`` hold `calibrations`, sorted by actor. Raises OSError.

    A file that holds them already is left alone; without calibrations there is no file.
    """
    if not calibrations:
        if (output / ACTORS_NAME).exists():  # a storage that lets nothing be removed is not asked to
            (output / ACTORS_NAME).unlink(missing_ok=True)
        return
    if read_actors(output) == calibrations:
        return
    rows = [
        {
            "actor": found.actor,
            "clips": found.clips,
            "frames": found.frames,
            **dict(zip(REST_NAMES, found.rest, strict=True)),
            **dict(zip(GAIN_NAMES, found.gain, strict=True)),
        }
        for _, found in sorted(calibrations.items())
    ]
    with published(output / ACTORS_NAME) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary, compression="zstd")
