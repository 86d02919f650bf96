"""Damaged and forged characters and rigs: each is used, or refused with an error that is named."""

from __future__ import annotations

import copy
import random
from pathlib import Path

from facecap_batch.exporting.gltf.binary import glb_parts
from tests.support.characters import character_bytes, glb, vrm0, vrm1
from tests.support.fuzz_targets.characters import NAMES, TARGET
from tests.support.fuzz_targets.target import DONE, outcome, outcomes
from tests.support.fuzzing import changed_value

MUTATIONS = 400


def test_mutations_end_done_or_with_a_named_error(tmp_path: Path) -> None:
    found = outcomes(TARGET, tmp_path, 1, MUTATIONS)
    assert 0 < found.count(DONE) < MUTATIONS
    assert {end.split(":")[0] for end in found} <= {DONE, "BadRig", "BadCharacter"}


def test_documents_with_one_value_changed_end_done_or_with_a_named_error(tmp_path: Path) -> None:
    ends = set()
    for number in range(MUTATIONS):
        rng = random.Random(number)
        extension = rng.choice([{}, vrm1({"aa": [(0, 1.0)]}), vrm0({"a": [(0, 1.0)]})])
        document, binary = glb_parts(character_bytes(NAMES, **extension))
        path = tmp_path / "a.glb"
        changed = changed_value(rng, copy.deepcopy(document))
        try:
            path.write_bytes(glb(changed, binary))
        except (ValueError, UnicodeEncodeError):
            continue
        ends.add(outcome(TARGET, path).split(":")[0])
    assert ends <= {DONE, "BadCharacter"} and DONE in ends
