"""The processes that a test started: workers, and what listens on which address."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path


def worker_processes() -> list[int]:
    """Our workers that are at work: Ray names a process after what it does."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ray::ClipWorker.work") and is_descendant(int(folder.name)):
                found.append(int(folder.name))
    return found


def is_descendant(process: int) -> bool:
    return _is_below(process, os.getpid())


def listening_below(ancestor: int) -> dict[str, list[str]]:
    """Addresses on which `ancestor` or a process below it accepts TCP connections -> the commands that do."""
    sockets = _listening_sockets()
    found: dict[str, list[str]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or not _is_below(int(folder.name), ancestor):
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:100]
            opened = {str(file.readlink()) for file in (folder / "fd").iterdir()}
        except OSError:
            continue
        for address in {sockets[name] for name in opened & sockets.keys()}:
            found.setdefault(address, []).append(command)
    return found


def _listening_sockets() -> dict[str, str]:
    """``socket:[inode]`` -> address, of every listening TCP socket."""
    found: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # LISTEN
                # Words of four bytes, each in the machine's order.
                packed = bytes.fromhex(fields[1].split(":")[0])
                words = [packed[start : start + 4][::-1] for start in range(0, len(packed), 4)]
                found[f"socket:[{fields[9]}]"] = _plain(ipaddress.ip_address(b"".join(words)))
    return found


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _is_below(process: int, ancestor: int) -> bool:
    while process > 1:
        if process == ancestor:
            return True
        try:
            process = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False
