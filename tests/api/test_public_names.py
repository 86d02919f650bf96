"""The public names: pinned, lazy, typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import facecap_batch

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = [
    "Capture",
    "CaptureSettings",
    "CoefficientTable",
    "ExportedClip",
    "FacecapError",
    "MovementThresholds",
    "OpenEngines",
    "RunSummary",
    "SolveSettings",
    "Status",
    "__version__",
    "capture",
    "export",
    "open_engines",
    "preview",
    "query",
    "read",
    "report",
    "run",
    "status",
]
HEAVY = ("numpy", "pyarrow", "ray", "cv2", "av", "torch", "onnxruntime")


def modules_after(statement: str) -> list[str]:
    """Which of HEAVY a fresh interpreter holds after `statement`."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ended.stdout.split()


def test_the_names_are_these() -> None:
    assert facecap_batch.__all__ == PUBLIC == dir(facecap_batch)
    for name in PUBLIC:
        assert getattr(facecap_batch, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = facecap_batch.nothing  # type: ignore[attr-defined]


def test_public_functions_are_documented() -> None:
    for name in PUBLIC:
        if name != "__version__":
            assert (getattr(facecap_batch, name).__doc__ or "").strip(), name


def test_the_package_is_typed() -> None:
    assert (ROOT / "facecap_batch" / "py.typed").is_file()


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import facecap_batch", set()),
        ("import facecap_batch; dir(facecap_batch)", set()),
        ("import facecap_batch; facecap_batch.CaptureSettings(); facecap_batch.SolveSettings()", set()),
        ("import facecap_batch.capturing.settings", set()),
        ("import facecap_batch.capturing.segments.plan", set()),
        ("import facecap_batch.capturing.segments.result", {"numpy"}),
    ],
)
def test_an_import_brings_in_nothing_heavy(statement: str, allowed: set[str]) -> None:
    assert set(modules_after(statement)) <= allowed
