"""The raw tables of a clip: the main subject's alone, or one for each person.

In: the times of all frames, the readings, the tracks and the cuts. Out: `CoefficientTable`s: first the main
subject's, with a row for every frame, then the others' by importance, each with rows from the first frame in
which that person's face was found to the last.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.capturing.people.identities import people_of
from facecap_batch.capturing.people.matcher import Sighting
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.capturing.subject import subject_table, track_table
from facecap_batch.coefficients import ClipInfo, CoefficientTable


@dataclasses.dataclass(frozen=True, eq=False)
class Everyone:
    """What a capture knows of the people in a clip."""

    sightings: tuple[Sighting, ...]  # of every track
    cuts: np.ndarray  # int64 [C], rising: first frame of every shot but the first


def clip_tables(
    settings: CaptureSettings,
    regressor: Regressor,
    info: ClipInfo,
    pts: np.ndarray,
    readings: np.ndarray,
    everyone: Everyone,
) -> tuple[CoefficientTable, ...]:
    """The tables of the people who are wanted, at least that of the main subject, found or not.

    Args:
        settings: How many people are wanted.
        regressor: That read them.
        info: Of the clip.
        pts: int64 [N], of every frame.
        readings: `readings.row_type` [R].
        everyone: The tracks of the readings, and the shots; only used where several people are wanted.
    """
    if not settings.several:
        return (subject_table(info, pts, readings, regressor),)
    present = readings["presence"] >= regressor.presence_threshold
    shot = np.searchsorted(everyone.cuts, np.arange(len(pts)), side="right").astype(np.int16)
    people = people_of(readings, present, everyone.sightings, shot)
    rows_of = [person.rows for person in people] or [np.zeros(0, np.int64)]
    if isinstance(settings.faces, int):
        rows_of = rows_of[: settings.faces]
    tables = (
        track_table(info, pts, readings, rows, regressor).replace(track=track, shot=shot)
        for track, rows in enumerate(rows_of)
    )
    return tuple(_seen_part(table) for table in tables)


def _seen_part(table: CoefficientTable) -> CoefficientTable:
    """The main subject's whole table; of others the rows from the first with a face to the last."""
    if table.track == 0:
        return table
    found = np.flatnonzero(table.face_found)
    return table.rows(int(found[0]), int(found[-1]) + 1)
