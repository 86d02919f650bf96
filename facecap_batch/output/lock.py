"""The lock that gives an output folder to one run at a time.

In: an output folder. Out: a held lock, or `OutputBusy` naming its holder. On a local disk the operating
system keeps the lock and releases it whenever the process ends, also when it is killed. Behind a URI the lock
is an object, ``.lock``, that names its holder and is rewritten every `BEAT_S`; one that is older than
`STALE_S`, or whose process is known to be dead, is void. It is created by a conditional request, so that of
two runs that begin together one wins, where the store supports such requests (S3, Google Cloud Storage,
Azure); elsewhere, and when a void lock is taken over, what was written is read again after `SETTLE_S`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import IO

from facecap_batch.errors import OutputBusy
from facecap_batch.storage.documents import BadDocument, read_document
from facecap_batch.storage.publish import StoragePath, not_writable
from facecap_batch.storage.remote import RemotePath

log = logging.getLogger(__name__)

LOCK_NAME = ".lock"
BEAT_S = 30.0  # between two rewrites of a remote lock
# Ten beats: a storage that cannot be reached for a few minutes costs no run its folder. The clocks of
# machines that share a folder must differ by less than this.
STALE_S = 300.0
SETTLE_S = 1.0  # how long two requests that were made together may take
# `is_held` asks the operating system through a shared lock that it holds for microseconds. A run that begins
# waits this long for such locks to go; a folder that is locked even then belongs to another run.
ONLOOKER_S = 1.0
ONLOOKER_RETRY_S = 0.005


class OutputLock:
    """Holds an output folder for one run, from ``with`` to its end."""

    def __init__(self, output: StoragePath) -> None:
        self._lock = _RemoteLock(output) if isinstance(output, RemotePath) else _LocalLock(output)

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
        holder = _read(output / LOCK_NAME)
        return holder is not None and not holder.is_gone()
    try:
        with (output / LOCK_NAME).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class _LocalLock:
    def __init__(self, output: Path) -> None:
        self.path = output / LOCK_NAME
        self._file: IO[str] | None = None

    def take(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+")
        except OSError as error:
            raise not_writable(self.path.parent, error) from error
        try:
            _lock_exclusively(file)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise OutputBusy(
                f"{self.path.parent}: another run is writing here (process {holder}); "
                "wait for it, stop it, or choose another --output"
            ) from error
        self._file = file
        try:
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}")
            file.flush()
        except OSError as error:
            self.release()
            raise not_writable(self.path.parent, error) from error

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock_exclusively(file: IO[str]) -> None:
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


@dataclasses.dataclass(frozen=True)
class _Holder:
    """The content of a remote lock."""

    token: str  # unique to the run that wrote it
    process: int
    host: str
    machine: str  # the name space that `process` is a number of; empty where that cannot be known
    beat: float  # seconds since 1970, when it was written

    def is_gone(self) -> bool:
        """True where its run has ended: it is too old, or its process was one of this machine and is gone."""
        if time.time() - self.beat > STALE_S:
            return True
        here = bool(self.machine) and self.machine == _machine()
        return here and not Path(f"/proc/{self.process}").exists()


class _RemoteLock:
    def __init__(self, output: RemotePath) -> None:
        self.output = output
        self.path = output / LOCK_NAME
        self._token = uuid.uuid4().hex
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self) -> None:
        try:
            found = _read(self.path)
            if found is not None:
                if not found.is_gone():
                    raise self._busy(found)
                self.path.unlink(missing_ok=True)
            with contextlib.suppress(FileExistsError):
                self.path.write_bytes(self._content(), new=True)
            time.sleep(SETTLE_S)
            found = _read(self.path)
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
                    # Harmless: files are published complete, and are the same whoever made them.
                    log.warning("%s: another run has taken this folder over", self.output)
                    return
                self.path.write_bytes(self._content())
            except OSError as error:
                log.warning("%s: the lock could not be renewed: %s", self.path, error)

    def _is_ours(self) -> bool:
        found = _read(self.path)
        return found is not None and found.token == self._token

    def _content(self) -> bytes:
        holder = _Holder(self._token, os.getpid(), socket.gethostname(), _machine(), time.time())
        return json.dumps(dataclasses.asdict(holder)).encode()

    def _busy(self, holder: _Holder | None) -> OutputBusy:
        who = "unknown" if holder is None else f"{holder.process} on {holder.host}"
        return OutputBusy(
            f"{self.output}: another run is writing here (process {who}); wait for it, stop it, or choose "
            f"another --output. If it is dead, its lock ends {STALE_S / 60:.0f} minutes after its last sign "
            f"of life; {self.path} may be deleted before that"
        )


def _read(path: RemotePath) -> _Holder | None:
    """The holder in a remote lock; one without a run where the content is not understood. Raises OSError."""
    try:
        return read_document(_Holder, path)
    except FileNotFoundError:
        return None
    except BadDocument:
        return _Holder(token="", process=0, host="unknown", machine="", beat=0.0)


def _machine() -> str:
    """Names this boot of this machine and this name space of processes; empty where Linux does not run."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
