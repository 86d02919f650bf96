"""What a process may use of its machine, as control groups of both versions limit it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecap_batch import machine

GIB = 2**30
# Of a container's process: (the kernel's list of its groups, the files with limits below the mount).
GROUPS = {
    "v2": ("0::/\n", {"memory.max": 2 * GIB}),
    "v2, nested": (
        "0::/slurm/job_7/step_0\n",
        {
            "slurm/job_7/memory.max": 2 * GIB,
            "slurm/job_7/step_0/memory.max": "max",
            "slurm/memory.max": 8 * GIB,
        },
    ),
    "v1": ("11:cpuset:/\n4:memory:/\n1:name=systemd:/\n", {"memory/memory.limit_in_bytes": 2 * GIB}),
    "v1, nested": (
        "6:memory:/jobs/7\n0::/\n",
        {"memory/jobs/7/memory.limit_in_bytes": 2 * GIB, "memory/memory.limit_in_bytes": 9223372036854771712},
    ),
    "v1, path of the host": ("6:memory:/docker/4af1\n", {"memory/memory.limit_in_bytes": 2 * GIB}),
}


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for where control groups are mounted; the kernel lets nobody else write there."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    monkeypatch.setattr(machine, "CGROUP_FOLDER", folder)
    monkeypatch.setattr(machine, "CGROUP_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine, "_physical_memory", lambda: 64 * GIB)
    return folder


@pytest.mark.parametrize("kind", GROUPS)
def test_memory_is_what_the_control_group_allows(kind: str, mounted: Path) -> None:
    membership, files = GROUPS[kind]
    machine.CGROUP_MEMBERSHIP.write_text(membership)
    for name, limit in files.items():
        (mounted / name).parent.mkdir(parents=True, exist_ok=True)
        (mounted / name).write_text(f"{limit}\n")
    assert machine.usable_memory_bytes() == 2 * GIB


def test_memory_without_a_limit_is_the_machines(mounted: Path) -> None:
    assert machine.usable_memory_bytes() == 64 * GIB
    machine.CGROUP_MEMBERSHIP.write_text("4:memory:/\n0::/\n")
    (mounted / "memory").mkdir()
    (mounted / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    (mounted / "memory.max").write_text("max\n")
    assert machine.usable_memory_bytes() == 64 * GIB


def test_memory_of_this_machine_is_known() -> None:
    usable = machine.usable_memory_bytes()
    assert usable is not None and 64 * 2**20 < usable <= os.sysconf("SC_PAGE_SIZE") * os.sysconf(
        "SC_PHYS_PAGES"
    )


@pytest.mark.parametrize(
    "files",
    [
        {"/sys/fs/cgroup/cpu.max": "100000 100000"},
        {
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    ],
    ids=["v2", "v1"],
)
def test_cpus_are_what_the_control_group_allows(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a machine of 64 CPUs, of which a container got one, or half of one."""
    import builtins

    real_open, real_exists = builtins.open, os.path.exists

    def fake_open(path: object, *arguments: object, **options: object) -> object:
        if path in files:
            (tmp_path / "file").write_text(files[str(path)])
            path = tmp_path / "file"
        return real_open(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(
        os.path, "exists", lambda path: path in files or ("cgroup" not in str(path) and real_exists(path))
    )
    monkeypatch.setattr(builtins, "open", fake_open)
    assert machine.usable_cpus() == 1


def test_cpus_are_no_more_than_a_process_is_bound_to() -> None:
    assert 1 <= machine.usable_cpus() <= len(os.sched_getaffinity(0))
