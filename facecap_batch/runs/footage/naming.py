"""The ids of clips: readable names that can be those of files, each once.

In: what clips are made of. Out: an id for each. A file's is its stem; one that was found below a folder that
was named has the folders in between in front, so that another file elsewhere never changes it. Where several
would be the same, each gets as many of its folders in front as tell them apart.
"""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from facecap_batch.runs.footage.search import Footage
from facecap_batch.storage.image_sequence import sequence_of
from facecap_batch.storage.remote import is_uri
from facecap_batch.text import JOINERS, invisible_in

# A file name may hold 255 bytes; room is left for the suffixes and for the prefix of temporary names.
MAX_CLIP_ID_BYTES = 200
_ROOM_FOR_NUMBERS = 12  # bytes
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\<>:"|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
# What the files of further people of a clip end in (`coefficients.track_name`): no id does, so that
# `take.track1` is never a clip beside the clip `take`.
_TRACK = re.compile(r"\.(track\d+)$", re.IGNORECASE)
_BETWEEN = " ._-"  # what stands between the name of a sequence and its numbers


def clip_ids(footage: Sequence[Footage]) -> list[str]:
    """An id for each, in their order; two that differ in case only would be one file on some file systems."""
    if len(footage) == 1 and not footage[0].base:
        return [default_clip_id(footage[0].path)]
    parts = [_parts(each.path) for each in footage]
    paths = collections.Counter(map(tuple, parts))
    for each, own in zip(footage, parts, strict=True):
        if paths[tuple(own)] > 1:  # one file is told from another by its suffix alone
            own[-1] = f"{own[-1]}-{_suffix(each.path)}"
    counts = [_count(each, own) for each, own in zip(footage, parts, strict=True)]
    while True:
        names = ["-".join(own[-count:]) for own, count in zip(parts, counts, strict=True)]
        keys = [file_key(name) for name in names]
        shared = collections.Counter(keys)
        short = [
            number
            for number, key in enumerate(keys)
            if shared[key] > 1 and counts[number] < len(parts[number])
        ]
        if not short:
            break
        for number in short:
            counts[number] += 1
    ids = UsedIds()
    return [ids.claim(name) for name in names]


def default_clip_id(path: str) -> str:
    """The name of `path` made safe."""
    if "%" in path or is_uri(path):  # perhaps a sequence
        return safe_id(_parts(path)[-1])
    return safe_id(Path(path.rstrip("/").rpartition("/")[2]).stem)


def safe_id(name: str) -> str:
    """`name` as an id: what file systems refuse, and what is not shown, gives way to underscores."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", name))
    for mark in set(invisible_in(name)):
        name = name.replace(mark, "_")
    data = name.strip(". ").encode("utf-8", "replace")[: MAX_CLIP_ID_BYTES - _ROOM_FOR_NUMBERS]
    name = _TRACK.sub(r"-\1", data.decode("utf-8", "ignore").strip(". ")) or "clip"
    return f"clip-{name}" if _RESERVED.fullmatch(name) else name


def file_key(clip_id: str) -> str:
    """What is equal for ids that would be one file on some file system, or that look the same: they differ in
    case, in how accents are composed, or in joiners alone."""
    if clip_id.isascii():
        return clip_id.lower()
    for joiner in JOINERS:
        clip_id = clip_id.replace(joiner, "")
    # Twice, as Unicode's canonical caseless matching has it: some letters decompose when their case is gone.
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", clip_id).casefold())


class UsedIds:
    """The ids that are in use in one folder."""

    def __init__(self, clip_ids: Iterable[str] = ()) -> None:
        self._keys = {file_key(clip_id) for clip_id in clip_ids}
        self._numbers: dict[str, int] = {}  # key of a name -> the number that was given last

    def __contains__(self, clip_id: str) -> bool:
        return file_key(clip_id) in self._keys

    def claim(self, name: str) -> str:
        """`name` as an id that is not in use yet, and is from now on: ``take``, ``take-2``, ``take-3`` in the
        order of calls."""
        name = candidate = safe_id(name)
        key = taken = file_key(name)
        while taken in self._keys:
            self._numbers[key] = number = self._numbers.get(key, 1) + 1
            candidate = f"{name}-{number}"
            taken = file_key(candidate)
        self._keys.add(taken)
        return candidate


def why_unsafe(clip_id: str) -> str | None:
    """Why an id cannot be the name of a file; None where it can."""
    if _UNSAFE.search(clip_id):
        return 'it holds a slash, a control character or one of <>:"|?*'
    if invisible_in(clip_id):
        return "it holds a character that is not shown, such as a line separator or a mark of direction"
    if clip_id[0] == "." or clip_id[-1] in ". ":
        return "it begins with a dot or ends with a dot or space"
    if _TRACK.search(clip_id):
        return "it ends in .track and a number, as the files of further people of a clip do"
    if _RESERVED.fullmatch(clip_id):
        return "the name is reserved on Windows"
    try:
        size = len(clip_id.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    return f"it is longer than {MAX_CLIP_ID_BYTES} bytes" if size > MAX_CLIP_ID_BYTES else None


def _parts(path: str) -> list[str]:
    """The folders of a file and its name without suffix; of a sequence that is numbers alone, the folders."""
    located = Path(_file_path(path))
    folders = [part for part in located.parent.parts if part != located.anchor]
    sequence = None if is_uri(path) else sequence_of(path)
    if sequence is None:
        return [*folders, located.stem]
    ending = Path(f"x{sequence.ending}").stem[1:].strip(_BETWEEN)
    name = "-".join(part for part in (sequence.prefix.strip(_BETWEEN), ending) if part)
    return [*folders, name] if name else (folders or ["images"])


def _count(footage: Footage, parts: list[str]) -> int:
    """How many of `parts` name it: its own and the folders between it and the folder that was searched."""
    if not footage.base:
        return 1
    above = [part for part in Path(_file_path(footage.base)).parts if part != "/"]
    return max(1, len(parts) - len(above))


def _file_path(path: str) -> str:
    return unquote(urlsplit(path).path) if is_uri(path) else path


def _suffix(path: str) -> str:
    return Path(_file_path(path).partition("@")[0]).suffix.lstrip(".")
