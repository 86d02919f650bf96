"""What the shell offers for values that are found by looking: engine sets, and the clips of an output folder.

In: the command line so far. Out: names. Called by the completion that ``--install-completion`` sets up, so a
folder that cannot be read offers nothing and raises nothing.
"""

from __future__ import annotations

from typing import Any

import typer

from facecap_batch.errors import FacecapError


def engine_sets(incomplete: str) -> list[str]:
    """The names of the engine sets here that begin with `incomplete`."""
    from facecap_batch.engines.sets import available_sets

    return [name for name in available_sets() if name.startswith(incomplete)]


def channels(incomplete: str) -> list[str]:
    """The columns and groups that `plot` draws, and that begin with `incomplete`."""
    from facecap_batch.exporting.plots.channels import ALL, GROUPS

    return [name for name in (*GROUPS, *GROUPS[ALL]) if name.startswith(incomplete)]


def clip_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """The clips of the folder that the command line names; of a local folder only, as others are slow."""
    from facecap_batch.output.reports import read_reports
    from facecap_batch.storage.publish import storage_path
    from facecap_batch.storage.remote import is_uri

    # The parser stops at the unfinished --clip and leaves OUT, the only argument, among the rest.
    folder: Any = ctx.params.get("output") or next(iter(ctx.args), None)
    if not folder or is_uri(folder):
        return []
    try:
        _, rows = read_reports(storage_path(folder))
    except (FacecapError, OSError):
        return []
    return [row["clip_id"] for row in rows if row["clip_id"].startswith(incomplete)]
