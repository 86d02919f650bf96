"""The examples of docs/python.md, executed as a reader would: one script, in a folder with the demo clips."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "python.md"


def test_the_examples_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    (tmp_path / "demo").symlink_to(ROOT / "manifests" / "demo")
    (tmp_path / "demo.csv").symlink_to(ROOT / "manifests" / "demo.csv")
    script = tmp_path / "examples.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    ended = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("speaking ") and "4 of 4 clips," in ended.stdout
    assert {path.suffix for path in (tmp_path / "takes").iterdir()} == {".fbx", ".csv", ".parquet", ".svg"}
    for made in ("out/demo/livelink/turning.csv", "out/demo/preview/speaking.jpg", "out/two/fbx/turning.fbx"):
        assert (tmp_path / made).stat().st_size, made
