"""What importing the package costs and where torch may stand: what import-linter cannot check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "facecap_batch"
# Loaded by the torch backend when it opens, never before.
TORCH_AT_MODULE_LEVEL = ("importing/networks", "training", "engines/backends/torch_ops.py")
HEAVY = ("av", "cv2", "duckdb", "numpy", "onnxruntime", "pyarrow", "ray", "torch")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def loaded_by(statement: str, packages: tuple[str, ...]) -> list[str]:
    """Which of `packages` a fresh interpreter has loaded after `statement`."""
    script = f"{statement}\nimport sys\nprint(*[name for name in {packages!r} if name in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=PACKAGE.parent
    )
    return out.stdout.split()


def test_the_package_loads_nothing_heavy():
    assert loaded_by("import facecap_batch", HEAVY) == []


def test_every_folder_with_modules_is_a_package():
    # An ignored or forgotten __init__.py leaves the folder out of the wheel.
    folders = {path.parent for path in modules()}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_torch_at_module_level_only_where_it_may(path: Path):
    if path.relative_to(PACKAGE).as_posix().startswith(TORCH_AT_MODULE_LEVEL):
        return
    imported = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert "torch" not in imported
