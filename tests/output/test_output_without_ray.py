"""What an import brings in: looking into a folder needs no Ray, and scheduling knows nothing of clips."""

from __future__ import annotations

import json
import subprocess
import sys

IMPORT_ALL = """
import importlib, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f"{package.__name__}.{module.name}")
print(json.dumps(sorted(sys.modules)))
"""


def imported_with(package: str) -> set[str]:
    """The modules that a fresh process holds after importing every module of `package`."""
    command = [sys.executable, "-c", IMPORT_ALL, package]
    return set(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def test_output_brings_in_neither_ray_nor_decoders() -> None:
    modules = imported_with("facecap_batch.output")
    assert not modules & {"ray", "cv2", "av", "torch", "onnxruntime", "duckdb"}
    assert not any(name.startswith(("facecap_batch.runs", "facecap_batch.scheduling")) for name in modules)


def test_scheduling_brings_in_the_ground_alone() -> None:
    modules = imported_with("facecap_batch.scheduling")
    ours = {name.removeprefix("facecap_batch.") for name in modules if name.startswith("facecap_batch.")}
    # Of storage the scratch folders alone, where a Ray of this machine keeps its files.
    beside = {name for name in ours if name.split(".")[0] != "scheduling"}
    assert beside <= {"errors", "machine", "storage", "storage.scratch"}
