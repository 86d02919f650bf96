"""The calibrations of a folder's actors: ``actors.parquet``, one row per actor.

In: an `ActorCalibration` for each actor. Out: the table, and the same read back. Equal calibrations give
equal bytes, whoever writes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.solve.actors import ActorCalibration
from facecap_batch.storage.publish import StoragePath, arrow_source, published

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
    they are then measured again."""
    try:
        table = pq.read_table(arrow_source(output / ACTORS_NAME))
    except (OSError, pa.ArrowException):
        return {}
    if not table.schema.equals(SCHEMA):
        return {}
    return {
        row["actor"]: ActorCalibration(
            actor=row["actor"],
            clips=row["clips"],
            frames=row["frames"],
            rest=tuple(row[name] for name in REST_NAMES),
            gain=tuple(row[name] for name in GAIN_NAMES),
        )
        for row in table.to_pylist()
    }


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
