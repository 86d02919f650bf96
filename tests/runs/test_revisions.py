"""Changed results need a new revision, or folders made before would count as done.

In: a synthesised clip with known faces, and a raw table with gaps and jumps. Out: their raw and final
tables, held against the recorded ones in ``golden/``. Values are compared within a tolerance, because
processors differ in the last bits of a resized image. Where the results change on purpose, raise the revision
that the failure names and record the tables anew: ``python -m tests.runs.test_revisions``.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.settings import CAPTURE_REVISION, CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.coefficients import ARKIT_NAMES, OUTPUT_NAMES, ClipInfo, CoefficientTable, to_arrow
from facecap_batch.runs import config
from facecap_batch.runs.config import RunConfig
from facecap_batch.solve.settings import SOLVE_REVISION, SolveSettings
from facecap_batch.solve.solver import solve_table
from tests.support.discs import DiscDetector, DiscRegressor
from tests.support.long_clips import pictures
from tests.support.videos import write_video

GOLDEN = Path(__file__).parent / "golden"
FRAMES = 48
TOLERANCE = 5e-3  # of coefficients (0..1), radians and scores (0..1)
LARGE_TOLERANCE = 5e-2  # of boxes (pixels) and positions (centimetres)
LARGE = ("x0", "y0", "x1", "y1", "headX", "headY", "headZ")
DECIMALS = 4

Columns = dict[str, list[float | None]]


def raw_columns() -> Columns:
    """What the capture makes of a disc that wanders, hides for a while and comes back."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(
            Path(folder) / "disc.mkv", pictures(FRAMES, [range(20, 27)]), codec="ffv1", pixel_format="bgr0"
        )
        capture = FaceCapture(DiscDetector(), DiscRegressor(), CaptureSettings())
        return columns_of(capture.capture(Clip("disc", str(path))))


def final_columns() -> Columns:
    """What the solve makes of blinks, noise, a short and a long gap and a head that jumps away and back."""
    noise = np.sin(np.arange(FRAMES * 57).reshape(FRAMES, 57) * 12.9898) * 0.02
    frames = np.arange(FRAMES)
    values = (0.4 + 0.3 * np.sin(frames / 9)[:, None] + noise).astype(np.float32)
    blink = np.exp(-(((frames - 12) / 1.5) ** 2)) * 0.7
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        values[:, ARKIT_NAMES.index(name)] = 0.05 + blink + 0.2 * noise[:, 0]
    values[:, OUTPUT_NAMES.index("headZ")] += 50
    values[32, 51:54] += 1.2
    found = np.ones(FRAMES, bool)
    found[17:20] = found[36:] = False
    values[~found] = np.nan
    box = np.tile(np.array([20, 30, 60, 70], np.float32), (FRAMES, 1))
    box[~found] = np.nan
    table = CoefficientTable(
        info=ClipInfo("defects", "defects.mp4", 96, 96, Fraction(30), Fraction(1, 30), 0, False),
        frame_index=frames.astype(np.int32),
        pts=frames.astype(np.int64),
        face_found=found,
        score=np.where(found, 0.9, np.nan).astype(np.float32),
        box=box,
        coefficients=values[:, :51],
        head=values[:, 51:],
        metadata={"regressor_gains": json.dumps({"jawOpen": 1.25})},
    )
    return columns_of(solve_table(table, SolveSettings()))


def columns_of(table: CoefficientTable) -> Columns:
    arrow = to_arrow(table).drop_columns(["clip_id"])
    return {
        name: [None if value is None else round(float(value), DECIMALS) for value in arrow[name].to_pylist()]
        for name in arrow.column_names
    }


@dataclasses.dataclass(frozen=True)
class Golden:
    """A recorded table and the revision that it is of."""

    name: str
    revision: int
    constant: str  # where the revision stands
    columns: Callable[[], Columns]

    @property
    def path(self) -> Path:
        return GOLDEN / f"{self.name}.json"

    def differences(self) -> list[str]:
        """Columns that differ from the recorded ones; raises FileNotFoundError where none were recorded."""
        recorded, now = json.loads(self.path.read_text())["columns"], self.columns()
        found = [f"{name}: only on one side" for name in sorted(set(recorded) ^ set(now))]
        for name in recorded.keys() & now.keys():
            then, value = (np.array(each[name], float) for each in (recorded, now))
            tolerance = LARGE_TOLERANCE if name in LARGE else TOLERANCE
            if then.shape != value.shape or not np.allclose(then, value, 0, tolerance, equal_nan=True):
                found.append(name)
        return sorted(found)

    def record(self) -> None:
        """Write the file anew. Refuses where results differ and the revision was not raised."""
        if self.path.exists():
            recorded = json.loads(self.path.read_text())["revision"]
            if self.differences() and recorded == self.revision:
                raise SystemExit(f"{self.name}: the results differ; raise {self.constant} first")
        content = {"revision": self.revision, "columns": self.columns()}
        self.path.write_text(json.dumps(content).replace("], ", "],\n") + "\n")


ALL = (
    Golden("raw", CAPTURE_REVISION, "CAPTURE_REVISION in facecap_batch/capturing/settings.py", raw_columns),
    Golden("final", SOLVE_REVISION, "SOLVE_REVISION in facecap_batch/solve/settings.py", final_columns),
)


@pytest.mark.parametrize("golden", ALL, ids=lambda golden: golden.name)
def test_results_are_those_of_the_revision(golden: Golden) -> None:
    recorded = json.loads(golden.path.read_text())["revision"]
    anew = "record the tables anew: python -m tests.runs.test_revisions"
    assert recorded == golden.revision, f"the revision was raised: {anew}"
    differences = golden.differences()
    assert not differences, f"the results have changed: raise {golden.constant}, then {anew}. {differences}"


def test_the_recorded_tables_hold_what_they_should() -> None:
    raw, final = (json.loads(golden.path.read_text())["columns"] for golden in ALL)
    assert raw["face_found"].count(0.0) == 7 and None in raw["headZ"]
    assert final["jawOpen"][18] is not None and final["jawOpen"][-1] is None
    assert abs(final["headYaw"][32] - final["headYaw"][31]) < 0.3  # the jump was dropped


def test_a_revision_changes_what_counts_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    run_config = RunConfig("discs", {}, CaptureSettings(), SolveSettings())
    before = run_config.capture_fingerprint(), run_config.fingerprint()
    with monkeypatch.context() as solved:
        solved.setattr(config, "SOLVE_REVISION", SOLVE_REVISION + 1)
        assert run_config.capture_fingerprint() == before[0] and run_config.fingerprint() != before[1]
    monkeypatch.setattr(config, "CAPTURE_REVISION", CAPTURE_REVISION + 1)
    assert run_config.capture_fingerprint() != before[0] and run_config.fingerprint() != before[1]


if __name__ == "__main__":
    for each in ALL:
        each.record()
