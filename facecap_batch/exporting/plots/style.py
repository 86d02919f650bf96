"""Colours and sizes of plots, and the settings of matplotlib under which they are drawn and written.

In: nothing. Out: constants, and a context in which nobody's settings change the picture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

PIXELS_PER_INCH = 100
WIDTH = 1200  # pixels, where no size is given
PANEL_HEIGHT = 80  # pixels, where no size is given
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 64, 66  # pixels around the panels
MIN_WIDTH, MIN_PANEL_HEIGHT = 100, 20  # pixels of a panel that can still be read
MAX_PANELS = 200  # of one picture
MAX_PIXELS = 30_000  # of a side; matplotlib draws none of more than 65535

# Colours that can be told apart: ten, matplotlib's own since 2.0 ("tab10").
HUES = (
    "#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd",
    "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
)  # fmt: skip
INK, DIM, GRID = "#404040", "#606060", "#e8e8e8"
SHADE = "#b0b0b0"  # frames without a face
SHADE_ALPHA, CLIP_SHADE_ALPHA = (
    0.3,
    0.15,
)  # of that, and of a clip's colour over others
RAW_ALPHA, RAW_WIDTH = 0.35, 0.8
LIGHTER = 0.5  # share of white in the colour of a right side
BAR_HEIGHT = 0.07  # of an event's bar, in heights of a panel

# The text of others is no formula; identifiers in an SVG are the same each time.
_SETTINGS: dict[Any, Any] = {
    "text.parse_math": False,
    "svg.hashsalt": "facecap-batch",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 7,
    "lines.linewidth": 1.1,
}


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """matplotlib's defaults with ours over them, whatever the user has configured, until the context ends."""
    import matplotlib.style

    with matplotlib.style.context("default"), matplotlib.rc_context(_SETTINGS):
        yield


def lighter(colour: str) -> str:
    """A colour "#rrggbb" with more white in it: the right side's."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * LIGHTER):02x}" for part in parts)
