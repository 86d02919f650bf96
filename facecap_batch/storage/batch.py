"""Files that belong together: published when all of them are written, or none is.

In: a folder, and a question that is asked before anything appears in it. Out: local paths to write to, then
the files under their final names. A failure at any point leaves none of them; one of a process that is killed
leaves files with names of `temporary`, which the next run removes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from facecap_batch.storage.publish import StoragePath, publish_file, writing
from facecap_batch.storage.remote import RemotePath
from facecap_batch.storage.scratch import scratch_folder
from facecap_batch.storage.temporary import MAX_KEPT, temporary_name


class FileBatch:
    """Use once, as a context; what is not published when it ends is removed."""

    def __init__(self, folder: StoragePath, may_publish: Callable[[], None]) -> None:
        """
        Args:
            folder: Below it lie the files; a local one must be there.
            may_publish: Raises where nothing may be written below `folder`.
        """
        self._folder = folder
        self._may_publish = may_publish
        self._written: dict[str, Path] = {}
        self._contexts = contextlib.ExitStack()

    def __enter__(self) -> FileBatch:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._written.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._contexts.close()

    def path(self, name: str) -> Path:
        """Where to write what will be `name`: ``fbx/take.fbx``, in a folder directly below.

        Raises OSError, and what `may_publish` raises.
        """
        self._may_publish()
        if isinstance(self._folder, RemotePath):
            path = self._contexts.enter_context(scratch_folder()) / Path(name).name[-MAX_KEPT:]
        else:
            final = self._folder / name
            final.parent.mkdir(exist_ok=True)  # not its parents: a folder that was removed stays so
            path = final.with_name(temporary_name(final.name))
        self._written[name] = path
        return path

    def publish(self) -> None:
        """Give every file that was written its final name.

        Raises:
            OutputNotWritable: One cannot be published; then none of them is there.
            Exception: As `may_publish`.
        """
        self._may_publish()
        published: list[StoragePath] = []
        try:
            for name, path in self._written.items():
                published.append(self._folder / name)
                with writing(self._folder / name):
                    self._move(path, name)
        except BaseException:
            for final in published:
                with contextlib.suppress(OSError):
                    final.unlink(missing_ok=True)
            raise

    def _move(self, path: Path, name: str) -> None:
        if isinstance(self._folder, RemotePath):
            (self._folder / name).upload(path)
        else:
            publish_file(path, self._folder / name)
