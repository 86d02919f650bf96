"""Columns built of buffers are those that `pyarrow.array` makes, and cost no import of pandas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from facecap_batch.storage import columns
from facecap_batch.storage.columns import number_column, value_column
from tests.support.videos import write_video

FRAMES = np.zeros((12, 48, 64, 3), np.uint8)
# What stands for pandas: it notes who imports it.
PANDAS = "import os, sys\nopen(os.environ['NOTES'], 'a').write(f'{sys.argv}\\n')\nraise ImportError"


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.int64, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("count", [0, 1, 8, 19])
def test_numbers_are_those_of_arrow(kind: type[np.generic], count: int) -> None:
    values = (np.arange(2 * count) % 5).astype(kind)[::2]  # not contiguous
    missing = np.arange(count) % 3 == 1
    for mask in (None, missing, np.zeros(count, bool)):
        made = number_column(values, mask)
        made.validate(full=True)
        assert made.equals(pa.array(np.ascontiguousarray(values), mask=mask))
        assert made.null_count == (0 if mask is None else int(mask.sum()))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", None, "", "ü 写", "x" * 300], pa.string()),
        ([None, None], pa.string()),
        ([], pa.string()),
        ([1, None, -3], pa.int32()),
        ([2**62, None], pa.int64()),
        ([0.1, None, 3, float("nan")], pa.float64()),
        ([], pa.float64()),
    ],
)
def test_values_are_those_of_arrow(values: list[object], kind: pa.DataType) -> None:
    made = value_column(values, kind)
    made.validate(full=True)
    assert made.type == kind and str(made) == str(pa.array(values, kind))


def test_what_a_column_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OverflowError):
        value_column([2**31], pa.int32())
    monkeypatch.setattr(columns, "MAX_TEXT", 5)
    with pytest.raises(OverflowError, match="6 bytes of text"):
        value_column(["abc", "def"], pa.string())


def test_commands_import_no_pandas(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mkv", FRAMES, codec="ffv1", pixel_format="bgr0")
    (tmp_path / "stub" / "pandas").mkdir(parents=True)
    (tmp_path / "stub" / "pandas" / "__init__.py").write_text(PANDAS)
    notes = tmp_path / "notes"
    environment = {
        **os.environ,
        "NOTES": str(notes),
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "stub"), *sys.path]),
    }
    command = [sys.executable, "-m", "facecap_batch", "run", "clip.mkv", "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "coefficients" / "clip.parquet").exists()
    for command in (
        ["status", "out"],
        ["query", "out", "FROM clips"],
        ["query", "out", "--csv", "FROM clips"],
    ):
        subprocess.run(
            [sys.executable, "-m", "facecap_batch", *command], cwd=tmp_path, env=environment, check=True
        )
    assert not notes.exists(), notes.read_text()
