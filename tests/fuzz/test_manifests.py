"""Damaged and forged manifests: each is read, or refused with what is wrong with its rows."""

from __future__ import annotations

from pathlib import Path

from tests.support.fuzz_targets.manifests import TARGET
from tests.support.fuzz_targets.target import DONE, SECRET, outcome, outcomes
from tests.support.opened_files import needs_inotify

MUTATIONS = 800


def test_every_input_is_taken_as_long_as_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "needed" / SECRET).mkdir(parents=True)
    for number, data in enumerate(TARGET.inputs(tmp_path / "needed")):
        path = tmp_path / "given" / f"{number}.csv"
        path.write_bytes(data)
        assert outcome(TARGET, path) == DONE


@needs_inotify
def test_mutations_end_done_or_with_a_named_error(tmp_path: Path) -> None:
    found = outcomes(TARGET, tmp_path, 1, MUTATIONS)
    assert 0 < found.count(DONE) < MUTATIONS
    refused = [end for end in found if end != DONE]
    assert all(end.startswith("BadManifest: ") and str(tmp_path) in end for end in refused)
