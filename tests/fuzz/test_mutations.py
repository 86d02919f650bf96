"""The mutations themselves: the same for the same seed, and really different inputs."""

from __future__ import annotations

import json
import random

from tests.support.fuzzing import BYTES, TEXT, changed_value, mutations

INPUTS = [bytes(range(256)) * 20, b'path,start\na.mp4,12.5\nb.mp4,"00:00:01"\n']


def test_a_seed_gives_the_same_mutations() -> None:
    first = [one.data for one in mutations(INPUTS, 7, 50, BYTES | TEXT)]
    assert first == [one.data for one in mutations(INPUTS, 7, 50, BYTES | TEXT)]
    assert first != [one.data for one in mutations(INPUTS, 8, 50, BYTES | TEXT)]
    assert sum(data in INPUTS for data in first) < 5


def test_every_mutator_takes_every_input() -> None:
    for name, mutator in (BYTES | TEXT).items():
        changed = 0
        for data in (*INPUTS, b"", b"1"):
            for seed in range(20):
                changed += mutator(random.Random(seed), data, [*INPUTS, b""]) != data
        assert changed, name


def test_a_changed_value_leaves_the_original() -> None:
    value = {"a": [1, {"b": "c"}], "d": 1.5}
    kept = json.dumps(value)
    changed = [changed_value(random.Random(seed), value) for seed in range(200)]
    assert json.dumps(value) == kept
    assert len({json.dumps(one) for one in changed}) > 50
    assert changed_value(random.Random(0), 3) != 3
