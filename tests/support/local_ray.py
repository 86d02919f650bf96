"""One Ray for a test module, started and stopped the way a run does it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from facecap_batch.scheduling import cluster

# Test modules import Ray at their top, before a token can be given to it: say so, or Ray writes one
# into HOME.
if "ray" in sys.modules:
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")

ROOT = Path(__file__).resolve().parents[2]
# For another process that joins a local Ray: it looks for the node on the loopback interface, where that is.
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@contextlib.contextmanager
def importable() -> Iterator[None]:
    """Within this context the workers of a Ray that is started can import the test modules, too."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONPATH")
        else:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def local_ray(num_cpus: int = 2) -> Iterator[None]:
    """Ray of the tests' own; its workers import what this process does, the test modules included."""
    with cluster.connected(num_cpus=num_cpus):
        yield
