"""The picture of one or several tracks over time, as a matplotlib figure.

In: `PlottedTrack`s and the channels. Out: a `Figure`, which needs neither a display nor pyplot and keeps none
of its state. Times are the clip's own. Left is the darker, right the lighter colour of a pair; where several
clips lie over each other, colours tell clips apart. The same tables give the same picture, whatever
matplotlib is configured to.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.errors import install_hint
from facecap_batch.exporting.channels import side_of
from facecap_batch.exporting.plots.channels import (
    COEFFICIENT,
    MOST_MOVING,
    BadPlot,
    Panel,
    chosen_channels,
    panels_of,
    values_of,
)
from facecap_batch.exporting.plots.style import (
    BAR_HEIGHT,
    BOTTOM,
    CLIP_SHADE_ALPHA,
    DIM,
    GRID,
    HUES,
    INK,
    LEFT,
    MAX_PANELS,
    MAX_PIXELS,
    MIN_PANEL_HEIGHT,
    MIN_WIDTH,
    PANEL_HEIGHT,
    PIXELS_PER_INCH,
    RAW_ALPHA,
    RAW_WIDTH,
    RIGHT,
    SHADE,
    SHADE_ALPHA,
    TOP,
    WIDTH,
    lighter,
    own_settings,
)
from facecap_batch.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_MATPLOTLIB = f"plots need matplotlib, which is not installed: {install_hint('plot')}"


@dataclasses.dataclass(frozen=True)
class PlottedEvent:
    """A movement to mark."""

    event: str  # "blink"
    channels: tuple[str, ...]  # on whose panels
    side: str  # "left", "right" or "both"
    start_s: float
    seconds: float
    peak_s: float
    peak: float  # coefficient, 0..1


@dataclasses.dataclass(frozen=True, eq=False)
class PlottedTrack:
    """One person of one clip."""

    final: CoefficientTable
    raw: CoefficientTable | None = None  # drawn faintly behind the final curves
    events: tuple[PlottedEvent, ...] = ()


def require_matplotlib() -> None:
    """Raise BadPlot, with what to install, where matplotlib is not there."""
    if importlib.util.find_spec("matplotlib") is None:
        raise BadPlot(NO_MATPLOTLIB)


def figure_of(
    tracks: Sequence[PlottedTrack],
    wanted: Sequence[str] | str | int = MOST_MOVING,
    *,
    stacked: bool = False,
    size: tuple[int, int] | None = None,
) -> Figure:
    """Draw curves over time.

    Args:
        tracks: What is drawn, at least one.
        wanted: The channels, as `channels.chosen_channels` takes them.
        stacked: Whether several tracks stand below each other; else they lie over each other.
        size: Width and height in pixels, 100 to the inch; None: 1200, and as high as the panels need.

    Raises:
        BadPlot: matplotlib is not installed, a channel is unknown, or there is more than can be told apart
            in one picture.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    overlaid = len(tracks) > 1 and not stacked
    panels = panels_of(chosen_channels(wanted, [track.final for track in tracks]), apart=overlaid)
    groups = [tuple(tracks)] if overlaid else [(track,) for track in tracks]
    rows = len(panels) * len(groups)
    gaps = TOP * len(groups) + BOTTOM
    width, height = size or (WIDTH, gaps + rows * PANEL_HEIGHT)
    _require_room(groups, rows, width, height, gaps)
    panel_height = (height - gaps) / rows
    with own_settings():
        figure = Figure((width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), PIXELS_PER_INCH)
        page = _Page(figure, width, height, panel_height)
        top = 0.0
        for group in groups:
            axes = [page.axes(top + TOP + row * panel_height) for row in range(len(panels))]
            page.heading(top, group, overlaid)
            for number, (panel, at) in enumerate(zip(panels, axes, strict=True)):
                _draw_panel(at, panel, group, None if overlaid else HUES[number % len(HUES)])
            for at in axes[:-1]:
                at.set_xticklabels([])
            axes[-1].set_xlabel("time (s)")
            top += TOP + len(panels) * panel_height
        page.footing(tracks)
    return figure


def _require_room(
    groups: Sequence[Sequence[PlottedTrack]], rows: int, width: int, height: int, gaps: int
) -> None:
    """Raise BadPlot where what is to be drawn cannot be told apart, or read, in one picture."""
    clips = max(map(len, groups))
    if clips > len(HUES):
        raise BadPlot(f"{clips} clips over each other cannot be told apart: stack them, or name {len(HUES)}")
    if rows > MAX_PANELS:
        raise BadPlot(
            f"{rows} panels are more than one picture holds ({MAX_PANELS}): name fewer channels or clips"
        )
    least = LEFT + RIGHT + MIN_WIDTH, gaps + rows * MIN_PANEL_HEIGHT
    if width < least[0] or height < least[1] or max(width, height) > MAX_PIXELS:
        raise BadPlot(
            f"{rows} panels need from {least[0]}x{least[1]} to {MAX_PIXELS}x{MAX_PIXELS} pixels, "
            f"not {width}x{height}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Page:
    """Where things stand on a figure: pixels from its upper left corner."""

    figure: Figure
    width: float
    height: float
    panel_height: float

    def axes(self, top: float) -> Axes:
        """The axes of the panel that begins at `top`."""
        tall = self.panel_height * 0.74
        bottom = 1 - (top + self.panel_height * 0.13 + tall) / self.height
        inside = (self.width - LEFT - RIGHT) / self.width
        return self.figure.add_axes((LEFT / self.width, bottom, inside, tall / self.height))

    def text(self, x: float, y: float, text: str, colour: str = "black", size: float = 9) -> None:
        """Write one line whose base begins at `x`, `y`."""
        self.figure.text(x / self.width, 1 - y / self.height, text, color=colour, fontsize=size)

    def heading(self, top: float, group: Sequence[PlottedTrack], overlaid: bool) -> None:
        """The name of the clip; of several their names in their colours, in rows of four."""
        if not overlaid:
            self.text(LEFT, top + 30, _name(group[0]), size=12)
            return
        step = (self.width - LEFT) / 4
        for number, track in enumerate(group):
            at = LEFT + number % 4 * step, top + 16 + number // 4 * 15
            self.text(*at, _cut(_name(track), int(step / 7)), HUES[number])

    def footing(self, tracks: Sequence[PlottedTrack]) -> None:
        """What is drawn beside the curves, as far as there is any of it."""
        said = []
        if any(not track.final.face_found.all() for track in tracks):
            said.append("shaded: no face seen")
        if any(track.events for track in tracks):
            said.append("bars and triangles: events and their peaks")
        if any(track.raw is not None for track in tracks):
            said.append("faint: raw values")
        self.text(LEFT, self.height - 10, "; ".join(said), DIM, 8)


def _name(track: PlottedTrack) -> str:
    return printable(track.final.name)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: max(1, longest - 1)]}…"


