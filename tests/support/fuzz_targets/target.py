"""What a kind of input must bring with it to be fuzzed.

In: nothing. Out: `Target`. Tests give its mutations to the product a few hundred at a time,
`benchmarks/reliability/fuzz.py` thousands in a process of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from facecap_batch.errors import FacecapError
from tests.support.fuzzing import Mutator, mutations
from tests.support.opened_files import OpenedFiles, watching

DONE = "done"
SECRET = "secret"


@dataclasses.dataclass(frozen=True)
class Target:
    """One kind of input."""

    # Makes valid inputs. The folder is empty, stays, and may be filled with what the inputs name. What lies
    # in its folder `SECRET` nobody may open.
    inputs: Callable[[Path], list[bytes]]
    # Gives a file to the product, which may raise: a `FacecapError` is a good end, anything else a find.
    take: Callable[[Path], None]
    mutators: Mapping[str, Mutator]
    suffixes: tuple[str, ...]  # of the files, in turn


def outcome(target: Target, path: Path) -> str:
    """How the product took the file at `path`: `DONE`, or the error by name and text. Raises what it has not
    named."""
    try:
        target.take(path)
    except FacecapError as error:
        return f"{type(error).__name__}: {error}"
    return DONE


def outcomes(target: Target, folder: Path, seed: int, count: int) -> list[str]:
    """The outcomes of `count` mutations, written one after the other into `folder`, which is empty.

    Raises:
        AssertionError: One ended with an error that is not named, or opened what it must not; it tells which
            mutation that was.
    """
    needed, given = folder / "needed", folder / "given"
    (needed / SECRET).mkdir(parents=True)
    given.mkdir()
    valid = target.inputs(needed)
    with watching(needed / SECRET) as opened:
        return list(_outcomes(target, valid, given, opened, seed, count))


def _outcomes(
    target: Target, valid: list[bytes], given: Path, opened: OpenedFiles, seed: int, count: int
) -> Iterator[str]:
    for one in mutations(valid, seed, count, target.mutators):
        path = given / f"input{target.suffixes[one.number % len(target.suffixes)]}"
        path.write_bytes(one.data)
        try:
            yield outcome(target, path)
        except Exception as error:
            raise AssertionError(f"seed {seed}, mutation {one.number} ({', '.join(one.kinds)})") from error
        assert not opened.since(), f"seed {seed}, mutation {one.number} opens what it must not"
        path.unlink()
