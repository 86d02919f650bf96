"""`jobs/run_manifest.py` with workers that wait for each other."""

from __future__ import annotations

import runpy

import facecap_batch.runs.worker
from tests.support.faulty_workers import TogetherWorker
from tests.support.local_ray import ROOT

if __name__ == "__main__":
    facecap_batch.runs.worker.ClipWorker = TogetherWorker  # type: ignore[misc]
    runpy.run_path(str(ROOT / "jobs/run_manifest.py"), run_name="__main__")