def _draw_panel(axes: Axes, panel: Panel, group: Sequence[PlottedTrack], hue: str | None) -> None:
    """Draw a panel of tracks; `hue`: the colour of its first curve, None where colours tell tracks apart."""
    for number, track in enumerate(group):
        colours = _colours(panel, hue or HUES[number])
        shade = (SHADE, SHADE_ALPHA) if hue else (HUES[number], CLIP_SHADE_ALPHA)
        time_s = track.final.time_s()
        _shade(axes, _spans(time_s, ~track.final.face_found), *shade)
        for name in panel.channels:
            if track.raw is not None:
                raw = values_of(track.raw, name)
                axes.plot(track.raw.time_s(), raw, color=colours[name], alpha=RAW_ALPHA, lw=RAW_WIDTH)
            axes.plot(time_s, values_of(track.final, name), color=colours[name])
        _mark(axes, panel, track.events, colours)
    times = np.concatenate([track.final.time_s() for track in group])
    start, end = (float(times.min()), float(times.max())) if len(times) else (0.0, 0.0)
    axes.set_xlim(start, end if end > start else start + 1)
    axes.set_ylabel(panel.unit, fontsize=7)
    axes.yaxis.set_label_coords(-45 / axes.bbox.width, 0.5)
    if panel.unit == COEFFICIENT:
        axes.set_ylim(-0.02, 1.02)
        axes.set_yticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
    axes.grid(True, color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    named = {event.event: DIM for track in group for event in track.events if _is_on(event, panel)}
    beside = _colours(panel, hue or INK) | {f"▬ {event}": colour for event, colour in named.items()}
    for line, (text, colour) in enumerate(beside.items()):
        at = 1.015, 0.95 - line * 13 / axes.bbox.height
        axes.text(*at, text, color=colour, fontsize=8, va="top", transform=axes.transAxes)


def _colours(panel: Panel, hue: str) -> dict[str, str]:
    """The colour of each channel: of a pair one hue, the right side's lighter; else one after the other."""
    if hue not in HUES or any(side_of(name) for name in panel.channels):
        return {name: lighter(hue) if side_of(name) == "right" else hue for name in panel.channels}
    first = HUES.index(hue)
    return {name: HUES[(first + number) % len(HUES)] for number, name in enumerate(panel.channels)}


def _spans(time_s: np.ndarray, where: np.ndarray) -> list[tuple[float, float]]:
    """Start and length, seconds, of the runs of frames with `where`, each up to the next frame."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], where.astype(np.int8), [0]])))
    last = len(time_s) - 1
    return [
        (float(time_s[first]), float(time_s[min(stop, last)] - time_s[first]))
        for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]


def _shade(axes: Axes, spans: Sequence[tuple[float, float]], colour: str, alpha: float) -> None:
    """Shade spans of time over the whole height; one without a length has an edge all the same."""
    if spans:
        across = axes.get_xaxis_transform()
        axes.broken_barh(spans, (0, 1), transform=across, color=colour, alpha=alpha, lw=0.5, zorder=0)


def _is_on(event: PlottedEvent, panel: Panel, sides: Sequence[str] = ("left", "right", "both")) -> bool:
    """Whether an event is of `sides`, and read from channels of a panel."""
    return event.side in sides and not set(event.channels).isdisjoint(panel.channels)


def _mark(axes: Axes, panel: Panel, events: Sequence[PlottedEvent], colours: dict[str, str]) -> None:
    """Bars above the panel, the left side's above the right side's, and triangles at the peaks."""
    across = axes.get_xaxis_transform()
    for line, side in enumerate(("right", "left")):
        shown = [name for name in panel.channels if side_of(name) in (side, "")]
        found = [event for event in events if shown and _is_on(event, panel, (side, "both"))]
        if not found:
            continue
        colour = colours[shown[0]]
        spans = [(event.start_s, event.seconds) for event in found]
        bottom = 1.02 + line * BAR_HEIGHT * 1.2
        axes.broken_barh(spans, (bottom, BAR_HEIGHT), transform=across, color=colour, lw=0.5, clip_on=False)
        peaks = [event.peak_s for event in found], [event.peak for event in found]
        axes.plot(*peaks, "v", color=colour, ms=4, clip_on=False)
