"""Damaged and forged containers: each is read, or refused with an error that is named."""

from __future__ import annotations

from pathlib import Path

from tests.support.fuzz_targets.containers import LISTS, SEEK_TO_S, TARGET, inputs
from tests.support.fuzz_targets.target import DONE, SECRET, outcome, outcomes
from tests.support.opened_files import left_open, needs_inotify

MUTATIONS = 400


def test_every_input_is_read_as_long_as_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / SECRET).mkdir()
    made = inputs(tmp_path)
    ends = []
    for number, data in enumerate(made):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(data)
        ends.append(outcome(TARGET, path))
    still = f"no frame between {float(SEEK_TO_S):.3f} s"  # an image has one, at 0
    assert all(end == DONE or still in end for end in ends[: -len(LISTS)])
    assert ends.count(DONE) > 15
    assert all("it is a playlist" in end for end in ends[-len(LISTS) :])


@needs_inotify
def test_mutations_end_done_or_with_a_named_error(tmp_path: Path) -> None:
    found = outcomes(TARGET, tmp_path, 1, MUTATIONS)
    assert not left_open(tmp_path)
    assert 0 < found.count(DONE) < MUTATIONS
    assert all(str(tmp_path) in end for end in found if end != DONE)
