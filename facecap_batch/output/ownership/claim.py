"""The right of one run to write to an output folder, as anyone who writes for it can check it.

In: the content of the folder's lock. Out: a `Claim`, which travels to workers and says before each
publication whether the folder still belongs to their run. It does not where the folder was removed, unmounted
or replaced, and where the run has ended, however it did, and another has begun.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import socket
import time
from pathlib import Path

from facecap_batch.errors import OutputLost
from facecap_batch.output.ownership.folders import check_folders
from facecap_batch.storage.documents import BadDocument, parsed
from facecap_batch.storage.links import open_plain
from facecap_batch.storage.publish import StoragePath

LOCK_NAME = ".lock"
# `beat` of a remote lock that is older is void. Ten beats: a storage that cannot be reached for a few minutes
# costs no run its folder. The clocks of machines that share a folder must differ by less than this.
STALE_S = 300.0
# A network disk may show another machine the lock a moment after it was written.
SECOND_LOOK_S = 1.0


@dataclasses.dataclass(frozen=True)
class Holder:
    """The content of a lock."""

    token: str  # unique to the run that wrote it
    process: int
    host: str
    machine: str  # the name space that `process` is a number of; empty where that cannot be known
    beat: float  # seconds since 1970, when it was written

    def as_bytes(self) -> bytes:
        """The content of the lock's file."""
        return json.dumps(dataclasses.asdict(self)).encode()

    def is_gone(self) -> bool:
        """True where its run has ended: it is too old, or its process was one of this machine and is gone."""
        if time.time() - self.beat > STALE_S:
            return True
        here = bool(self.machine) and self.machine == _machine()
        return here and not Path(f"/proc/{self.process}").exists()


def holder_now(token: str) -> Holder:
    """This process, at this time."""
    return Holder(token, os.getpid(), socket.gethostname(), _machine(), time.time())


def parse_holder(content: bytes) -> Holder:
    """The holder that a lock names; one without a run where the content is not understood."""
    try:
        return parsed(Holder, content, LOCK_NAME)
    except BadDocument:
        return Holder(token="", process=0, host="unknown", machine="", beat=0.0)


def read_holder(output: StoragePath) -> Holder | None:
    """The holder that the folder's lock names; None where there is no lock. Raises OSError."""
    path = output / LOCK_NAME
    try:
        if not isinstance(path, Path):
            return parse_holder(path.read_bytes())
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            return parse_holder(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None


@dataclasses.dataclass(frozen=True)
class Claim:
    """The right to write to `output`."""

    output: StoragePath  # absolute
    token: str  # of the run, in the folder's lock

    def check(self) -> None:
        """Return where the folder belongs to the run.

        Raises:
            OutputLost: It does not, any more.
            OSError: The storage does not answer, or a folder of ours in it is a link.
        """
        if not self._is_valid():
            time.sleep(SECOND_LOOK_S)
            if not self._is_valid():
                raise OutputLost(
                    f"{self.output}: the output folder does not belong to this run any more: it was removed, "
                    "unmounted or replaced, or another run has begun in it. Nothing more is written there; "
                    "give the same command again"
                )
        check_folders(self.output)

    def _is_valid(self) -> bool:
        try:
            holder = read_holder(self.output)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ESTALE, errno.ENOTCONN):
                return False
            raise
        return holder is not None and holder.token == self.token


def _machine() -> str:
    """Names this boot of this machine and this name space of processes; empty where Linux does not run."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
