"""JSON that is read back: checked field by field before anybody relies on it.

In: the bytes of a file, or a part of one, and the dataclass that it should hold. Out: one of it, or
`BadDocument`, which names the file and the fields that are wrong. Types are taken as they are declared: a
text is no number, `true` is no 1, nothing is infinite, and no field is unknown. Bit rot, other versions and
people with bad intent all come through here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config

from facecap_batch.errors import FacecapError
from facecap_batch.storage.publish import StoragePath

# The largest of them, the cuts of a clip of 24 hours, has 1 MB. What is larger is not read into memory.
MAX_BYTES = 64 << 20
MAX_NAMED = 3  # fields in one message
MAX_REASON = 200  # characters about one field

Kind = TypeVar("Kind")

Count = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]  # fits int64, as tables hold it
SmallCount = Annotated[int, Field(ge=0, le=(1 << 31) - 1)]  # fits int32
Amount = Annotated[float, Field(ge=0, le=1e15)]  # of seconds, frames per second …
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _finite(value: Any) -> Any:
    """`value`, made of JSON; ValueError where a number in it is none of JSON's."""
    json.dumps(value, allow_nan=False)
    return value


Plain = Annotated[Any, AfterValidator(_finite)]  # whatever JSON can hold

_WHOLE = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
# For a dataclass of some of the fields of a file: what else is there is nobody's business.
excerpt: Callable[[type[Kind]], type[Kind]] = with_config({**_WHOLE, "extra": "ignore"})


class BadDocument(FacecapError):
    """A file does not hold what it should. The message names the file and the fields."""


def read_document(kind: type[Kind], path: StoragePath) -> Kind:
    """What the file at `path` holds.

    Args:
        kind: A dataclass.
        path: A JSON file, local or behind a URI.

    Raises:
        BadDocument: It holds something else.
        FileNotFoundError: There is none.
        OSError: The storage cannot be read.
    """
    return parsed(kind, document_bytes(path), path)


def document_bytes(path: StoragePath) -> bytes:
    """The content of a file that should be a small one. Raises as `read_document`."""
    if isinstance(path, Path):
        if path.exists() and not path.is_file():  # a pipe would never end
            raise BadDocument(f"{path} is no regular file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise BadDocument(f"{path} has {size} bytes, where {MAX_BYTES} are too many already")
    return path.read_bytes()


def parsed(kind: type[Kind], content: bytes, where: object) -> Kind:
    """`content`, JSON, as a `kind`; `where` is named in errors. Raises BadDocument."""
    try:
        found: Kind = _adapter(cast(Hashable, kind)).validate_json(content)
        return found
    except ValidationError as error:
        raise BadDocument(f"{where}: {_explained(error)}") from error


def checked(kind: type[Kind], value: Any, where: object) -> Kind:
    """A part of a document that was read, as a `kind`; `where` is named in errors. Raises BadDocument."""
    return parsed(kind, json.dumps(value).encode(), where)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind if hasattr(kind, "__pydantic_config__") else with_config(_WHOLE)(kind))


def _explained(error: ValidationError) -> str:
    """The first of the fields that are wrong, and why."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    named = [
        ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"])))[:MAX_REASON]
        for one in found[:MAX_NAMED]
    ]
    more = len(found) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")
