"""Files and folders behind a URI (``s3://``, ``gs://``, ``memory://``, …).

In: URIs. Out: `RemotePath`, which answers the few questions about a file or folder that the rest of the
project asks, under the names of `pathlib.Path`. How a storage is reached, and what its errors become, is in
`connection`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from facecap_batch.storage.connection import open_storage, with_retries
from facecap_batch.storage.temporary import temporary_name

# Stores whose objects appear when their upload is complete. Elsewhere a file is uploaded beside its final
# name and renamed.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "memory"})
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

Result = TypeVar("Result")


def is_uri(path: str) -> bool:
    """True for ``scheme://…``; a Windows drive letter is not a scheme."""
    return _URI.match(path) is not None


@dataclasses.dataclass(frozen=True)
class RemoteStatus:
    """What `pathlib.Path.stat` is asked for."""

    st_size: int  # bytes


@dataclasses.dataclass(frozen=True)
class RemotePath:
    """A file or folder behind a URI. Methods that ask the storage raise OSError, or StorageUnavailable."""

    uri: str  # scheme://…, without a slash at its end

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> RemotePath:
        """The path `name` below this one; ``.`` and ``..`` are resolved, as no object store knows them."""
        scheme, _, below = f"{self.uri.rstrip('/')}/{name}".partition("://")
        parts: list[str] = []
        for part in below.split("/"):
            if part == ".." and len(parts) > 1:
                parts.pop()
            elif part not in (".", ".."):
                parts.append(part)
        return RemotePath(f"{scheme}://{'/'.join(parts)}")

    @property
    def scheme(self) -> str:
        return self.uri.partition("://")[0]

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def parent(self) -> RemotePath:
        above, _, _ = self.uri.rpartition("/")
        return self if above.endswith(("/", ":")) else RemotePath(above)

    def absolute(self) -> RemotePath:
        return self

    def exists(self) -> bool:
        return self.kind() is not None

    def is_file(self) -> bool:
        return self.kind() == "file"

    def is_dir(self) -> bool:
        """True where something lies below; object stores have no empty folders."""
        return self.kind() == "directory"

    def kind(self) -> str | None:
        """``file``, ``directory``, or None where nothing is there."""
        try:
            return str(self.information().get("type"))
        except FileNotFoundError:
            return None

    def stat(self) -> RemoteStatus:
        return RemoteStatus(int(self.information().get("size") or 0))

    def information(self) -> Mapping[str, Any]:
        """What the storage reports of it: ``size``, ``type`` and fields that differ by storage."""
        return self._ask(lambda system, path: system.info(path))

    def read_bytes(self) -> bytes:
        return self._ask(lambda system, path: bytes(system.cat_file(path)))

    def write_bytes(self, data: bytes, new: bool = False) -> None:
        """Write `data` in one request.

        Args:
            data: The whole contents.
            new: Raise FileExistsError where something is, if the store can tell.
        """

        def put(system: Any, path: str) -> None:
            if self.scheme not in OBJECT_STORES:
                system.makedirs(_folder_of(path), exist_ok=True)
            system.pipe_file(path, data, **({"mode": "create"} if new else {}))

        self._ask(put)

    def upload(self, local: Path) -> None:
        """Publish the contents of `local`: it is there as a whole or not at all."""

        def put(system: Any, path: str) -> None:
            if self.scheme in OBJECT_STORES:
                system.put_file(str(local), path)
                return
            folder = _folder_of(path)
            system.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/{temporary_name(self.name)}"
            try:
                system.put_file(str(local), temporary)
                system.mv(temporary, path)
            except BaseException:
                if system.exists(temporary):
                    system.rm_file(temporary)
                raise

        self._ask(put)

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            self._ask(lambda system, path: system.rm_file(path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def iterdir(self) -> Iterator[RemotePath]:
        """What lies directly below, in no order; nothing where there is no such folder."""

        def listed(system: Any, path: str) -> list[str]:
            # Some stores keep an empty object where a folder was made by hand.
            below = (_below(found, path) for found in system.ls(path, detail=False))
            return [name for name in below if name]

        try:
            names = self._ask(listed)
        except FileNotFoundError:
            return
        yield from (self / name for name in names)

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """What lies directly below and whose name fits."""
        return (found for found in self.iterdir() if fnmatch.fnmatchcase(found.name, pattern))

    def matching(self) -> list[str]:
        """The URIs that this one, which holds wildcards, stands for, in order."""
        found = self._ask(lambda system, path: list(system.glob(path)))
        return sorted(f"{self.scheme}://{name.partition('://')[2] or name.lstrip('/')}" for name in found)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file below, at any depth, by its name relative to this folder; one listing where the
        store offers that."""

        def listed(system: Any, path: str) -> dict[str, int]:
            found = system.find(path, detail=True)
            sizes = {_below(name, path): int(about.get("size") or 0) for name, about in found.items()}
            return {name: size for name, size in sizes.items() if name}

        return self._ask(listed)

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Contents of the named files below that are there, asked for side by side where the library can."""

        # s3fs asks for the size first, to read large files in parts; these are small.
        options = {"max_concurrency": 1} if self.scheme in ("s3", "s3a") else {}

        def read(system: Any, path: str) -> list[Any]:
            wanted = [f"{path}/{name}" for name in names]
            return list(system.cat_ranges(wanted, None, None, on_error="return", **options))

        contents: dict[str, bytes] = {}
        for name, answer in zip(names, self._ask(read), strict=True):
            if isinstance(answer, bytes):
                contents[name] = answer
            elif not isinstance(answer, FileNotFoundError):
                with contextlib.suppress(FileNotFoundError):
                    contents[name] = (self / name).read_bytes()
        return contents

    def _ask(self, question: Callable[[Any, str], Result]) -> Result:
        """The storage's answer to `question`, which is given the fsspec file system and the path there."""
        system, path = open_storage(self.uri)
        return with_retries(self.uri, lambda: question(system, path))


def _below(path: str, folder: str) -> str:
    return path.strip("/").removeprefix(folder.strip("/")).lstrip("/")


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"
