"""What the product runs with: its run-time dependencies that are installed here, and theirs.

In: the metadata of what is installed. Out: distributions, by name.
"""

from __future__ import annotations

import importlib.metadata

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "facecap-batch"
# What a user may install to run it; not tests, linters or training. Of cpu and gpu one alone can be there.
EXTRAS = ("cpu", "openvino", "query", "pandas", "cluster", "storage")


def installed_closure() -> list[importlib.metadata.Distribution]:
    """This project and all that it needs, as far as installed."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [(PROJECT, extra) for extra in ("", *EXTRAS)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[canonicalize_name(name)] = distribution
        for text in distribution.requires or []:
            requirement = Requirement(text)
            here = {**default_environment(), "extra": extra}
            if requirement.marker is not None and not requirement.marker.evaluate(here):
                continue
            for wanted in ("", *requirement.extras):
                step = (canonicalize_name(requirement.name), wanted)
                if step not in seen:
                    seen.add(step)
                    waiting.append(step)
    return [found[name] for name in sorted(found)]
