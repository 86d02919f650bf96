"""Numbered image sequences: one text that names all their images, and the images that are there.

In: a name like ``shot.%04d.png`` or ``shot.%04d.png@24``, or the names of image files. Out: `ImageSequence`.
The text is what manifests, records and tables hold: where the images lie, how their numbers are written, and
after the ``@`` how many of them make a second. A number that is missing is a gap in time.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from facecap_batch.timecode import parse_rate

IMAGE_SUFFIXES = frozenset(
    {
        *(".bmp", ".dpx", ".exr", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm"),
        *(".tga", ".tif", ".tiff", ".webp"),
    }
)
DEFAULT_RATE = Fraction(25)  # images per second, where none is given
MIN_IMAGES = 2  # fewer are no sequence
NO_IMAGE = (
    "no image of this sequence is there; check the folder and how the numbers are written (%04d and ####: "
    "four digits)"
)
MAX_DIGITS = 18  # of an image's number: times count from it with 64 bits
_NAME = re.compile(r"(?P<prefix>[^%]*)%(?:0(?P<digits>\d))?d(?P<ending>[^%@]*)(?:@(?P<rate>[\d.:]+))?")
_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>[0-9]+)(?P<ending>\D*\.[^.\d][^.]*)")


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """One image of a sequence."""

    number: int
    path: str
    size: int  # bytes
    mtime_ns: int  # nanoseconds since 1970


@dataclasses.dataclass(frozen=True)
class ImageSequence:
    """Images whose names differ in one number alone."""

    folder: str
    prefix: str  # of the file names, before the number
    digits: int  # numbers are filled up with zeros to so many digits; 0: they are not
    ending: str  # of the file names, after the number
    rate: Fraction = DEFAULT_RATE  # images per second

    def __str__(self) -> str:
        """The text that `sequence_of` reads."""
        marker = f"%0{self.digits}d" if self.digits else "%d"
        rate = str(self.rate).replace("/", ":")  # a slash would be one of the path's
        return str(Path(self.folder) / f"{self.prefix}{marker}{self.ending}@{rate}")

    def files(self) -> list[ImageFile]:
        """The images that are there, by rising number. Raises OSError where the folder cannot be listed."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                number = self._number(entry.name)
                if number is not None and entry.is_file():
                    status = entry.stat()
                    found.append(ImageFile(number, entry.path, status.st_size, status.st_mtime_ns))
        return sorted(found, key=lambda file: file.number)

    def seconds_of(self, files: Sequence[ImageFile]) -> float:
        """Seconds from the first of its `files` to the end of the last; 0 where there is none."""
        return float((files[-1].number - files[0].number + 1) / self.rate) if files else 0.0

    def _number(self, name: str) -> int | None:
        """The number in a file's name; None for a file that is not of this sequence."""
        if not name.startswith(self.prefix) or not name.endswith(self.ending):
            return None
        text = name[len(self.prefix) : len(name) - len(self.ending)]
        if not (text.isascii() and text.isdigit()) or not self.digits <= len(text) <= MAX_DIGITS:
            return None
        zeros_too_many = text.startswith("0") and len(text) > max(self.digits, 1)
        return None if zeros_too_many else int(text)


def is_image(name: str) -> bool:
    """True for a file whose suffix is that of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def sequence_of(path: str) -> ImageSequence | None:
    """The sequence that `path` names; None where it names something else.

    Raises:
        ValueError: What stands behind the ``@`` is no rate.
    """
    folder, name = os.path.split(path)
    match = _NAME.fullmatch(name)
    if match is None or not is_image(match["ending"] and f"x{match['ending']}"):
        return None
    rate = parse_rate(match["rate"].replace(":", "/")) if match["rate"] else DEFAULT_RATE
    return ImageSequence(folder, match["prefix"], int(match["digits"] or 0), match["ending"], rate)


def sequences_in(paths: Iterable[str], rate: Fraction) -> dict[str, ImageSequence]:
    """The sequences that image files belong to: two or more that differ in one number alone.

    Args:
        paths: Local paths.
        rate: Images per second.

    Returns:
        Path -> its sequence; without the images that belong to none.
    """
    names = list(paths)
    zeros = {key for key in map(_zero_filled, names) if key is not None}
    patterns = {path: sequence for path in names if (sequence := _pattern(path, zeros, rate)) is not None}
    members = collections.Counter(patterns.values())
    return {path: sequence for path, sequence in patterns.items() if members[sequence] >= MIN_IMAGES}


_Key = tuple[str, str, str, int]  # folder, prefix, ending, digits


def _split(path: str) -> tuple[str, re.Match[str]] | None:
    folder, name = os.path.split(path)
    match = _NUMBERED.fullmatch(name) if is_image(name) and "%" not in name and "@" not in name else None
    return None if match is None or len(match["number"]) > MAX_DIGITS else (folder, match)


def _zero_filled(path: str) -> _Key | None:
    """What a number with zeros in front says of its sequence."""
    found = _split(path)
    if found is None:
        return None
    folder, match = found
    is_filled = match["number"].startswith("0") and len(match["number"]) > 1
    return (folder, match["prefix"], match["ending"], len(match["number"])) if is_filled else None


def _pattern(path: str, zeros: set[_Key], rate: Fraction) -> ImageSequence | None:
    """The sequence that an image belongs to: 10 follows 09, and 9 where numbers are not filled up."""
    found = _split(path)
    if found is None:
        return None
    folder, match = found
    number, prefix, ending = match["number"], match["prefix"], match["ending"]
    is_filled = number.startswith("0") and len(number) > 1
    widths = [len(number)] if is_filled else range(len(number), 1, -1)
    digits = next((width for width in widths if (folder, prefix, ending, width) in zeros), 0)
    return ImageSequence(folder, prefix, digits, ending, rate) if digits < 10 else None
