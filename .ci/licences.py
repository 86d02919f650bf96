"""The licences of everything that the product runs with: each must be one that lets anyone use and sell it.

In: the metadata of what is installed, from this project through all of its run-time dependencies. Out: exit
code 1, and a line for each package whose licence is not in `ALLOWED` or is not told. Run by `.ci/run`.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys

from closure import installed_closure

# SPDX identifiers. The MPL asks for the sources of changes to the package itself: we make none.
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Python-2.0",
    "Unlicense",
    "Zlib",
}
# What older packages write into free text or classifiers, without case.
SPOKEN = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "bsd": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}


def licences_of(distribution: importlib.metadata.Distribution) -> list[str]:
    """What the metadata says, best first: the SPDX expression, else the classifiers, else the text."""
    metadata = distribution.metadata
    if metadata.get("License-Expression"):
        return [metadata["License-Expression"]]
    classifiers = metadata.get_all("Classifier") or []
    named = [text.split(" :: ")[-1] for text in classifiers if text.startswith("License ::")]
    return [text for text in named if text != "OSI Approved"] or [(metadata.get("License") or "").strip()]


def is_allowed(text: str) -> bool:
    """True where `text` is an allowed licence, or an expression that needs no other: enough of its ORs."""
    expression = SPOKEN.get(text.lower(), re.sub(r"[()]", "", text))
    return any(
        all(part.strip() in ALLOWED for part in re.split(r"\sAND\s", alternative))
        for alternative in re.split(r"\sOR\s", expression)
    )


def main() -> int:
    """Check what is installed."""
    packages = installed_closure()
    refused = [
        (package.metadata["Name"], licences_of(package))
        for package in packages
        if not any(is_allowed(text) for text in licences_of(package))
    ]
    for name, licences in refused:
        print(f"{name}: {'; '.join(licences)[:200] or 'no licence in its metadata'}")
    print(f"{len(packages)} packages, {len(refused)} with a licence that is not allowed")
    return int(bool(refused))


if __name__ == "__main__":
    sys.exit(main())
