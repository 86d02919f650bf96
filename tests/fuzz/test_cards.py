"""Damaged and forged cards and bundles: each is used, or refused with an error that is named."""

from __future__ import annotations

from pathlib import Path

from tests.support.fuzz_targets.cards import TARGET
from tests.support.fuzz_targets.target import DONE, outcomes

MUTATIONS = 300


def test_mutations_end_done_or_with_a_named_error(tmp_path: Path) -> None:
    found = outcomes(TARGET, tmp_path, 1, MUTATIONS)
    assert 0 < found.count(DONE) < MUTATIONS
    assert {end.split(":")[0] for end in found} <= {DONE, "EngineError", "BackendUnavailable"}
