"""What a table records of the engines that made it.

In: open engines. Out: metadata of a raw table: who computed it and under which licence, and what later steps
need to know of the regressor (its output names, its gains, where it rests).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from facecap_batch import __version__
from facecap_batch.coefficients import GAINS_METADATA, OUTPUT_NAMES, REST_METADATA
from facecap_batch.engines.batching import Engine


def engine_metadata(engines: Iterable[Engine]) -> dict[str, str]:
    """Metadata entries, the same and in the same order for the same engines on the same backend."""
    metadata = {"tool": f"facecap-batch {__version__}"}
    for engine in engines:
        card = engine.card
        metadata[f"{card.role}_engine"] = f"{card.name} {card.version}".strip()
        metadata[f"{card.role}_sha256"] = card.sha256
        metadata[f"{card.role}_licence"] = card.licence
        metadata[f"{card.role}_backend"] = engine.backend
        if card.role != "regressor":
            continue
        if card.output_names and card.output_names != OUTPUT_NAMES:
            metadata["regressor_outputs"] = json.dumps(card.output_names)
        if card.gains:
            metadata[GAINS_METADATA] = json.dumps(card.gains, sort_keys=True)
        if card.rest:
            metadata[REST_METADATA] = json.dumps(card.rest, sort_keys=True)
    return metadata
