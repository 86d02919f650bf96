"""When FBX keys stand: on whole frames for constant-rate clips of any container, else at their own times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.clip import Clip
from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.fbx.key_times import TICKS_PER_SECOND, key_ticks, time_mode
from facecap_batch.exporting.fbx.writer import fbx_bytes
from tests.support.animations import make_table
from tests.support.discs import DiscDetector, DiscRegressor, scene
from tests.support.fbx_readers import find, parse
from tests.support.videos import write_video

FAST = {"libx264": {"preset": "ultrafast"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}}
RATES = [Fraction(24), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(30), Fraction(60000, 1001)]


def disc_clip(
    path: Path, fps: Fraction, count: int, codec: str = "libx264", **how: object
) -> CoefficientTable:
    """The raw table of a real file with a face in every frame."""
    frames = [scene(128, 96, (64, 48, 20))] * count
    write_video(path, frames, fps=fps, codec=codec, options=FAST[codec], **how)  # type: ignore[arg-type]
    return FaceCapture(DiscDetector(), DiscRegressor()).capture(Clip("clip", str(path)))


def written_key_times(table: CoefficientTable) -> list[int]:
    """KTime of the keys of the first curve in the file's bytes."""
    objects = find(parse(fbx_bytes(table))[0], "Objects")[2]
    curve = next(node for node in objects if node[0] == "AnimationCurve")
    return [int(time) for time in find(curve[2], "KeyTime")[1][0]]


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libx264"), (".webm", "libvpx")])
@pytest.mark.parametrize("fps", RATES, ids=lambda fps: f"{float(fps):.3f}")
def test_keys_of_a_constant_rate_stand_on_whole_frames_in_containers_that_round(
    fps: Fraction, suffix: str, codec: str, tmp_path: Path
) -> None:
    """Matroska and WebM round times to milliseconds: frame 76 at 30 fps is at 2.533 s instead of 76/30 s."""
    table = disc_clip(tmp_path / f"clip{suffix}", fps, 77, codec)
    assert table.info.time_base == Fraction(1, 1000) and not table.info.variable_rate
    assert written_key_times(table) == [round(k * TICKS_PER_SECOND / fps) for k in range(77)]


def test_keys_of_a_variable_rate_stand_at_their_own_times(tmp_path: Path) -> None:
    times = [0, 33, 67, 100, 180, 213, 247, 400, 433]
    table = disc_clip(tmp_path / "clip.mkv", Fraction(30), len(times), pts=times, time_base=Fraction(1, 1000))
    assert table.info.variable_rate
    want = [round(Fraction(time, 1000) * TICKS_PER_SECOND) for time in times]
    assert written_key_times(table) == want


def test_an_exact_container_keeps_its_own_grid(tmp_path: Path) -> None:
    """2997/100 is shown as 30000/1001 by tools, but its frames keep the times of the file."""
    fps = Fraction(2997, 100)
    table = disc_clip(tmp_path / "clip.mp4", fps, 40)
    assert written_key_times(table) == [round(k * TICKS_PER_SECOND / fps) for k in range(40)]


def test_equal_times_are_parted() -> None:
    table = make_table(np.array([0, 33, 67, 67, 100]), Fraction(1, 1000), Fraction(30))
    ticks = key_ticks(table, table.info.fps)
    assert list(ticks[[0, 1, 2]]) == [round(Fraction(t, 1000) * TICKS_PER_SECOND) for t in (0, 33, 67)]
    assert (np.diff(ticks) > 0).all()


def test_time_modes() -> None:
    expected = {
        "24": 11,
        "24000/1001": 13,
        "25": 10,
        "30000/1001": 9,
        "30": 6,
        "48": 5,
        "50": 4,
        "60000/1001": 17,
    }
    expected |= {"60": 3, "96": 15, "100": 2, "120": 1, "120000/1001": 18, "15": 14, "2997/100": 9}
    assert {rate: time_mode(Fraction(rate)) for rate in expected} == expected
