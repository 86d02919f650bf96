"""The Ray that a run works on: a local one that the run starts and stops, or a cluster that is there.

In: an address or none. Out: a context in which Ray is connected. Only small records of ours pass through
Ray's object store, so a local Ray gets the smallest store that works.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecap_batch.errors import FacecapError
from facecap_batch.machine import usable_cpus, usable_memory_bytes
from facecap_batch.scheduling.nodes import WORKER_MEMORY_BYTES, alive_nodes
from facecap_batch.scheduling.python_process import import_path
from facecap_batch.storage.scratch import remove_abandoned, scratch_folder

if TYPE_CHECKING:
    from ray.job_config import JobConfig

OBJECT_STORE_BYTES = 100 * 2**20  # Ray's floor is 75 MiB; frames never pass through it
# What the driver, Ray's own processes and its object store take of a machine on which a run starts Ray.
DRIVER_MEMORY_BYTES = 2**30
# Ray puts Unix sockets below its folder, and their paths may have 107 characters; Ray adds about 65.
MAX_FOLDER_LENGTH = 40  # characters
MIN_RAY = (2, 52)  # the first with token authentication: below it a local Ray is open to whoever reaches it
START_ATTEMPTS = 3  # Ray itself waits 30 s for its processes, which a busy machine may exceed
# What libraries of a worker read once, when its process starts. One thread: a run computes in parallel
# through workers. One arena of the C library (glibc) for all threads: an arena keeps to itself what is free
# in it, so that with several of them a worker holds more from clip to clip.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


class ClusterUnavailable(FacecapError):
    """No Ray can be started here, or none answers at the given address."""


@contextlib.contextmanager
def connected(
    address: str | None = None, num_cpus: float | None = None, gpus_per_worker: float = 0.0
) -> Iterator[None]:
    """Within this context Ray is ready for tasks.

    A Ray that this process is already connected to is used and left as it is.

    Args:
        address: of the cluster to join and leave again: "auto", "host:6379", "ray://…". None: a local Ray is
            started and stopped.
        num_cpus: CPUs that a local Ray offers; None: those that this process may use.
        gpus_per_worker: the share of a GPU that each worker takes; 0: none.

    Raises:
        ClusterUnavailable: no cluster answers at `address`, a local Ray cannot be started, or a Ray that does
            not grow has no GPU with such a share.
    """
    if _already_connected():
        if address is None:
            _require_gpus(gpus_per_worker)
        yield
    elif address is not None:
        import ray

        try:
            # Behind ray:// the cluster makes the job, and adds no folder of this machine to it.
            job: dict[str, Any] = {} if address.startswith("ray://") else {"job_config": _job_config([])}
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **job)
        except Exception as error:  # Ray raises many kinds
            raise ClusterUnavailable(f"no Ray cluster answers at {address!r}: {error}") from error
        try:
            yield
        finally:
            ray.shutdown()
    else:
        with _local(num_cpus):
            _require_gpus(gpus_per_worker)
            yield


@contextlib.contextmanager
def _local(num_cpus: float | None) -> Iterator[None]:
    cpus = num_cpus if num_cpus is not None else usable_cpus()
    remove_abandoned(_short_parent())
    with _environment(), scratch_folder(_short_parent()) as folder:
        import ray

        _require_tokens(ray.__version__)
        try:
            with _on_loopback():
                _start(cpus, folder)
            yield
        finally:
            ray.shutdown()


class _WorkersPath(list[str]):
    """Where Ray's workers look for modules first; each entry goes before those in front of it.

    To the list of a job Ray adds the working directory of the driver, from which the driver itself imports
    nothing unless `sys.path` says so.
    """

    def extend(self, added: Iterable[str]) -> None:
        imported_from = import_path()
        super().extend(path for path in added if path in imported_from and path not in self)


def _job_config(path: list[str]) -> JobConfig:
    """A job whose workers import from `path`, in this order, and then from what is installed with them."""
    from ray.job_config import JobConfig

    config = JobConfig()
    config._py_driver_sys_path = _WorkersPath(reversed(path))
    return config


def _require_gpus(gpus_per_worker: float) -> None:
    largest = max((node.resources.get("GPU", 0) for node in alive_nodes()), default=0)
    if gpus_per_worker > largest:
        raise ClusterUnavailable(
            f"a worker takes {gpus_per_worker:g} GPUs and the largest node has {largest:g}; check that "
            "nvidia-smi works, or leave --gpus-per-worker out"
        )


def _start(cpus: float, folder: Path) -> None:
    """Start a local Ray. Raises ClusterUnavailable."""
    import ray

    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(
                address="local",  # never what RAY_ADDRESS names
                job_config=_job_config(import_path()),
                num_cpus=cpus,  # type: ignore[arg-type]
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _memory=_memory_for_workers(),
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder / str(attempt)),
            )
            return
        except Exception as error:  # Ray raises plain ones
            ray.shutdown()
            if attempt == START_ATTEMPTS:
                raise ClusterUnavailable(
                    f"Ray could not be started in {attempt} attempts; is the machine overloaded, or "
                    f"{folder.parent} full? The last error: {error}"
                ) from error


def _require_tokens(version: str) -> None:
    """Raise ClusterUnavailable where Ray knows no tokens."""
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_RAY:
        lowest = ".".join(map(str, MIN_RAY))
        raise ClusterUnavailable(
            f"Ray {version} cannot be protected from other users of this machine: install ray>={lowest}, or "
            "give --workers 1, which needs no Ray"
        )


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Within this context, a Ray that is started listens on the loopback interface alone.

    Ray does so by itself on systems where it forms no clusters, and only there: the address that `ray.init`
    can be given is replaced by one that other machines reach.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _memory_for_workers() -> int | None:
    """Bytes that a local Ray may give to workers; Ray itself sees no limit of a nested control group. None:
    the system does not tell, Ray is to find out."""
    usable = usable_memory_bytes()
    return None if usable is None else max(usable - DRIVER_MEMORY_BYTES, WORKER_MEMORY_BYTES)


def _already_connected() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Set what a local Ray and its workers read from the environment when they start; restore it then."""
    _authenticate()
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        # Else Ray empties CUDA_VISIBLE_DEVICES for workers without a share of a GPU, and warns of that.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        **WORKER_ENVIRONMENT,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _authenticate() -> None:
    """Protect the Rays that this process starts with a secret token: every user of the machine can reach
    their ports.

    Ray reads mode and token once, when it is imported. So they stay for the life of the process, and a
    process that has imported Ray itself, or chosen a mode, keeps its own.
    """
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ.pop("RAY_AUTH_TOKEN_PATH", None)


def _short_parent() -> Path:
    """Where a folder for Ray's sockets and logs may lie."""
    parent = tempfile.gettempdir()
    return Path("/tmp" if len(parent) > MAX_FOLDER_LENGTH - len("/facecap-12345678/1") else parent)
