"""Known vulnerabilities of what the product runs with, as pip-audit finds them.

In: what is installed, a vulnerability service on the network. Out: exit code 1 where a vulnerability is known
that a newer version does not have; those without such a version are printed only. Where no service can be
reached it says so and passes: not every machine that tests may ask one. Run by `.ci/run`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from closure import PROJECT, installed_closure

PROBE = "rich==13.0.0"  # any package will do: is there an answer at all?
TIMEOUT_S = 300


def audited(requirements: list[str]) -> list[dict[str, Any]] | None:
    """pip-audit's findings for exact versions; None where there is no answer."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--requirement",
            str(listed),
            "--no-deps",
            "--disable-pip",
        ]
        try:
            done = subprocess.run(
                [*command, "--format", "json", "--progress-spinner", "off"],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
            packages = json.loads(done.stdout)["dependencies"]
        except (subprocess.TimeoutExpired, ValueError):
            return None
    answered = [package for package in packages if "skip_reason" not in package]
    return answered or None


def main() -> int:
    """Audit what is installed."""
    if audited([PROBE]) is None:
        print("not audited: no vulnerability service answers from here")
        return 0
    packages = [(each.metadata["Name"], each.version) for each in installed_closure()]
    findings = audited([f"{name}=={version}" for name, version in packages if name != PROJECT])
    if findings is None:
        print("not audited: the vulnerability service stopped answering")
        return 0
    with_remedy = 0
    for package in findings:
        for fault in package["vulns"]:
            with_remedy += bool(fault["fix_versions"])
            remedy = ", ".join(fault["fix_versions"]) or "no version without it"
            print(f"{package['name']} {package['version']}: {fault['id']} ({remedy})")
    print(f"{len(findings)} packages audited, {with_remedy} vulnerabilities that an upgrade ends")
    return int(with_remedy > 0)


if __name__ == "__main__":
    sys.exit(main())
