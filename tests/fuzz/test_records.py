"""Damaged and forged files in an output folder: each is read, or named and done without."""

from __future__ import annotations

from pathlib import Path

from tests.support.fuzz_targets.records import TARGET
from tests.support.fuzz_targets.target import DONE, outcome, outcomes

MUTATIONS = 150


def test_mutations_end_done_or_with_a_named_error(tmp_path: Path) -> None:
    found = outcomes(TARGET, tmp_path, 1, MUTATIONS)
    assert 0 < found.count(DONE) < MUTATIONS


def test_every_input_is_what_one_of_its_readers_takes(tmp_path: Path) -> None:
    """Else the mutations would be of something that nobody understands to begin with."""
    (tmp_path / "needed").mkdir()
    (tmp_path / "given").mkdir()
    path = tmp_path / "given" / "input"
    for data in TARGET.inputs(tmp_path / "needed"):
        path.write_bytes(data)
        assert outcome(TARGET, path).split(":")[0] in (DONE, "BadReports", "IndexDamaged")
