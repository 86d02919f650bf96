"""What is packed for a browser is what was there, to the stated level; and so is the head."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from facecap_batch.coefficients import (
    ARKIT_NAMES,
    HEAD_ANGLE_NAMES,
    HEAD_POSITION_NAMES,
    SHAPE_NAMES,
    CoefficientTable,
)
from facecap_batch.exporting.head import head_model
from facecap_batch.reporting.curves import COARSE, FINE, UNKNOWN, pack_curves
from facecap_batch.reporting.head import pack_head
from facecap_batch.reporting.movements import Event
from facecap_batch.reporting.takes import TakeData, TakeRow
from tests.support.tables import noise, still, table

ROW = TakeRow(0, "c", "done", "c.mp4", None, 9, 9, 1.0, 30.0, None, None, 1, 1.0, "", "", "", {})


class Block:
    """A packed block, read from its beginning."""

    def __init__(self, packed: bytes) -> None:
        self.content = zlib.decompress(packed)
        (length,) = struct.unpack_from("<I", self.content)
        self.header: dict[str, Any] = json.loads(self.content[4 : 4 + length])
        self.at = 4 + length

    def next(self, kind: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.content, kind, count, self.at)
        self.at += values.nbytes
        return values

    def summed(self, kind: str, count: int) -> np.ndarray:
        return np.cumsum(self.next(kind, count), dtype=kind)


def unpacked(packed: bytes) -> list[dict[str, np.ndarray]]:
    """The tracks of a block of curves, each column by name."""
    block, tracks = Block(packed), []
    levels = block.header["levels"]
    for header in block.header["tracks"]:
        rows = header["rows"]
        found = {"time": block.summed("<i4", rows) * header["time_unit"], "state": block.next("u1", rows)}
        for name in header["moving"]:
            plane = block.summed("u1" if levels == COARSE else "<u2", rows).astype(float)
            found[name] = np.where(plane > levels, np.nan, plane / levels)
        found |= {name: np.full(rows, value) for name, value in header["resting"].items()}
        for name in (*HEAD_ANGLE_NAMES, *HEAD_POSITION_NAMES):
            unit = "angle_unit" if name in HEAD_ANGLE_NAMES else "position_unit"
            counts = block.summed("<i4", rows)
            found[name] = np.where(counts == UNKNOWN, np.nan, counts * block.header[unit])
        tracks.append(found)
    assert block.at == len(block.content)
    return tracks


def trembling(rows: int = 200) -> CoefficientTable:
    values = np.clip(still(rows) + noise(rows, 0.2), 0, 1)
    values[:, 7], values[:, 8] = 0.25, np.nan
    head = np.random.default_rng(1).normal(0, 1, (rows, 6)) * [4, 1, 1, 30, 30, 60]
    found = np.ones(rows, bool)
    found[50:60] = False
    times = 3600.5 + np.cumsum(np.random.default_rng(2).uniform(0.001, 0.2, rows))
    made = table(values, head=head, found=found, time_s=times)
    filled = made.coefficients.copy()
    filled[55] = 0.5  # bridged
    return made.replace(coefficients=filled)


@pytest.mark.parametrize("levels", [COARSE, FINE])
def test_curves_come_back(levels: Any) -> None:
    given = trembling()
    (track,) = unpacked(pack_curves(TakeData(ROW, (given,)), levels))
    times = given.time_s()
    assert track["time"] == pytest.approx(times - times[0], abs=1e-6)
    for number, name in enumerate(ARKIT_NAMES):
        column = track.get(name, np.full(len(given), np.nan))
        np.testing.assert_allclose(column, given.coefficients[:, number], atol=0.51 / levels)
    for number, name in enumerate(("headYaw", "headPitch", "headRoll", "headX", "headY", "headZ")):
        np.testing.assert_allclose(track[name], given.head[:, number], atol=0.01 if number > 2 else 1e-4)
    assert set(track["state"][50:60].tolist()) == {0, 1} and track["state"][55] == 1
    assert (np.delete(track["state"], np.s_[50:60]) == 2).all()


def test_a_long_pause_is_counted_in_larger_units() -> None:
    times = np.array([0.0, 0.04, 40_000.0, 40_000.04])
    (track,) = unpacked(pack_curves(TakeData(ROW, (table(still(4), time_s=times),)), COARSE))
    assert track["time"] == pytest.approx(times, abs=1e-4)


def test_people_events_and_the_video_are_in_the_header() -> None:
    main, other = trembling(), trembling().replace(track=1).rows(20, 90)
    first = main.time_s()[0]
    event = Event(1, "smile", "left", first + 1.0, first + 1.5, first + 2.0, 0.75)
    packed = pack_curves(TakeData(ROW, (main, other), (event,), video_start_s=first - 2.0), COARSE)
    header = Block(packed).header
    assert header["events"] == [[1, "smile", "left", 1.0, 1.5, 2.0, 0.75]]
    assert header["video_offset_s"] == pytest.approx(2.0)
    tracks = unpacked(packed)
    assert [len(track["time"]) for track in tracks] == [200, 70]
    assert tracks[1]["time"] == pytest.approx(tracks[0]["time"][20:90], abs=1e-5)


def test_a_take_without_rows_packs() -> None:
    empty = table(still(0))
    (track,) = unpacked(pack_curves(TakeData(dataclasses.replace(ROW, frames=0), (empty,)), COARSE))
    assert len(track["time"]) == 0
    assert Block(pack_curves(TakeData(ROW), COARSE)).header["tracks"] == []


def test_the_head_is_the_one_that_is_exported() -> None:
    """Every corner of every triangle, moved by every morph target."""
    head, block = head_model(), Block(pack_head())
    count, morphs = block.header["vertices"], block.header["morphs"]
    total = sum(moved for _, moved in morphs)
    positions = block.next("<f4", count * 3).reshape(-1, 3)
    normals = block.next("<i2", count * 3).reshape(-1, 3) / 32767
    block.next("u1", count * 4)
    offsets = block.next("<i2", total * 3).reshape(-1, 3) * block.header["offset_unit"]
    block.next("<i2", total * 3)
    places = block.next("<u2", total)
    triangles = block.next("<u2", block.header["triangles"] * 3)
    assert block.at == len(block.content)
    assert [name for name, _ in morphs] == list(SHAPE_NAMES)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=0.01)

    corners = [face[list(way)] for face in head.faces for way in ((0, 1, 2), (0, 2, 3)) if face[way[2]] >= 0]
    start = 0
    for name, moved in morphs:
        there = positions.astype(np.float64).copy()
        there[places[start : start + moved]] += offsets[start : start + moved]
        start += moved
        expected = head.posed({name: 1.0})[np.concatenate(corners)]
        np.testing.assert_allclose(np.sort(there[triangles], axis=0), np.sort(expected, axis=0), atol=1e-5)
