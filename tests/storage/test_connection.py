"""Errors of a storage: what is tried again, what is not, and what they become."""

from __future__ import annotations

import errno

import pytest

from facecap_batch.errors import BadVideo
from facecap_batch.storage import connection
from facecap_batch.storage.connection import ATTEMPTS, with_retries

URI = "s3://bucket/a.bin"


class Throttled(Exception):
    """As a client library raises it: no OSError, and no number."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(connection, "PAUSE_JITTER_S", 0.001)


class Storage:
    """Fails with the given errors, one a call, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.mark.parametrize("error", [Throttled("slow down"), OSError(errno.EIO, "reset"), TimeoutError()])
def test_what_may_pass_is_tried_again_and_quietly(
    error: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(*[error] * (ATTEMPTS - 1))
    assert with_retries(URI, storage) == "answer" and storage.calls == ATTEMPTS
    assert capfd.readouterr() == ("", "")  # a line there would break a progress bar


def test_what_does_not_pass_is_given_up() -> None:
    storage = Storage(*[Throttled("slow down")] * ATTEMPTS)
    with pytest.raises(OSError, match="slow down") as caught:
        with_retries(URI, storage)
    assert (storage.calls, caught.value.errno, caught.value.filename) == (ATTEMPTS, errno.EIO, URI)
    assert isinstance(caught.value.__cause__, Throttled)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(URI),
        FileExistsError(URI),
        PermissionError("denied"),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.ESTALE, "changed"),
    ],
)
def test_what_stays_is_reported_at_once(error: OSError) -> None:
    storage = Storage(error)
    with pytest.raises(type(error)) as caught:
        with_retries(URI, storage)
    assert storage.calls == 1 and caught.value.errno is not None


@pytest.mark.parametrize("error", [ValueError("a bug"), BadVideo("one of our own")])
def test_what_is_no_trouble_of_the_storage_passes_through(error: Exception) -> None:
    storage = Storage(error)
    with pytest.raises(type(error)) as caught:
        with_retries(URI, storage)
    assert storage.calls == 1 and caught.value is error
