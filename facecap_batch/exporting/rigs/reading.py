"""Rigs from TOML: the presets of this package, and files of users.

In: the name of a preset, or the path of a file. Out: a `Rig`, or `BadRig`, which names the file, the key and
what to do. A name that is in a file twice is an error of TOML itself; one that differs in case alone, too.
"""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facecap_batch.errors import FacecapError
from facecap_batch.exporting.rigs.rig import SOURCES, Bones, Channel, Rig
from facecap_batch.storage.publish import StoragePath, storage_path
from facecap_batch.text import invisible_in, printable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = "arkit"
MAX_BYTES = 1 << 20  # a rig of 1,000 channels has 100 KB
MAX_CHANNELS = 2000
MAX_NAMED = 3  # problems in one message
_PRESETS = Path(__file__).parent / "presets"

Number = Annotated[float, Field(ge=-1e6, le=1e6, strict=True)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class BadRig(FacecapError):
    """A rig that does not exist or cannot be used. The message names the file, the key and what to do."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _ChannelEntry(_Model):
    """A channel's table; a text alone is the one column that it is."""

    sum: dict[Name, Number] = Field(min_length=1)
    gain: Number = 1.0
    offset: Number = 0.0
    limits: tuple[Number, Number] | None = None
    unless: list[Name] = Field(default_factory=list)
    confirmed: bool = True

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: object) -> object:
        return {"sum": {value: 1.0}} if isinstance(value, str) else value


class _BonesEntry(_Model):
    head: str | None = None
    left_eye: str | None = None
    right_eye: str | None = None
    faces: Annotated[str, Field(pattern=r"^[+-]Z$")] | None = None


class _RigEntry(_Model):
    title: str = ""
    source: list[str] = Field(default_factory=list)
    also: list[Name] = Field(default_factory=list)
    limits: tuple[Number, Number] | None = None
    channels: dict[Name, _ChannelEntry] = Field(max_length=MAX_CHANNELS, min_length=1)
    bones: _BonesEntry = Field(default_factory=_BonesEntry)


def preset_names() -> tuple[str, ...]:
    """Names of the presets, the default one first."""
    return tuple(
        sorted((path.stem for path in _PRESETS.glob("*.toml")), key=lambda name: (name != DEFAULT, name))
    )


def read_rig(given: str | Path | Rig | None) -> Rig:
    """The rig that a user's text names.

    Args:
        given: the name of a preset, or the path or URI of a TOML file; a rig is given back as it is, None is
            the default one.

    Raises:
        BadRig: there is no such preset or file, or the file cannot be used.
    """
    if isinstance(given, Rig):
        return given
    text = DEFAULT if given is None else str(given)
    if text in preset_names():
        return _preset(text)
    path = storage_path(text)
    if not text.endswith(".toml") and not path.exists():
        near = difflib.get_close_matches(text.lower(), preset_names(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(preset_names())}"
        raise BadRig(f"no rig {printable(text)!r}: {hint} A file of your own is named by its path (my.toml)")
    return parse_rig(_content(path), str(path))


@functools.cache
def _preset(name: str) -> Rig:
    return parse_rig((_PRESETS / f"{name}.toml").read_bytes(), name)


def _content(path: StoragePath) -> bytes:
    try:
        if isinstance(path, Path) and path.exists() and not path.is_file():
            raise BadRig(
                f"{path} is no file; name a rig's TOML file, or a preset: {', '.join(preset_names())}"
            )
        if isinstance(path, Path) and path.stat().st_size > MAX_BYTES:
            raise BadRig(f"{path} has more than {MAX_BYTES} bytes: it is no rig")
        return path.read_bytes()
    except OSError as error:
        presets = ", ".join(preset_names())
        raise BadRig(
            f"rig {path}: {error.strerror or error}; name a TOML file, or a preset: {presets}"
        ) from error


def parse_rig(content: bytes, name: str) -> Rig:
    """The rig in the text of a TOML file; `name` is named in errors. Raises BadRig."""
    try:
        entry = _RigEntry.model_validate(tomllib.loads(content.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise BadRig(f"rig {name}: byte {error.start} is no UTF-8; save the file as UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise BadRig(f"rig {name}: {printable(str(error))}; {_toml_advice(str(error))}") from error
    except ValidationError as error:
        raise BadRig(f"rig {name}: {_explained(error)}") from error
    except (RecursionError, ValueError) as error:  # of the parser, for numbers and nests without end
        raise BadRig(f"rig {name}: no TOML that can be read: {printable(str(error))}") from error
    problems = [*_problems(entry)]
    if problems:
        more = f"; and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
        raise BadRig(f"rig {name}: {'; '.join(problems[:MAX_NAMED])}{more}")
    return Rig(
        name=name,
        channels=tuple(_channel(key, value, entry) for key, value in entry.channels.items()),
        title=entry.title,
        sources=tuple(entry.source),
        also=tuple(entry.also),
        bones=Bones(**entry.bones.model_dump()),
    )


def _toml_advice(message: str) -> str:
    if "overwrite" in message.lower() or "twice" in message.lower() or "duplicate" in message.lower():
        return "a channel may be there once: write one sum for it, as { sum = { a = 0.5, b = 0.5 } }"
    return 'a line of [channels] is: "their name" = "ours", or "their name" = { sum = { ours = 1.0 } }'


def _explained(error: ValidationError) -> str:
    problems = error.errors()
    found = []
    for problem in problems[:MAX_NAMED]:
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"]
        if problem["type"] == "model_type":
            message = "write the name of one of our columns in quotes, or { sum = { jawOpen = 1.0 } }"
        found.append(f"{printable(place) or 'the file'}: {printable(message)}")
    more = len(problems) - MAX_NAMED
    return "; ".join(found) + (f"; and {more} more" if more > 0 else "")


def _problems(entry: _RigEntry) -> list[str]:
    """What is wrong with names and limits, each with its key."""
    known, found = (*SOURCES, *entry.also), []
    lowered: dict[str, str] = {}
    for key, value in entry.channels.items():
        where = f"channels.{printable(key)}"
        if invisible_in(key):
            found.append(f"{where}: the name holds characters that show nothing")
        if (first := lowered.setdefault(key.lower(), key)) != key:
            found.append(
                f"{where}: differs from channels.{printable(first)} in case alone, so it is mapped twice; "
                "leave one of them out"
            )
        for column in value.sum:
            if column not in known:
                found.append(f"{where}: {printable(column)!r} is none of our columns{_hint(column, known)}")
        limits = entry.limits if value.limits is None else value.limits
        if limits is not None and limits[0] >= limits[1]:
            found.append(f"{where}.limits: {limits[0]} is not below {limits[1]}")
    return found


def _hint(column: str, known: tuple[str, ...]) -> str:
    lowered: Mapping[str, str] = {name.lower(): name for name in known}
    near = difflib.get_close_matches(column.lower(), lowered, n=1)
    mean = f"; did you mean {lowered[near[0]]}?" if near else ""
    return f"{mean} (a regressor's own output is named in also = [...])"


def _channel(key: str, value: _ChannelEntry, entry: _RigEntry) -> Channel:
    return Channel(
        name=key,
        terms=tuple(value.sum.items()),
        gain=value.gain,
        offset=value.offset,
        limits=entry.limits if value.limits is None else value.limits,
        unless=tuple(value.unless),
        confirmed=value.confirmed,
    )
