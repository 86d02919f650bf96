"""Plots: what is drawn where, told from matplotlib's own artists, and the files."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, SHAPE_NAMES, CoefficientTable
from facecap_batch.errors import install_hint
from facecap_batch.exporting.plots.channels import (
    GROUPS,
    BadPlot,
    chosen_channels,
    most_moving,
    panels_of,
)
from facecap_batch.exporting.plots.figure import PlottedEvent, PlottedTrack, figure_of
from facecap_batch.exporting.plots.file import SUFFIXES, is_picture, size_of, write_figure
from facecap_batch.exporting.plots.style import HUES, lighter
from tests.support.animations import make_table, with_tongue
from tests.support.movements import BLINK_SHAPE, BOTH_LIDS, moving

pytest.importorskip("matplotlib", reason=f"matplotlib is not installed: {install_hint('plot')}")
import matplotlib
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

JAW = (("jawOpen",), 20, np.linspace(0, 0.8, 30))
TIMES = 5.0 + np.cumsum(np.random.default_rng(3).choice([1 / 60, 1 / 24, 0.1], 90))


def take(clip_id: str = "take", **more: object) -> CoefficientTable:
    return moving(clip_id, TIMES, [(BOTH_LIDS, 10, BLINK_SHAPE), JAW], **more)


def test_the_channels_that_move_most_are_found() -> None:
    assert most_moving([take()], 3) == ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen")
    smile = moving("b", TIMES, [(("mouthSmileLeft",), 5, [0.95] * 40), (("mouthSmileLeft",), 50, [0.0])])
    assert most_moving([take(), smile], 3) == (*BOTH_LIDS, "mouthSmileLeft")  # farther than the jaw
    long = moving("c", np.arange(300) / 30, [(("jawOpen",), 20, [0.4] * 9), (("noseSneerLeft",), 9, [0.9])])
    assert most_moving([long], 1) == ("jawOpen",)  # one wild frame of 300 does not count


def test_channels_are_named_by_column_pair_group_and_number_in_any_case() -> None:
    tables = [take()]
    assert chosen_channels("jawOpen, EYEBLINK", tables) == ("jawOpen", *BOTH_LIDS)
    assert chosen_channels(["brows", "browInnerUp", "2"], tables) == (*GROUPS["brows"], *BOTH_LIDS)
    assert len(chosen_channels("all", tables)) == 57
    both = [*tables, with_tongue(tables[0])]
    assert chosen_channels("tongueout", both) == ("tongueOut",) == chosen_channels("mouth", both)[-1:]
    assert len(chosen_channels("all", both)) == 58 and "tongueOut" not in chosen_channels("mouth", tables)
    assert "tongueOut" in chosen_channels(3, both)
    parts = ("brows", "eyes", "jaw", "mouth", "cheeks", "nose")
    assert sorted(name for part in parts for name in GROUPS[part]) == sorted(SHAPE_NAMES)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("jawopn", r"'jawopn'; did you mean jawOpen"),
        ("tongueOut", "no channel, pair or group is called 'tongueOut'"),
        ("", "no channel is named"),
        (0, "one channel at least, not 0"),
    ],
)
def test_channels_that_are_not_there_are_refused(wanted: str | int, message: str) -> None:
    with pytest.raises(BadPlot, match=message):
        chosen_channels(wanted, [take()])


def test_sides_share_a_panel_and_units_do_not() -> None:
    panels = panels_of(
        ("eyeBlinkLeft", "jawOpen", "headYaw", "eyeBlinkRight", "headZ", "headRoll", "mouthLeft")
    )
    assert [(panel.channels, panel.unit) for panel in panels] == [
        (BOTH_LIDS, "coefficient"),
        (("jawOpen",), "coefficient"),
        (("headYaw", "headRoll"), "degrees"),
        (("headZ",), "cm"),
        (("mouthLeft",), "coefficient"),
    ]
    assert len(panels_of(GROUPS["head"], apart=True)) == 6


def test_curves_are_the_tables_over_the_clips_own_times() -> None:
    made = take(unseen=[40, 41])
    made.head[:, 0] = np.linspace(0, np.pi / 6, len(TIMES))
    figure = figure_of(
        [PlottedTrack(made, raw=made.replace(coefficients=made.coefficients * 0.5))], "eyeBlink,headYaw"
    )
    lids, yaw = figure.axes
    raw_left, left, raw_right, right = lids.lines
    for line, name, factor in ((left, 0, 1.0), (raw_left, 0, 0.5), (right, 1, 1.0), (raw_right, 1, 0.5)):
        wanted = made.coefficients[:, ARKIT_NAMES.index(BOTH_LIDS[name])] * factor
        np.testing.assert_array_equal(line.get_xdata(), made.time_s())
        np.testing.assert_allclose(line.get_ydata(), wanted)
    assert (left.get_color(), right.get_color()) == (HUES[0], lighter(HUES[0]))
    assert raw_left.get_alpha() < 1 and left.get_alpha() is None
    assert (lids.get_ylabel(), yaw.get_ylabel(), yaw.get_xlabel()) == ("coefficient", "degrees", "time (s)")
    np.testing.assert_allclose(yaw.lines[-1].get_ydata()[-1], 30.0, rtol=1e-5)
    assert lids.get_xlim() == yaw.get_xlim() == (made.time_s()[0], made.time_s()[-1])


def bars(axes: matplotlib.axes.Axes) -> list[tuple[str, list[list[float]]]]:
    """Colour, and start and end of every bar, of each collection on a panel."""
    return [
        (
            to_hex(found.get_facecolor()[0]),
            [[path.vertices[:, 0].min(), path.vertices[:, 0].max()] for path in found.get_paths()],
        )
        for found in axes.collections
        if isinstance(found, PolyCollection)
    ]


def test_frames_without_a_face_are_shaded_up_to_the_next_one() -> None:
    made = take(unseen=[0, 40, 41, 42, len(TIMES) - 1])
    at = made.time_s()
    ((colour, spans),) = bars(figure_of([PlottedTrack(made)], "jawOpen").axes[0])
    np.testing.assert_allclose(spans, [[at[0], at[1]], [at[40], at[43]], [at[-1], at[-1]]])
    assert colour == "#b0b0b0"
    assert bars(figure_of([PlottedTrack(take())], "jawOpen").axes[0]) == []


def test_events_are_marked_on_the_panels_and_sides_they_are_read_from() -> None:
    events = (
        PlottedEvent("blink", BOTH_LIDS, "both", 5.5, 0.2, 5.6, 1.0),
        PlottedEvent("blink", BOTH_LIDS[1:], "right", 7.0, 0.1, 7.0, 0.7),
        PlottedEvent("jaw_open", ("jawOpen",), "both", 6.0, 1.0, 6.5, 0.8),
    )
    figure = figure_of([PlottedTrack(take(), events=events)], "eyeBlink,browDown")
    lids, brows = figure.axes
    assert bars(brows) == []
    right, left = bars(lids)
    assert (right[0], left[0]) == (lighter(HUES[0]), HUES[0])
    np.testing.assert_allclose(right[1], [[5.5, 5.7], [7.0, 7.1]])
    np.testing.assert_allclose(left[1], [[5.5, 5.7]])
    peaks = [line for line in lids.lines if line.get_marker() == "v"]
    assert [list(zip(*line.get_data(), strict=True)) for line in peaks] == [
        [(5.6, 1.0), (7.0, 0.7)],
        [(5.6, 1.0)],
    ]
    assert any("events" in text.get_text() for text in figure.texts)


def test_clips_lie_over_each_other_or_below() -> None:
    tracks = [PlottedTrack(take("one", unseen=[3])), PlottedTrack(take("two $x_1$"))]
    over = figure_of(tracks, "jawOpen,rotation")
    assert len(over.axes) == 4 and [line.get_color() for line in over.axes[0].lines] == list(HUES[:2])
    names = [(text.get_text(), to_hex(text.get_color())) for text in over.texts[:2]]
    assert names == [("one", HUES[0]), ("two $x_1$", HUES[1])] and not over.texts[1].get_parse_math()
    below = figure_of(tracks, "jawOpen,rotation", stacked=True)
    assert [len(axes.lines) for axes in below.axes] == [1, 3, 1, 3]
    assert below.get_size_inches()[0] == 12.0


@pytest.mark.parametrize(
    ("count", "more", "message"),
    [
        (11, {}, "11 clips over each other"),
        (9, {"wanted": "all", "stacked": True}, "more than one picture holds"),
        (1, {"size": (200, 200)}, "need from 360x"),
        (1, {"size": (1200, 40_000)}, "not 1200x40000"),
    ],
)
def test_what_cannot_be_read_is_refused(count: int, more: dict[str, object], message: str) -> None:
    with pytest.raises(BadPlot, match=message):
        figure_of([PlottedTrack(take())] * count, **{"wanted": 8, **more})


def test_a_clip_without_frames_or_without_a_face_has_an_empty_plot(tmp_path: Path) -> None:
    empty = make_table(np.zeros(0), Fraction(1, 30), Fraction(30))
    faceless = moving("b", np.arange(5) / 30, unseen=range(5))
    for table in (empty, faceless):
        figure = figure_of([PlottedTrack(table)])
        write_figure(figure, tmp_path / "a.png")
        assert len(figure.axes) == 7  # of the first eight, for want of better ones


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_have_the_same_bytes_every_time(suffix: str, tmp_path: Path) -> None:
    """Whatever the user's own settings of matplotlib are."""
    track = PlottedTrack(take(unseen=[4]))
    write_figure(figure_of([track], size=(800, 900)), tmp_path / f"a{suffix}")
    with matplotlib.rc_context(
        {"savefig.dpi": 30, "lines.linewidth": 5, "svg.hashsalt": None, "font.size": 20}
    ):
        write_figure(figure_of([track], size=(800, 900)), tmp_path / f"b{suffix.upper()}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert data == (tmp_path / f"b{suffix.upper()}").read_bytes()
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert data.startswith(begins[suffix])
    if suffix == ".png":
        assert [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)] == [800, 900]


def test_other_suffixes_and_sizes_are_refused(tmp_path: Path) -> None:
    assert is_picture(Path("a.SVG")) and not is_picture(Path("plots"))
    with pytest.raises(BadPlot, match=r"a\.gif: a plot ends in \.png, \.svg, \.pdf"):
        write_figure(figure_of([PlottedTrack(take())]), tmp_path / "a.gif")
    assert size_of("1600x900") == (1600, 900)
    for text in ("1600", "0x9", "1600x9oo", "-1x5"):
        with pytest.raises(BadPlot, match="such as 1600x900"):
            size_of(text)


def test_pyplot_is_never_loaded(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom tests.exporting.test_plot_figures import take, figure_of, PlottedTrack\n"
        "figure_of([PlottedTrack(take())]).savefig(sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.png")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadPlot, match=r"matplotlib, which is not installed: pip install '\.\[plot\]'"):
        figure_of([PlottedTrack(take())])
