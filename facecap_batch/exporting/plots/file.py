"""A plot as a file: PNG, SVG or PDF, by its suffix.

In: a figure and a path. Out: a published file, the same bytes for the same figure and version of matplotlib:
no date, no random identifiers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facecap_batch.exporting.plots.channels import BadPlot
from facecap_batch.exporting.plots.style import own_settings
from facecap_batch.storage.publish import StoragePath, published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What would differ from one writing to the next, or say by what version it was written.
_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}
SUFFIXES = tuple(_METADATA)


def is_picture(path: StoragePath) -> bool:
    """Whether a path is that of a plot, and not of a folder."""
    return path.suffix.lower() in SUFFIXES


def size_of(text: str) -> tuple[int, int]:
    """Width and height, pixels, of text such as "1600x900". Raises BadPlot."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise BadPlot(f"the size of a plot is its width and height in pixels, such as 1600x900, not {text!r}")
    return int(width), int(height)


def write_figure(figure: Figure, path: StoragePath) -> None:
    """Publish `figure` at `path`.

    Raises:
        BadPlot: The suffix is none of SUFFIXES.
        OSError: `path` cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in _METADATA:
        raise BadPlot(f"{path}: a plot ends in {', '.join(SUFFIXES)}")
    with own_settings(), published(path) as temporary:
        figure.savefig(temporary, format=suffix[1:], metadata=_METADATA[suffix])
