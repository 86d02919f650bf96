"""What footage a name stands for: a file, a folder, a glob, an image sequence or a URI.

In: a name as a user writes it. Out: `Footage`, one for each clip, in a certain order; or `NoFootage`, which
says what is wrong with the name. Files are listed and never opened.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from facecap_batch.clip import resolve_source
from facecap_batch.errors import BadManifest
from facecap_batch.storage.image_sequence import (
    DEFAULT_RATE,
    IMAGE_SUFFIXES,
    NO_IMAGE,
    ImageSequence,
    is_image,
    sequence_of,
    sequences_in,
)
from facecap_batch.storage.publish import StoragePath
from facecap_batch.storage.remote import RemotePath, is_uri
from facecap_batch.storage.remote_video import ADDRESSES

# What counts as a video where a folder or a glob is searched; a file that is named by itself may end as it
# likes.
VIDEO_SUFFIXES = frozenset(
    {
        *(".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg"),
        *(".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
        *(".y4m", ".264", ".265", ".h264", ".h265", ".hevc", ".ivf"),
    }
)
SUFFIXES = VIDEO_SUFFIXES | IMAGE_SUFFIXES
OUTPUT_NAME = "facecap-out"  # of the output folder, where none is given
_GLOB = re.compile(r"[*?\[]")
_HASHES = re.compile(r"#+")


class NoFootage(BadManifest):
    """A name stands for no footage; nothing was run."""


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """How names are understood."""

    recursive: bool = False  # folders are searched with the folders below them
    rate: Fraction | None = None  # images per second of a sequence; None: as its name says, else 25
    stills: bool = False  # every image is a clip of its own


@dataclasses.dataclass(frozen=True)
class Footage:
    """What one clip is made of."""

    path: str  # absolute local path, image sequence or URI
    base: str = ""  # folder that was searched: what lies between it and the file belongs to the clip's name


def find_footage(
    names: Sequence[str], folder: StoragePath, options: SearchOptions | None = None
) -> list[Footage]:
    """The footage that `names` stand for, in their order, folders and globs in that of their files' names.

    Args:
        names: Files, folders, globs, image sequences, URIs.
        folder: That relative names are relative to.
        options: None: the defaults.

    Returns:
        Each footage once. Images whose names differ in one number alone are one sequence, wherever they were
        named.

    Raises:
        NoFootage: A name stands for nothing.
        StorageUnavailable: The library for a URI is missing.
    """
    options = options or SearchOptions()
    found: dict[str, Footage] = {}
    for name in names:
        for footage in _find(name, resolve_source(name, folder), options):
            found.setdefault(footage.path, footage)
    return list(found.values()) if options.stills else _with_sequences(list(found.values()), options)


def is_searched(name: str, located: str) -> bool:
    """Whether what a row of a manifest names is no single file: a folder, a glob or an image sequence.

    A glob of a manifest holds a ``*``: the other wildcards stand in names of files, too, and a file that is
    missing is its clip's own failure. Behind a URI a folder ends with a slash, for asking the storage about
    every row would take too long.
    """
    if is_uri(located):
        searched = "*" in located or located.endswith("/")
        return searched and located.partition("://")[0] not in ADDRESSES
    has_star = "*" in name
    looks_like_file = Path(name).suffix.lower() in VIDEO_SUFFIXES and not has_star
    # A name that no file can have, and one that may not be looked at, are the clip's own failure.
    if looks_like_file or os.path.isfile(located):  # noqa: PTH113
        return False
    return has_star or os.path.isdir(located) or _sequence(located, SearchOptions()) is not None  # noqa: PTH112


def is_glob(name: str) -> bool:
    """True for a name that holds a wildcard."""
    return _GLOB.search(name) is not None


def _find(name: str, located: str, options: SearchOptions) -> Iterator[Footage]:
    if is_uri(located):
        return iter(_remote(name, located, options))
    located = os.path.normpath(located)
    if Path(located).is_dir():
        return iter(_in_folder(name, located, options))
    if Path(located).exists():  # also a device or a pipe: opening it says what is wrong with it
        return iter([Footage(located)])
    sequence = _sequence(located, options)
    if sequence is not None:
        return iter(_images_of(name, sequence, options))
    if is_glob(name):
        return iter(_matching(name, located, options))
    raise NoFootage(f"{name}: there is no such file or folder; check the path, or give a glob in quotes")


def _sequence(located: str, options: SearchOptions) -> ImageSequence | None:
    """The sequence that a name with ``%04d`` or ``####`` stands for. Raises NoFootage."""
    parent, name = os.path.split(located)
    if is_image(name.partition("@")[0]):
        name = _HASHES.sub(lambda hashes: f"%0{len(hashes[0])}d", name, count=1)
    try:
        sequence = sequence_of(str(Path(parent) / name))
    except ValueError as error:
        raise NoFootage(f"{located}: {error}; write the rate behind the @ or give --fps") from error
    if sequence is None or options.rate is None:
        return sequence
    return dataclasses.replace(sequence, rate=options.rate)


