"""What workers import: what their driver imports, and nothing that lies in the working directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.local_ray import ON_LOOPBACK, ROOT

# Modules that workers import; in the working directory each tells that it was executed.
TRAPS = ("json", "multiprocessing", "pickle", "wave", "numpy", "facecap_batch", "tests")

# As whoever gives commands with a relative PYTHONPATH, and then goes where the footage lies.
DRIVER = """
import json, os, sys
import facecap_batch
from facecap_batch.scheduling.python_process import call_in_new_process
from facecap_batch.scheduling.worker_process import WorkerProcess
from tests.support.toy_workers import ToyWorker, import_place
os.chdir(sys.argv[1])
"""
PROCESSES = """
worker = WorkerProcess(ToyWorker)
ready = type(worker.receive(100)).__name__
worker.kill()
print(json.dumps([ready, call_in_new_process(import_place, "facecap_batch")]))
"""
RAY = """
import subprocess
from facecap_batch.scheduling import cluster
with cluster.connected(num_cpus=1):
    import ray

    ready = type(ray.get(ray.remote(ToyWorker).remote().ready.remote(), timeout=200)).__name__
    place = ray.get(ray.remote(import_place).remote("facecap_batch"))
    address = ray.get_runtime_context().gcs_address
    joined = subprocess.run([sys.executable, sys.argv[2], address], env=os.environ | json.loads(sys.argv[3]))
    print(json.dumps([ready, place, joined.returncode]))
"""
# A driver that joins a Ray.
JOINING = """
import sys
from facecap_batch.scheduling import cluster
with cluster.connected(sys.argv[1]):
    import ray

    ray.get(ray.remote(lambda: __import__("wave").__name__).remote(), timeout=200)
"""


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A folder of footage, with modules among it."""
    folder = tmp_path / "footage"
    folder.mkdir()
    for name in TRAPS:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')\n")
    return folder


def drive(footage: Path, code: str, *arguments: str) -> list[object]:
    """What `code`, with workers in `footage`, prints; nothing of `footage` was executed."""
    start, script = footage.parent / "start", footage.parent / "scripts" / "driver.py"
    start.mkdir()
    script.parent.mkdir()
    script.write_text(DRIVER + code)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    end = subprocess.run(
        [sys.executable, script, footage, *arguments], cwd=start, capture_output=True, text=True, timeout=900,
        env={**environment, "PYTHONPATH": os.path.relpath(ROOT, start)},
    )  # fmt: skip
    executed = footage.parent / "executed"
    assert not executed.exists(), executed.read_text()
    assert end.returncode == 0, end.stderr
    return json.loads(end.stdout.splitlines()[-1])


def test_a_process_of_this_machine(footage: Path) -> None:
    ready, place = drive(footage, PROCESSES)
    assert (ready, place) == ("WorkerReady", str(ROOT / "facecap_batch" / "__init__.py"))


def test_workers_of_ray(footage: Path, tmp_path: Path) -> None:
    joining = tmp_path / "joining.py"
    joining.write_text(JOINING)
    more = json.dumps({**ON_LOOPBACK, "PYTHONPATH": str(ROOT)})
    ready, place, joined = drive(footage, RAY, str(joining), more)
    assert (ready, place) == ("WorkerReady", str(ROOT / "facecap_batch" / "__init__.py"))
    assert joined == 0
