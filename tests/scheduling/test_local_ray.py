"""A local Ray is out of reach: it listens on loopback alone, and lets nobody in without its token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facecap_batch.scheduling.cluster import ClusterUnavailable, connected
from tests.support.local_ray import ROOT

# In a process of its own: the token has to be there before Ray is imported.
PROBE = """
import json, os, subprocess, sys
from facecap_batch.scheduling.cluster import connected
from tests.support.local_ray import ON_LOOPBACK
from tests.support.processes import listening_below

JOIN = '''
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.cluster_resources())
'''

with connected(num_cpus=1):
    import ray

    address = ray.get_runtime_context().gcs_address
    ray.get(ray.remote(lambda: 1).remote())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    kept |= ON_LOOPBACK
    joins = {}
    for who, secret in {
        "nobody": {"RAY_AUTH_MODE": "disabled"},
        "guesser": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "7" * 64},
        "ourselves": {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")},
    }.items():
        command = [sys.executable, "-c", JOIN, address]
        try:
            end = subprocess.run(command, env={**kept, **secret}, capture_output=True, timeout=200)
            joins[who] = end.returncode
        except subprocess.TimeoutExpired:
            joins[who] = None
    print(json.dumps({"listening": listening_below(os.getpid()), "joins": joins}))
"""


def test_nobody_reaches_a_local_ray() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    end = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**environment, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert end.returncode == 0, end.stderr
    found = json.loads(end.stdout.splitlines()[-1])
    assert found["listening"] and set(found["listening"]) <= {"127.0.0.1", "::1"}, found["listening"]
    assert found["joins"]["ourselves"] == 0  # else the others might fail for another reason
    assert found["joins"]["nobody"] != 0 and found["joins"]["guesser"] != 0


def test_a_ray_without_tokens_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in Ray's place, as of the last version that had none."""
    (tmp_path / "ray.py").write_text('__version__ = "2.51.2"\n\n\ndef shutdown():\n    pass\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name == "ray" or name.startswith("ray.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ClusterUnavailable, match=r"Ray 2\.51\.2 .*ray>=2\.52"), connected(num_cpus=1):
        pass
