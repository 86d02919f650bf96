"""The Ray that a run works on: one that the run starts and stops, or one that is there.

In: an address or none. Out: a context in which Ray is connected. Nothing of ours flows through Ray's
object store but small records, so a local Ray gets the smallest store that works.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from facecap_batch.errors import FacecapError
from facecap_batch.machine import usable_cpus

OBJECT_STORE_BYTES = 100 * 2**20  # Ray's floor is 75 MiB; frames never pass through it
# Ray puts Unix sockets below its folder, and their paths may have 107 characters; Ray adds about 65.
LONGEST_FOLDER = 40
START_ATTEMPTS = 3
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ClusterUnavailable(FacecapError):
    """No Ray can be started here, or none answers at the given address."""


@contextlib.contextmanager
def connected(
    address: str | None = None, num_cpus: float | None = None, gpus_per_worker: float = 0.0
) -> Iterator[None]:
    """Within this context Ray is ready for tasks.

    With an `address` ("auto", "host:6379", "ray://…") the cluster there is joined and left again. Without
    one, a Ray that this process is already connected to is used and left as it is; else a local one with
    `num_cpus` CPUs (default: those this process may use) is started and stopped. Raises ClusterUnavailable,
    also where no worker's share of a GPU can be had from a Ray that does not grow.
    """
    if _already_connected():
        if address is None:
            _require_gpus(gpus_per_worker)
        yield
    elif address is not None:
        import ray

        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
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
    with _environment(), _short_folder() as folder:
        import ray

        try:
            _start(cpus, folder)
            yield
        finally:
            ray.shutdown()


def _require_gpus(gpus_per_worker: float) -> None:
    import ray

    largest = max((node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if gpus_per_worker > largest:
        raise ClusterUnavailable(
            f"a worker is to take {gpus_per_worker:g} of a GPU and Ray sees {largest:g} here; see that "
            "nvidia-smi works, or leave --gpus-per-worker out"
        )


def _start(cpus: float, folder: Path) -> None:
    """Start a local Ray; its own patience is 30 seconds, which a busy machine may exceed."""
    import ray

    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(
                address="local",  # never what RAY_ADDRESS names
                num_cpus=cpus,  # type: ignore[arg-type]
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
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


def _already_connected() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What a local Ray reads from the environment when it starts; put back afterwards.

    Workers inherit the thread limits: parallelism is workers, not threads.
    """
    _authenticate()
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        # Ray would set CUDA_VISIBLE_DEVICES to nothing for workers without a GPU share, then warn of it.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        **{name: "1" for name in THREAD_VARIABLES},
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
    """Give Rays that this process starts a token that nobody is told: every user of the machine can reach
    their ports.

    Ray reads mode and token once, when it is imported, so this stays for the life of the process, and a
    process that imported Ray itself, or chose a mode, keeps its own arrangement.
    """
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ.pop("RAY_AUTH_TOKEN_PATH", None)


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder for Ray's sockets and logs, removed afterwards."""
    parent: str | None = tempfile.gettempdir()
    if len(str(parent)) > LONGEST_FOLDER - len("/facecap-12345678/1"):
        parent = "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="facecap-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class NodeKind:
    """What a machine of the cluster is; machines that are alike are equal."""

    cpus: float
    gpus: float
    accelerator: str  # as Ray names it, "A10G"; empty: none
    memory_bytes: int


def node_kind(node_id: str) -> NodeKind:
    """What the node `node_id` of the connected cluster brings in; nothing for one that Ray does not know."""
    import ray

    brought: dict[str, float] = next(
        (node["Resources"] for node in ray.nodes() if node["NodeID"] == node_id), {}
    )
    accelerators = [name.split(":", 1)[1] for name in brought if name.startswith("accelerator_type:")]
    return NodeKind(
        cpus=brought.get("CPU", 0.0),
        gpus=brought.get("GPU", 0.0),
        accelerator=", ".join(sorted(accelerators)),
        memory_bytes=int(brought.get("memory", 0)),
    )


def worker_capacity(cpus_per_worker: float, gpus_per_worker: float) -> int:
    """How many workers of this size the connected cluster holds now, node by node; at least 1."""
    import ray

    count = 0
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        resources = node["Resources"]
        fits = []
        if cpus_per_worker > 0:
            fits.append(int(resources.get("CPU", 0) / cpus_per_worker + 1e-9))
        if gpus_per_worker > 0:
            fits.append(int(resources.get("GPU", 0) / gpus_per_worker + 1e-9))
        count += min(fits, default=1)
    return max(count, 1)
