"""Lower bounds of dependencies, as far as that can be told without an index: `.ci/bounds.py` asks one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from facecap_batch import machine

if sys.version_info < (3, 11):
    pytest.skip("tomllib came with Python 3.11", allow_module_level=True)

import tomllib

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]
    return [each for each in map(Requirement, texts) if each.name != PROJECT["name"]]


def bound(requirement: Requirement) -> str:
    return next((each.version for each in requirement.specifier if each.operator in (">=", "==")), "")


def test_every_dependency_has_one_lower_bound() -> None:
    """The same in each extra, or what is tested is one of several."""
    bounds: dict[tuple[str, str], set[Version]] = {}
    for each in requirements():
        assert bound(each), f"{each} has no lower bound"
        bounds.setdefault((each.name, str(each.marker)), set()).add(Version(bound(each)))
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def test_pictures_are_the_same_from_the_lower_bounds_on() -> None:
    lowest = {each.name: Version(bound(each)).major for each in requirements()}
    for package, majors in machine.SAME_PICTURES.items():
        assert majors.start == lowest[package]


def test_what_is_installed_was_compared() -> None:
    """A new major version is: run the demo with it and with an older one, compare the folders with
    ``benchmarks/accuracy/same_results.py``, then widen `SAME_PICTURES` or raise the capture's revision."""
    assert machine.other_pictures() == {}
