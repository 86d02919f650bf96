"""Readers of formats that are text: Live Link Face CSV, our own CSV and JSON, OpenFace's CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from facecap_batch.coefficients import ARKIT_NAMES
from tests.support.fbx_readers import matrices_of_angles
from tests.support.formats.seen import Seen


def read_livelink(path: Path) -> Seen:
    with path.open(newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    seconds = []
    for row in rows:
        hours, minutes, whole, units = row["Timecode"].split(":")
        seconds.append(int(hours) * 3600 + int(minutes) * 60 + int(whole) + float(units) / 60)
    value = {name: np.array([float(row[name] or "nan") for row in rows]) for name in list(rows[0])[2:]}
    angles = np.stack([value["HeadYaw"], value["HeadPitch"], value["HeadRoll"]], axis=1)
    return Seen(
        seconds=np.array(seconds) - seconds[0],
        channels={name: value[name[0].upper() + name[1:]] for name in ARKIT_NAMES},
        rotation=matrices_of_angles(angles),
    )


def read_csv(path: Path) -> Seen:
    frame = pd.read_csv(path)
    assert frame["face_found"].dtype == bool
    return _of_columns({name: frame[name].to_numpy() for name in frame.columns})


def read_json(path: Path) -> Seen:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["format"] == "facecap-batch table 1"
    columns = zip(*document["rows"], strict=True)
    return _of_columns(
        {
            name: np.array([np.nan if cell is None else cell for cell in column])
            for name, column in zip(document["columns"], columns, strict=True)
        }
    )


def _of_columns(value: dict[str, np.ndarray]) -> Seen:
    head = np.stack([value[name] for name in ("headYaw", "headPitch", "headRoll")], axis=1)
    return Seen(
        seconds=value["time_s"] - value["time_s"][0],
        channels={name: value[name] for name in ARKIT_NAMES},
        rotation=matrices_of_angles(head),
        position=np.stack([value[name] for name in ("headX", "headY", "headZ")], axis=1),
    )
