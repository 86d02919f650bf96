"""Named errors. Each carries what failed, where, and what to do; raised where the cause is known."""

from __future__ import annotations

import errno
import os

# A full or read-only disk stays so, and so does a refusal; other errors of a storage may pass.
PERMANENT = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EFBIG,
        errno.ENAMETOOLONG,
        errno.ELOOP,  # a link where a file of ours belongs
    }
)


# What libraries say of it where Python has no type for it.
NO_MEMORY = (
    "bad_alloc",  # C++
    "bad allocation",  # C++ of ONNX Runtime
    "insufficient memory",  # OpenCV
    "failed to allocate",  # ONNX Runtime, CUDA
    "cannot allocate memory",  # the C library
    "can't start new thread",  # Python
    "failed to map segment",  # the loader of libraries
)
MEMORY_ADVICE = "run fewer workers at a time, or do this clip on a machine with more memory"


class FacecapError(Exception):
    """Base of every error this package raises on purpose."""


class BadManifest(FacecapError):
    """The manifest cannot be used; nothing was run. The message lists every bad row and why."""


class BadVideo(FacecapError):
    """A video cannot be decoded, or not to its end. The message names the file, the time and what to do."""


class NoVideoStream(BadVideo):
    """The file opens but holds no video stream."""


class TooLarge(BadVideo):
    """A video has, or claims, more pixels, frames or samples than are allowed. The message names the limit,
    and the option that raises it."""


class OutOfMemory(FacecapError):
    """A clip needs more memory than its worker can have. The message names the file, and what to do."""


class BadSource(FacecapError):
    """A live source cannot be recorded. The message names it, without credentials, and what to do."""


class DecoderUnavailable(FacecapError):
    """Decoding on a GPU was asked for by name and cannot be done here."""


class EngineError(FacecapError):
    """An engine or its card is missing, damaged or unusable on this backend."""


class EngineMismatch(EngineError):
    """A file does not match its card: another hash, shape or output than the card lists."""


class ImpossibleOutput(EngineError):
    """An engine said of a clip what is no number, or what no face can have. The message names both."""


class BackendUnavailable(EngineError):
    """A backend was asked for by name and cannot run here. The message holds the install line."""


class WorkerLost(FacecapError):
    """A worker process died while it held a clip."""


class RunBroken(FacecapError):
    """A run has ended before all of its clips had. What is done is kept; the message says why it ended."""


class OutputNotWritable(FacecapError):
    """The output folder cannot be written to."""


class OutputLost(FacecapError):
    """The output folder, or files of a finished clip in it, went away during the run, or another run took it
    over."""


class OutputBusy(FacecapError):
    """Another run is writing to this output folder."""


class InputNotReadable(FacecapError):
    """The storage of a video or a raw table does not answer, or a raw table is damaged. The video itself may
    be whole."""


class StorageUnavailable(FacecapError):
    """A URI cannot be used here: its storage library is missing, or no library knows its scheme."""


class NotCertified(EngineError):
    """A run takes certified backends only, and this one has no certificate here. The message says how to
    get one."""


class BaselineFailed(FacecapError):
    """Another tool whose speed is to be compared has failed. The message holds what it printed."""


def is_permanent(error: OSError) -> bool:
    """True where another attempt cannot succeed."""
    return error_number(error) in PERMANENT


def is_full(error: OSError) -> bool:
    """True where there is no room left."""
    return error_number(error) in (errno.ENOSPC, errno.EDQUOT)


def means_no_memory(error: BaseException) -> bool:
    """True where `error` says that memory, or what a thread takes of it, has run out."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOMEM, errno.EAGAIN)
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY)


def error_number(error: OSError) -> int | None:
    """The errno of `error`, None where it has none; Arrow keeps it in the text only."""
    if error.errno is not None:
        return error.errno
    for number in PERMANENT:
        if f"errno {number}]" in str(error).lower() or os.strerror(number) in str(error):
            return number
    return None


def install_hint(extras: str) -> str:
    """The command that installs `extras` ("cpu,query") of this package, which lies on no index."""
    return f"pip install '.[{extras}]' in a checkout of facecap-batch"