def _images_of(name: str, sequence: ImageSequence, options: SearchOptions) -> list[Footage]:
    try:
        files = sequence.files()
    except OSError as error:
        raise NoFootage(f"{name}: {sequence.folder} cannot be listed: {error.strerror}") from error
    if not files:
        raise NoFootage(f"{name}: {NO_IMAGE}")
    return [Footage(file.path) for file in files] if options.stills else [Footage(str(sequence))]


def _in_folder(name: str, folder: str, options: SearchOptions) -> list[Footage]:
    """The footage in a folder, by name; raises NoFootage where there is none."""
    try:
        found = [Footage(path, folder) for path in sorted(_files(folder, options.recursive))]
    except OSError as error:
        raise NoFootage(f"{name}: the folder cannot be listed: {error.strerror}") from error
    if found:
        return found
    below = "" if options.recursive else "; --recursive searches the folders below it, too"
    raise NoFootage(f"{name}: no video and no image lies in this folder{below}")


def _files(folder: str, recursive: bool) -> Iterator[str]:
    """Footage in `folder`; neither hidden files nor what a run has made."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                # A link to a folder may lead back to where it is.
                if recursive and not entry.is_symlink() and not is_output_folder(entry.path):
                    yield from _files(entry.path, recursive)
            elif Path(entry.name).suffix.lower() in SUFFIXES:
                yield entry.path


def is_output_folder(folder: str) -> bool:
    """True for what a run has made: its previews are no footage."""
    return (Path(folder) / "run.json").is_file() and (Path(folder) / "ledger").is_dir()


def _matching(name: str, pattern: str, options: SearchOptions) -> list[Footage]:
    """The footage that a glob matches; folders that it matches are searched as if they were named."""
    found: list[Footage] = []
    for path in _globbed(pattern):
        if Path(path).is_dir():
            if not name.endswith("**") and not is_output_folder(path):
                found += [Footage(file, path) for file in sorted(_files(path, options.recursive))]
        elif Path(path).suffix.lower() in SUFFIXES and not _is_made(path):
            found.append(Footage(path))
    if found:
        return found
    raise NoFootage(f"{name}: no video and no image matches; check the pattern and that it stands in quotes")


def _is_made(path: str) -> bool:
    """True for a file in an output folder, such as a preview."""
    return any(is_output_folder(str(folder)) for folder in list(Path(path).parents)[:2])


def _remote(name: str, uri: str, options: SearchOptions) -> list[Footage]:
    """The footage behind a URI: of a glob or a folder what is there, else the URI as it is."""
    scheme = uri.partition("://")[0]
    looks_like_folder = uri.endswith("/") or not Path(uri).suffix
    if scheme in ADDRESSES or not (is_glob(uri) or looks_like_folder):
        return [Footage(uri)]
    path = RemotePath(uri.rstrip("/"))
    try:
        if is_glob(uri):
            files, base = path.matching(), ""
        elif not path.is_dir():
            return [Footage(uri)]
        else:
            below = sorted(path.sizes())
            files = [str(path / file) for file in below if options.recursive or "/" not in file]
            base = str(path)
    except OSError as error:
        raise NoFootage(f"{name}: the storage does not list it: {error.strerror or error}") from error
    found = [Footage(file, base) for file in files if Path(file).suffix.lower() in SUFFIXES]
    if not found:
        raise NoFootage(f"{name}: no video and no image is there; check the URI")
    if any(is_image(footage.path) for footage in found) and not options.stills:
        raise NoFootage(
            f"{name}: there are images; sequences are read from local disks: copy them, or give --stills to "
            "take each image by itself"
        )
    return found


def _with_sequences(found: list[Footage], options: SearchOptions) -> list[Footage]:
    """`found` with its numbered images as sequences, each where its first image was."""
    images = [footage.path for footage in found if is_image(footage.path) and not is_uri(footage.path)]
    sequences = sequences_in(images, options.rate or DEFAULT_RATE)
    made: dict[str, Footage] = {}
    for footage in found:
        path = str(sequences.get(footage.path, footage.path))
        made.setdefault(path, Footage(path, footage.base))
    return list(made.values())


def default_output(names: Sequence[str]) -> Path:
    """The output folder of a run that is given none: ``facecap-out`` beside what was named.

    Args:
        names: As of `find_footage`, or a manifest.

    Returns:
        A folder in the folder that holds all that was named; for URIs, and for the working directory and
        those above it, in the working directory.
    """
    here = Path.cwd()
    folders: list[Path] = []
    for name in names:
        located = resolve_source(name, here)
        if is_uri(located):
            folders.append(here)
            continue
        located = os.path.normpath(located)
        is_there = Path(located).exists() or not is_glob(name)
        for path in map(Path, [located] if is_there else _globbed(located) or [located]):
            holds_here = path.is_dir() and here.is_relative_to(path)
            folders.append(here if holds_here else path.parent)
    return Path(os.path.commonpath(folders)) / OUTPUT_NAME


def _globbed(pattern: str) -> list[str]:
    """What an absolute glob matches, in order; `Path.glob` takes relative ones only."""
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
