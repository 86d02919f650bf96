"""Plots of captures and of an output folder, by the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecap_batch.api.captures import Capture, read
from facecap_batch.exporting.plots.channels import BadPlot
from facecap_batch.output.plots.clips import PlotOptions, plot_each
from facecap_batch.output.plots.tracks import UnknownTrack, plotted_track
from facecap_batch.output.sql.thresholds import MovementThresholds
from facecap_batch.runs.config import RunConfig
from tests.support.commands import call
from tests.support.movements import BLINK_SHAPE, BOTH_LIDS, moving
from tests.support.runs import run_quietly, write_clips

pytest.importorskip("matplotlib")
pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def folder(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run made of two clips, beside one that failed."""
    folder = tmp_path_factory.mktemp("plots")
    manifest = write_clips(folder, {"one": 12, "two": 20})
    with manifest.open("a") as file:
        file.write("bad.mp4\n")
    (folder / "bad.mp4").write_bytes(b"not a video")
    assert run_quietly(manifest, folder / "out", config, workers=1).exit_code == 1
    return folder / "out"


def test_the_events_of_a_table_are_marked_on_their_channels() -> None:
    smile = (("mouthSmileLeft",), 40, [0.9] * 5)
    brows = (("browInnerUp",), 60, [0.8] * 5)
    made = moving("a", np.arange(90) / 30, [(BOTH_LIDS, 10, BLINK_SHAPE), smile, brows])
    found = {event.event: event for event in plotted_track(made, None, MovementThresholds()).events}
    assert set(found) == {"blink", "smile", "brow_raise"}
    blink = found["blink"]
    at = made.time_s()
    assert (blink.channels, blink.side, blink.peak) == (BOTH_LIDS, "both", 1.0)
    assert (blink.start_s, blink.peak_s, blink.seconds) == (at[11], at[12], pytest.approx(4 / 30))
    assert (found["smile"].channels, found["smile"].side) == (("mouthSmileLeft",), "left")
    assert set(found["brow_raise"].channels) == {"browInnerUp", "browOuterUpLeft", "browOuterUpRight"}
    assert plotted_track(made, None, MovementThresholds(0.95, release=0.35)).events == (blink,)
    assert plotted_track(made, None, None).events == ()


def test_a_capture_is_plotted_alone_or_beside_others() -> None:
    made = moving("a", np.arange(60) / 30, [(BOTH_LIDS, 10, BLINK_SHAPE)])
    other = moving("b", np.arange(90) / 30)
    first, second = Capture((made,), (made,)), Capture((other,), (other,))
    alone = first.plot("eyeBlink", raw=True)
    assert [len(axes.lines) for axes in alone.axes] == [6]  # raw and final of each side, and peaks
    assert [len(axes.lines) for axes in first.plot("eyeBlink", thresholds=None).axes] == [2]
    over = first.plot("jawOpen", others=[second])
    assert [len(axes.lines) for axes in over.axes] == [2] and over.axes[0].get_xlim() == (0.0, 89 / 30)
    assert len(first.plot("jawOpen", others=[second], stacked=True, size=(800, 600)).axes) == 2
    with pytest.raises(UnknownTrack, match="'a' has no track 1"):
        first.plot(track=1)


def test_the_command_plots_each_clip_that_is_done(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "plot", folder)
    assert (code, err) == (0, "")
    assert out.split() == [str(folder / "plots" / f"{name}.png") for name in ("one", "two")]
    assert sorted(path.name for path in (folder / "plots").iterdir()) == ["one.png", "two.png"]
    capture = read(folder, "one")
    code, out, _ = call(
        capsys, "plot", folder, "--clip", "one", "--channels", "brows", "--channels", "2,headYaw", "--raw",
        "--no-events", "--to", tmp_path / "a.svg", "--size", "900x700",
    )  # fmt: skip
    assert (code, out.strip()) == (0, str(tmp_path / "a.svg"))
    figure = capture.plot(["brows", "2,headYaw"], raw=True, thresholds=None, size=(900, 700))
    assert tuple(figure.get_size_inches()) == (9.0, 7.0)
    text = (tmp_path / "a.svg").read_text()
    assert 'width="648pt" height="504pt"' in text and "<path" in text
    code, _, _ = call(capsys, "plot", folder, "--to", tmp_path / "b.pdf", "--layout", "stacked")
    assert code == 0 and (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--channels", "jawopn"], 2, "did you mean jawOpen"),
        (["--clip", "bad"], 2, "not there, or not done: bad"),
        (["--size", "900"], 2, "such as 1600x900"),
        (["--track", "3"], 1, "one: clip 'one' has no track 3"),
        (["--track", "3", "--to", "a.png"], 2, "clip 'one' has no track 3"),
        (["--layout", "above"], 2, "above"),
    ],
)
def test_what_cannot_be_plotted_is_said(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, err = call(capsys, "plot", folder, *arguments)
    assert found == code and message in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_nothing_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadPlot, match="not installed: pip install"):
        next(plot_each(folder, [], folder / "plots", ".png", PlotOptions()))
