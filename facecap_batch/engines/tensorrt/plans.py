"""Where built plans lie, and which of them may be used: the plan cache.

A plan is a network compiled for one GPU by one TensorRT. In: a `PlanKey`, which holds all that a plan depends
on, a way to build it and a way to open it. Out: the opened plan, from the cache where one lies there that was
made for exactly this key, else newly built and published. A file under the right name is not trusted: it
carries its key and the SHA-256 of its bytes, and one that was made for another machine or version, or is
damaged, is built again. Of several processes that want one plan, one builds and the others wait.

The folder is ``$FACECAP_BATCH_CACHE``, else ``$XDG_CACHE_HOME/facecap-batch``, else
``~/.cache/facecap-batch``; plans are in ``tensorrt/`` there. Deleting it costs the time to build again. Who
can write there can run code as the user, so it is made for the user alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from facecap_batch.engines.cards import Shape
from facecap_batch.errors import EngineError
from facecap_batch.storage.documents import BadDocument, Plain, Sha256, parsed
from facecap_batch.storage.links import open_plain
from facecap_batch.storage.publish import publish_bytes

log = logging.getLogger(__name__)

CACHE_VARIABLE = "FACECAP_BATCH_CACHE"
PLAN_FORM = 1  # to be raised when the same key would be built in another way
_MAGIC = b"facecap-batch plan\n"
_NAME_DIGITS = 20  # 80 bits of the key in a file's name; the whole key is inside

Opened = TypeVar("Opened")


@dataclasses.dataclass(frozen=True)
class PlanKey:
    """Everything that a plan depends on."""

    onnx_sha256: str
    tensorrt: str  # its whole version
    gpu: str  # the name the driver gives
    compute_capability: str
    precision: str  # "fp32" | "fp16" | "int8"
    input: str  # name of the input
    profiles: tuple[tuple[Shape, Shape, Shape], ...]
    workspace_bytes: int
    form: int = PLAN_FORM

    def to_json(self) -> str:
        """One line, keys in a fixed order."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def digest(self) -> str:
        """Digits that differ from those of all other keys."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:_NAME_DIGITS]

    def timing_digest(self) -> str:
        """As `digest`, for what is measured of kernels: it serves all networks on this GPU and version."""
        about = json.dumps([self.tensorrt, self.gpu, self.compute_capability])
        return hashlib.sha256(about.encode()).hexdigest()[:_NAME_DIGITS]


@dataclasses.dataclass(frozen=True)
class _Header:
    """What a plan's file says of it."""

    key: dict[str, Plain]
    sha256: Sha256


def cache_folder() -> Path:
    """The user's cache folder of this project; it need not exist."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~/.cache").expanduser()) / "facecap-batch"


def plan_folder() -> Path:
    """Where plans and timings lie."""
    return cache_folder() / "tensorrt"


def plan_path(name: str, key: PlanKey) -> Path:
    """The file of the plan of the engine called `name` with this key."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    return plan_folder() / f"{plain}-{key.precision}-{key.digest()}.plan"


def plans() -> list[Path]:
    """Every plan in the cache."""
    return sorted(plan_folder().glob("*.plan"))


def fetch(
    name: str, key: PlanKey, build: Callable[[], bytes], open_plan: Callable[[bytes], Opened | None]
) -> Opened:
    """The plan of the engine called `name`, opened: from the cache, or built and put there.

    `open_plan` gives None for bytes that TensorRT refuses. Raises what `build` raises, and EngineError where
    a plan that was just built does not open. A cache that cannot be written to is done without.
    """
    path = plan_path(name, key)
    if (opened := _from_cache(path, key, open_plan)) is not None:
        return opened
    with _one_at_a_time(path):
        if (opened := _from_cache(path, key, open_plan)) is not None:  # another process has built it
            return opened
        log.info("engine %s: building a TensorRT plan (%s on %s)", name, key.precision, key.gpu)
        plan = build()
        opened = open_plan(plan)
        if opened is None:
            raise EngineError(f"engine {name!r}: TensorRT {key.tensorrt} does not load the plan it built")
        _store(path, key, plan)
        return opened


def stored(path: Path, key: PlanKey) -> bytes | None:
    """The plan in `path` if it was made for `key` and is whole; None, with a log line, where it is not."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("plan %s cannot be read (%s); it is built again", path, error)
        return None
    about, _, plan = data.removeprefix(_MAGIC).partition(b"\n")
    try:
        if not data.startswith(_MAGIC):
            raise BadDocument(f"{path} is no plan")
        header = parsed(_Header, about, path)
    except BadDocument:
        header = None
    if header is None or header.sha256 != hashlib.sha256(plan).hexdigest():
        log.warning("plan %s is damaged; it is built again", path)
        return None
    if header.key != json.loads(key.to_json()):
        log.warning("plan %s was made for another GPU, version or network; it is built again", path)
        return None
    return plan


def _from_cache(path: Path, key: PlanKey, open_plan: Callable[[bytes], Opened | None]) -> Opened | None:
    plan = stored(path, key)
    if plan is None:
        return None
    opened = open_plan(plan)
    if opened is None:
        log.warning("plan %s is refused by TensorRT; it is built again", path)
    return opened


def _store(path: Path, key: PlanKey, plan: bytes) -> None:
    about = {"key": json.loads(key.to_json()), "sha256": hashlib.sha256(plan).hexdigest()}
    _publish(path, _MAGIC + json.dumps(about, sort_keys=True).encode() + b"\n" + plan)


def timings(key: PlanKey) -> bytes:
    """What earlier builds on this GPU with this version measured of kernels; empty where nothing is known."""
    with contextlib.suppress(OSError):
        return _timing_path(key).read_bytes()
    return b""


def keep_timings(key: PlanKey, data: bytes) -> None:
    """Keep what a build has measured for the next one."""
    _publish(_timing_path(key), data)


def _timing_path(key: PlanKey) -> Path:
    return plan_folder() / f"kernels-{key.timing_digest()}.timing"


def _publish(path: Path, data: bytes) -> None:
    try:
        _make_folder()
        publish_bytes(path, data)
    except OSError as error:
        log.warning("the plan cache cannot be written to (%s); set %s", error, CACHE_VARIABLE)


def _make_folder() -> None:
    plan_folder().mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Within this context no other process builds the plan of `path`; the lock dies with its holder."""
    try:
        _make_folder()
        lock = os.fdopen(open_plain(path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT), "wb")
    except OSError:  # nothing can be kept there either; `_publish` says so
        yield
        return
    with lock:
        with contextlib.suppress(OSError):  # a file system without locks: at worst a plan is built twice
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
