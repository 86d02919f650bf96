"""The lines of an event log, of a run that may still be writing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def lines(log: Path, *events: str) -> list[dict[str, Any]]:
    """All whole lines of `log`, or those of `events`.

    A file that is being written may be seen with half of its last line, which is left out.
    """
    text = log.read_text() if log.exists() else ""
    found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in found if not events or line["event"] in events]
