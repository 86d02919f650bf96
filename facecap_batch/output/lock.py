"""The lock that gives an output folder to one run at a time.

In: an output folder. Out: a held lock with its `Claim`, or `OutputBusy` naming the holder. On a local disk
the operating system keeps the lock and releases it whenever the process ends, also when it is killed. Behind
a URI the lock is an object, ``.lock``, that names its holder and is rewritten every `BEAT_S`; one that is
older than `claim.STALE_S`, or whose process is known to be dead, is void. It is created by a conditional
request, so that of two runs that begin together one wins, where the store supports such requests (S3, Google
Cloud Storage, Azure); elsewhere, and when a void lock is taken over, what was written is read again after
`SETTLE_S`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import threading
import time
import uuid
from pathlib import Path
from typing import IO

from facecap_batch.errors import OutputBusy
from facecap_batch.output.ownership.claim import (
    LOCK_NAME,
    STALE_S,
    Claim,
    Holder,
    holder_now,
    parse_holder,
    read_holder,
)
from facecap_batch.storage.links import open_plain
from facecap_batch.storage.publish import StoragePath, not_writable
from facecap_batch.storage.remote import RemotePath

log = logging.getLogger(__name__)

BEAT_S = 30.0  # between two rewrites of a remote lock
SETTLE_S = 1.0  # how long two requests that were made together may take
# `is_held` asks the operating system through a shared lock that it holds for microseconds. A run that begins
# waits this long for such locks to go; a folder that is locked even then belongs to another run.
ONLOOKER_S = 1.0
ONLOOKER_RETRY_S = 0.005
# What runs leave in a local lock, earlier versions "PROCESS on HOST": another file of that name is a user's.
_OURS = re.compile(rb'(\{"token": .*|\d+ on .*)?', re.DOTALL)


class OutputLock:
    """Holds an output folder for one run, from ``with`` to its end.

    Attributes:
        claim: What those who write for the run check.
    """

    def __init__(self, output: StoragePath) -> None:
        self.claim = Claim(output, uuid.uuid4().hex)
        self._lock = (
            _RemoteLock(output, self.claim.token)
            if isinstance(output, RemotePath)
            else _LocalLock(output, self.claim.token)
        )

    def __enter__(self) -> OutputLock:
        """Raises OutputBusy where another run holds the folder, OutputNotWritable where it refuses."""
        self._lock.take()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def is_held(output: StoragePath) -> bool:
    """True while a run holds the folder. Never keeps a run from beginning.

    Raises OSError where a remote folder cannot be read.
    """
    if isinstance(output, RemotePath):
        holder = read_holder(output)
        return holder is not None and not holder.is_gone()
    try:
        with os.fdopen(open_plain(output / LOCK_NAME, os.O_RDONLY)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno != errno.ELOOP
    return False


class _LocalLock:
    def __init__(self, output: Path, token: str) -> None:
        self.path = output / LOCK_NAME
        self._token = token
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(open_plain(self.path, os.O_RDWR | os.O_CREAT), "r+b")
        except OSError as error:
            raise not_writable(self.path.parent, error) from error
        try:
            _lock_exclusively(file)
        except OSError as error:
            holder = parse_holder(file.read())
            file.close()
            raise OutputBusy(
                f"{self.path.parent}: another run is writing here (process {holder.process or 'unknown'} on "
                f"{holder.host}); wait for it, stop it, or choose another --output"
            ) from error
        self._file = file
        try:
            if not _OURS.fullmatch(file.read()):
                raise OSError(errno.EEXIST, f"{self.path} is not the lock of a run; move it away")
            self._write(holder_now(self._token).as_bytes())
        except OSError as error:
            file.close()
            self._file = None
            raise not_writable(self.path.parent, error) from error

    def release(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._write(b"")  # a worker that is still there finds that its run has ended
            self._file.close()
            self._file = None

    def _write(self, content: bytes) -> None:
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())  # workers of other machines read it


def _lock_exclusively(file: IO[bytes]) -> None:
    """Lock `file` for this process alone; OSError where another run holds it."""
    deadline = time.monotonic() + ONLOOKER_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(ONLOOKER_RETRY_S)


class _RemoteLock:
    def __init__(self, output: RemotePath, token: str) -> None:
        self.output = output
        self.path = output / LOCK_NAME
        self._token = token
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self) -> None:
        try:
            found = read_holder(self.output)
            if found is not None:
                if not found.is_gone():
                    raise self._busy(found)
                self.path.unlink(missing_ok=True)
            with contextlib.suppress(FileExistsError):
                self.path.write_bytes(holder_now(self._token).as_bytes(), new=True)
            time.sleep(SETTLE_S)
            found = read_holder(self.output)
        except OSError as error:
            raise not_writable(self.output, error) from error
        if found is None or found.token != self._token:
            raise self._busy(found)
        self._beating = threading.Thread(target=self._beat, name="output lock", daemon=True)
        self._beating.start()

    def release(self) -> None:
        self._ended.set()
        if self._beating is not None:
            self._beating.join()
        try:
            if self._is_ours():
                self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: the lock could not be removed: %s", self.path, error)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                if not self._is_ours():
                    # Whoever writes for this run finds out through its claim.
                    log.warning("%s: another run has taken this folder over", self.output)
                    return
                self.path.write_bytes(holder_now(self._token).as_bytes())
            except OSError as error:
                log.warning("%s: the lock could not be renewed: %s", self.path, error)

    def _is_ours(self) -> bool:
        found = read_holder(self.output)
        return found is not None and found.token == self._token

    def _busy(self, holder: Holder | None) -> OutputBusy:
        who = "unknown" if holder is None else f"{holder.process} on {holder.host}"
        return OutputBusy(
            f"{self.output}: another run is writing here (process {who}); wait for it, stop it, or choose "
            f"another --output. If it is dead, its lock ends {STALE_S / 60:.0f} minutes after its last sign "
            f"of life; {self.path} may be deleted before that"
        )
