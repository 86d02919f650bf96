"""The connection to the storage behind a URI: opened through fsspec, asked with patience.

In: URIs, and questions to their file system. Out: answers, or an `OSError` with its number set, whatever a
storage library raised. What may pass (time-outs, 5xx, lost connections) is tried again with growing pauses;
what stays is reported at once. fsspec is imported when the first URI is used and not before.

Tests, command lines and workers find servers and credentials where the libraries look for them: the
environment (``AWS_*``), the machine's role, fsspec's own configuration files.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

from facecap_batch.errors import FacecapError, StorageUnavailable, install_hint, is_permanent

INSTALL_LINE = install_hint("storage")
ATTEMPTS = 3
FIRST_PAUSE_S = 0.3  # doubles with each attempt
PAUSE_JITTER_S = 0.6  # up to this is added at random, so that workers do not come back together
# Answers must be of now: another process writes into the same folder.
_FRESH = {"use_listings_cache": False}
# The client's own retries of throttling, 5xx and connection errors. With s3fs's and ours on top a store that
# answers with errors is given up after some ten seconds, one that does not answer after about a minute.
_S3 = {**_FRESH, "config_kwargs": {"retries": {"mode": "standard", "max_attempts": 3}}}
# What a file system of fsspec is opened with, by scheme. Options that the user has configured come first.
CLIENT_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": _S3, "s3a": _S3, "gs": _FRESH, "gcs": _FRESH, "az": _FRESH, "abfs": _FRESH, "abfss": _FRESH,
}  # fmt: skip
# Besides what is always permanent: another request would be answered the same.
_ANSWERS = {
    *(errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOSYS, errno.ESTALE, errno.ESPIPE),
    *(errno.EINVAL, errno.ENODATA),
}

Result = TypeVar("Result")

# stamina logs every retry. A process that has set up no logging would print that into its progress bar.
logging.getLogger("stamina").addHandler(logging.NullHandler())


def open_storage(uri: str) -> tuple[Any, str]:
    """Open the storage that serves `uri`.

    Returns:
        The fsspec file system, and the path of `uri` there.

    Raises:
        StorageUnavailable: Its library is missing, or the address is wrong.
        OSError: It refuses.
    """
    try:
        import fsspec
        from fsspec.config import conf
    except ImportError as error:
        raise StorageUnavailable(f"{uri}: needs fsspec, which is not installed: {INSTALL_LINE}") from error
    scheme = uri.partition("://")[0]
    configured = conf.get(scheme, {})
    options = {
        name: value for name, value in CLIENT_OPTIONS.get(scheme, {}).items() if name not in configured
    }
    try:
        system, path = fsspec.url_to_fs(uri, **options)
    except ImportError as error:
        raise StorageUnavailable(f"{uri}: {error}; for S3 and HTTP: {INSTALL_LINE}") from error
    except ValueError as error:
        raise StorageUnavailable(f"{uri}: {error}; is the address right?") from error
    except Exception as error:
        raise as_os_error(uri, error) from error
    return system, str(path)


@functools.lru_cache(maxsize=256)
def why_no_library(scheme: str) -> str | None:
    """Why no library here reads what lies behind `scheme`; None where one does. No storage is asked."""
    try:
        from fsspec import get_filesystem_class
    except ImportError:
        return f"needs fsspec, which is not installed: {INSTALL_LINE}"
    try:
        get_filesystem_class(scheme)
    except ImportError as error:
        return f"{error}; for S3 and HTTP: {INSTALL_LINE}"
    except ValueError as error:
        return f"{error}; is the address right?"
    return None


def with_retries(uri: str, call: Callable[[], Result], attempts: int = ATTEMPTS) -> Result:
    """The result of `call`, tried again while it fails for reasons that may pass.

    Args:
        uri: What the call is about, for the message.
        call: Asks the storage.
        attempts: How often it may be called.

    Raises:
        OSError: The reason stays, or was still there in the last attempt. Its number is set.
    """
    import stamina

    def attempt() -> Result:
        try:
            return call()
        except Exception as error:
            raise as_os_error(uri, error) from error

    caller = stamina.RetryingCaller(
        attempts=attempts, timeout=None, wait_initial=FIRST_PAUSE_S, wait_jitter=PAUSE_JITTER_S
    )
    return caller(_may_pass, attempt)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, OSError) and not is_permanent(error) and error.errno not in _ANSWERS


def as_os_error(uri: str, error: Exception) -> OSError:
    """What a storage library raised, as an `OSError` that has a number.

    Raises:
        Exception: `error` itself, where it is no trouble of the storage but a bug, or one of our own.
    """
    name, status = type(error).__name__, getattr(error, "status", None)
    if isinstance(error, FacecapError) or not (isinstance(error, OSError) or _is_of_a_library(error)):
        raise error
    if isinstance(error, FileNotFoundError):
        number = errno.ENOENT
    elif isinstance(error, FileExistsError):
        number = errno.EEXIST
    elif isinstance(error, PermissionError) or "Credential" in name or status in (401, 403):
        number = errno.EACCES
    elif any(kind.__name__ == "TimeoutError" for kind in type(error).__mro__):  # asyncio's is another one
        number = errno.ETIMEDOUT
    else:
        number = getattr(error, "errno", None) or errno.EIO
    reason = getattr(error, "strerror", None) or str(error) or name
    reason = os.strerror(number) if reason in (uri, uri.partition("://")[2]) else reason
    return OSError(number, " ".join(str(reason).split())[:300], uri)


def _is_of_a_library(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] not in ("builtins", "facecap_batch")
