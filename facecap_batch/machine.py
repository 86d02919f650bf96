"""The machine and the software that a result was made on.

In: the operating system's own files and the installed packages. Out: the CPUs and the memory that this
process may use, a description of the hardware, versions of what touches results, the time. Nothing heavy is
imported for it.
"""

from __future__ import annotations

import contextlib
import datetime
import mmap
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facecap_batch import __version__

# Which control groups this process is in, a line ``number:controllers:path`` each (proc(5)). A container may
# see the path of its host there; its own limit is then at the root of what it has mounted.
CGROUP_MEMBERSHIP = Path("/proc/self/cgroup")
CGROUP_FOLDER = Path("/sys/fs/cgroup")
PACKAGES = (
    "av",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "opencv-python-headless",
    "openvino",
    "pyarrow",
    "ray",
    "torch",
)
# The libraries that scale and turn pictures, by the major versions that were compared: with all of these a
# clip's raw table holds the same values (`benchmarks/accuracy/same_results.py`; `.ci/run` compares the lowest
# versions with the newest). PyAV 16 scales in another way, and coefficients differ by up to .24.
SAME_PICTURES = {"av": range(17, 20), "opencv-python-headless": range(4, 6)}

# A process that can still have so much has not failed for want of memory.
SPARE_BYTES = 2**28


def utc_now() -> str:
    """The time now, UTC, ISO 8601 to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that touch results; absent ones are left out."""
    import importlib.metadata  # reads mail headers, too: what a command does not need is not waited for

    found = {"python": platform.python_version(), "facecap-batch": __version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def other_pictures() -> dict[str, str]:
    """Libraries here whose pictures may differ from those of `SAME_PICTURES`: package -> "major.minor"."""
    import importlib.metadata

    found = {}
    for package, majors in SAME_PICTURES.items():
        try:
            parts = importlib.metadata.version(package).split(".")
        except importlib.metadata.PackageNotFoundError:
            continue
        if int(parts[0]) not in majors:
            found[package] = ".".join(parts[:2])
    return found


def hardware() -> dict[str, Any]:
    """This machine, as ``run.json`` and reports describe it."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cpus": usable_cpus(),
        "memory_bytes": usable_memory_bytes(),
        "gpus": _gpus(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _gpus() -> list[str]:
    """Names of NVIDIA GPUs, as the driver's files list them; no library is loaded for it."""
    names = []
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in information.read_text().splitlines():
            if line.startswith("Model:"):
                names.append(line.split(":", 1)[1].strip())
    return names


def usable_cpus() -> int:
    """CPUs that this process may use: those it is bound to, no more than its container's share (cgroup v1 and
    v2), and no more than the environment variable LOKY_MAX_CPU_COUNT."""
    from loky import cpu_count

    return int(cpu_count())


def usable_memory_bytes() -> int | None:
    """Bytes of memory that this process may use: the machine's, and no more than the limit of any control
    group that it is in (cgroup v1 and v2). None where the system does not tell."""
    limits = [_physical_memory(), *_cgroup_limits()]
    return min((limit for limit in limits if limit), default=None)


def memory_is_short() -> bool:
    """True where this process cannot have `SPARE_BYTES` more."""
    try:
        mmap.mmap(-1, SPARE_BYTES).close()
    except (OSError, MemoryError):
        return True
    return False


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _cgroup_limits() -> Iterator[int]:
    """Bytes that the control groups of this process allow it: of its own group and of all above it."""
    try:
        lines = CGROUP_MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            root, name = CGROUP_FOLDER, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = CGROUP_FOLDER / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                with contextlib.suppress(OSError, ValueError):  # no such group here, or "max": no limit
                    yield int((folder / name).read_text())
