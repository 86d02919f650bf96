"""The contract of all exporters: every format, read back by a reader of its own, says what the table says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.exporting.common_rows import with_rows_of
from facecap_batch.exporting.formats import EXPORTERS, exporter
from tests.support.animations import constant_rate, variable_rate, with_tongue
from tests.support.formats.fbx import read_fbx
from tests.support.formats.gltf import read_glb
from tests.support.formats.mocap import VMD_RATE, eyes_of, read_bvh, read_vmd, vmd_truth
from tests.support.formats.seen import Seen, bridged, compare, sampled, truth
from tests.support.formats.text import (
    openface_truth,
    read_csv,
    read_json,
    read_livelink,
    read_openface,
)
from tests.support.formats.usd import read_usd


@dataclasses.dataclass(frozen=True)
class Format:
    read: Callable[[Path], Seen]
    resolution: float  # seconds: half of the smallest step in time that the format can state
    wanted: Callable[[CoefficientTable], Seen]  # what the file should say


def _kept(table: CoefficientTable) -> Seen:
    return truth(table)


def _bridged(table: CoefficientTable) -> Seen:
    return bridged(truth(table))


def _livelink(table: CoefficientTable) -> Seen:
    """A row without any value is empty; a single one without a value is 0, as a tongue that is not read."""
    seen = truth(table)
    seen.channels.setdefault("tongueOut", np.full(len(table), np.nan))
    empty = np.isnan(table.coefficients).all(axis=1)
    channels = {name: np.where(empty, np.nan, np.nan_to_num(v)) for name, v in seen.channels.items()}
    return dataclasses.replace(seen, channels=channels)


def _bvh(table: CoefficientTable) -> Seen:
    """Frames of a constant rate as they are; a variable one at its nearest whole rate."""
    seen = truth(table)
    rate = Fraction(round(table.info.fps)) if table.info.variable_rate else table.info.fps
    return eyes_of(sampled(seen, rate))


FORMATS = {
    "fbx": Format(read_fbx, 1e-10, _bridged),
    "livelink": Format(read_livelink, 0.5 / 60_000 + 1e-9, _livelink),
    "glb": Format(read_glb, 1.2e-7, _bridged),  # float32: half of a step between 2 and 4 s
    "usd": Format(read_usd, 1e-12, _bridged),
    "bvh": Format(read_bvh, 1e-12, _bvh),
    "vmd": Format(read_vmd, 1e-12, lambda table: vmd_truth(sampled(truth(table), VMD_RATE))),
    "csv": Format(read_csv, 1e-15, _kept),
    "json": Format(read_json, 1e-15, _kept),
    "openface": Format(read_openface, 1e-15, lambda table: openface_truth(truth(table))),
}


def _with_gap(table: CoefficientTable) -> CoefficientTable:
    for block in (table.coefficients, table.head, table.score, table.box):
        block[20:40] = np.nan
    table.face_found[20:40] = False
    return table


def _with_hidden_parts(table: CoefficientTable) -> CoefficientTable:
    table.coefficients[10:25, ARKIT_NAMES.index("eyeBlinkLeft")] = np.nan
    table.coefficients[:7, ARKIT_NAMES.index("jawOpen")] = np.nan
    table.coefficients[:, ARKIT_NAMES.index("cheekPuff")] = np.nan
    return table


CLIPS: dict[str, Callable[[], CoefficientTable]] = {
    "25": lambda: constant_rate(Fraction(25), 60),
    "29.97": lambda: constant_rate(Fraction(30000, 1001), 60),
    "30": lambda: constant_rate(Fraction(30), 60),
    "59.94": lambda: constant_rate(Fraction(60000, 1001), 60),
    "variable": lambda: variable_rate(60),
    "gap": lambda: _with_gap(constant_rate(Fraction(30), 60)),
    "gap-variable": lambda: _with_gap(variable_rate(60)),
    "hidden": lambda: _with_hidden_parts(constant_rate(Fraction(30), 60)),
    "one-frame": lambda: constant_rate(Fraction(30), 1),
    "tongue": lambda: _with_gap(with_tongue(constant_rate(Fraction(30), 60))),
    "tongue-variable": lambda: with_tongue(variable_rate(60)),
}


def test_every_format_is_under_the_contract() -> None:
    assert list(FORMATS) == list(EXPORTERS)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_reader_of_its_own_sees_every_value_at_its_time(name: str, clip: str, tmp_path: Path) -> None:
    write, suffix = exporter(name)
    table = CLIPS[clip]()
    path = tmp_path / f"take{suffix}"
    write(table, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]  # no half-written file is left
    compare(FORMATS[name].read(path), FORMATS[name].wanted(table), FORMATS[name].resolution)


@pytest.mark.parametrize("name", FORMATS)
def test_each_of_three_people_has_a_file_as_long_as_the_clip(name: str, tmp_path: Path) -> None:
    write, suffix = exporter(name)
    main = constant_rate(Fraction(30), 60)
    others = [main.replace(track=track).rows(5 * track, 40 + track) for track in (1, 2)]
    for track, part in enumerate([main, *others]):
        part.coefficients[:] *= 1 - track / 4
        table = with_rows_of(part, main)
        path = tmp_path / f"{table.name}{suffix}"
        write(table, path)
        compare(FORMATS[name].read(path), FORMATS[name].wanted(table), FORMATS[name].resolution)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_table_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    write, suffix = exporter(name)
    for folder in ("a", "b"):
        write(constant_rate(Fraction(25), 20), tmp_path / folder / f"take{suffix}")
    assert (tmp_path / "a" / f"take{suffix}").read_bytes() == (tmp_path / "b" / f"take{suffix}").read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_what_cannot_be_written_leaves_the_file_that_was_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, suffix = exporter(name)
    path = tmp_path / f"take{suffix}"
    path.write_text("of before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(constant_rate(Fraction(25), 5), path)
    assert path.read_text() == "of before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
