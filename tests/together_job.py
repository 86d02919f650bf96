"""`jobs/run_manifest.py` with workers that wait for each other."""

from __future__ import annotations

import runpy

from faulty_workers import TogetherWorker
from ray_for_tests import ROOT

import facecap_batch.worker

if __name__ == "__main__":
    facecap_batch.worker.ClipWorker = TogetherWorker  # type: ignore[misc]
    runpy.run_path(str(ROOT / "jobs/run_manifest.py"), run_name="__main__")
