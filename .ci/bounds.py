"""The lowest versions that pyproject.toml allows, on every Python that it names.

In: the installed metadata of this project, the package index. Out: a file of constraints for this Python,
with every dependency at its lower bound; exit code 1 where a bound is missing, or is no version that can be
installed on one of the Pythons. Run by `.ci/run`, in an environment with `packaging` and `uv`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
import subprocess
import sys
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = "facecap-batch"
# Not gpu, which installs the same files as cpu, and not tensorrt, whose libraries are on NVIDIA's own index.
RUNNING = ("cpu", "openvino", "query", "pandas", "cluster", "storage", "usd")
EXTRAS = (*RUNNING, "torch", "train", "import", "test")
PYTHON = re.compile(r"Programming Language :: Python :: (3\.\d+)")


def pythons() -> list[str]:
    classifiers = importlib.metadata.metadata(PROJECT).get_all("Classifier") or []
    return [found[1] for text in classifiers if (found := PYTHON.fullmatch(text))]


def declared(python: str) -> dict[str, Version | None]:
    """Package to its lower bound on `python`, e.g. "3.12"; None where there is none."""
    found: dict[str, Version | None] = {}
    for text in importlib.metadata.requires(PROJECT) or []:
        requirement = Requirement(text)
        here = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
        wanted = any(
            requirement.marker is None or requirement.marker.evaluate({**here, "extra": extra})
            for extra in EXTRAS
        )
        if not wanted or requirement.name == PROJECT:
            continue
        lowest = [Version(each.version) for each in requirement.specifier if each.operator in (">=", "==")]
        known = found.get(requirement.name)
        found[requirement.name] = max([*lowest, *([known] if known else [])], default=None)
    return found


def resolved(python: str) -> str:
    """Constraints: the lowest wheels that satisfy this project on `python`; everything else the newest."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--resolution", "lowest-direct", "--quiet"]
    command += ["--no-build", "--no-header", "--no-annotate", "--python-version", python]
    command += [word for extra in EXTRAS for word in ("--extra", extra)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def faults(python: str, constraints: str) -> list[str]:
    """What is wrong with the bounds of `python`, in words."""
    there = dict(line.split("==") for line in constraints.splitlines() if "==" in line)
    found = []
    for package, bound in declared(python).items():
        if bound is None:
            found.append(f"{package} has no lower bound")
        elif Version(there[package].split(" ")[0]) != bound:
            found.append(f"{package}>={bound} on Python {python}: the lowest is {there[package]}")
    return found


def main(target: Path) -> int:
    """Write the constraints of this Python to `target`; 1 where a bound is wrong."""
    here = ".".join(platform.python_version_tuple()[:2])
    wrong = []
    for python in sorted({*pythons(), here}):
        try:
            constraints = resolved(python)
        except subprocess.CalledProcessError as error:
            wrong.append(f"Python {python}: {error.stderr.strip()}")
            continue
        wrong += faults(python, constraints)
        if python == here:
            target.write_text(constraints, encoding="utf-8")
    for fault in wrong:
        print(fault)
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path, help="file that the constraints of this Python are written to")
    sys.exit(main(parser.parse_args().target))
