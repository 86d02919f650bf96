"""The ids of clips: readable names that can be those of files, each once.

In: what clips are made of. Out: an id for each. A file's is its stem; one that was found below a folder that
was named has the folders in between in front, so that another file elsewhere never changes it. Where several
would be the same, each gets as many of its folders in front as tell them apart.
"""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from facecap_batch.runs.footage.search import Footage
from facecap_batch.storage.image_sequence import sequence_of
from facecap_batch.storage.remote import is_uri

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
    parts = [_parts(each.path) for each in footage]
    paths = collections.Counter(map(tuple, parts))
    for each, own in zip(footage, parts, strict=True):
        if paths[tuple(own)] > 1:  # one file is told from another by its suffix alone
            own[-1] = f"{own[-1]}-{_suffix(each.path)}"
    counts = [_count(each, own) for each, own in zip(footage, parts, strict=True)]
    while True:
        names = ["-".join(own[-count:]) for own, count in zip(parts, counts, strict=True)]
        shared = collections.Counter(name.casefold() for name in names)
        short = [
            number
            for number, name in enumerate(names)
            if shared[name.casefold()] > 1 and counts[number] < len(parts[number])
        ]
        if not short:
            break
        for number in short:
            counts[number] += 1
    taken: set[str] = set()
    return [unique_id(name, taken) for name in names]


def default_clip_id(path: str, taken: set[str]) -> str:
    """The name of `path` made safe and unique: ``take``, ``take-2``, ``take-3`` in the order of calls."""
    return unique_id(_parts(path)[-1], taken)


def unique_id(name: str, taken: set[str]) -> str:
    """`name` as an id that is not in `taken` (casefolded ids), where it is added."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip(". ")
    data = name.encode("utf-8", "replace")[: MAX_CLIP_ID_BYTES - _ROOM_FOR_NUMBERS]
    name = _TRACK.sub(r"-\1", data.decode("utf-8", "ignore").strip()) or "clip"
    if _RESERVED.fullmatch(name):
        name = f"clip-{name}"
    candidate, count = name, 1
    while candidate.casefold() in taken:
        count += 1
        candidate = f"{name}-{count}"
    taken.add(candidate.casefold())
    return candidate


def why_unsafe(clip_id: str) -> str | None:
    """Why an id cannot be the name of a file; None where it can."""
    if _UNSAFE.search(clip_id):
        return 'it holds a slash, a control character or one of <>:"|?*'
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
