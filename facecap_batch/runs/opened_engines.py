"""The engines of one process, opened once and used for every clip.

In: the configuration of a run. Out: `Engines`: detector and regressor on their backends, and the metadata
of every table that is made with them.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from facecap_batch import __version__
from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.errors import EngineMismatch
from facecap_batch.runs.config import RunConfig
from facecap_batch.solve.solver import GAINS_METADATA

if TYPE_CHECKING:
    from facecap_batch.engines.batching import Engine
    from facecap_batch.engines.sets import EngineSet


@dataclasses.dataclass(frozen=True)
class Engines:
    """The engines of one process, open."""

    detector: Engine
    regressor: Engine
    metadata: dict[str, str]  # as written into every table


def open_engines(config: RunConfig) -> Engines:
    """Open the configured engine set on the configured backend, with one CPU thread each.

    Raises EngineMismatch where the files of the set here are not those of the run, NotCertified where only
    certified backends may run and the one that opens here is not certified, and EngineError.
    """
    from facecap_batch.engines.registry import open_engine
    from facecap_batch.engines.sets import fingerprints, load_set

    cards = load_set(config.engines)
    found = fingerprints(cards)
    if found != dict(config.engine_hashes):
        raise EngineMismatch(f"engine set {config.engines!r} on this node differs from the driver's: {found}")
    detector = open_engine(cards.detector, config.backend, threads=1)
    regressor = open_engine(cards.regressor, config.backend, threads=1)
    metadata = _metadata(cards, detector, regressor, config.require_certificate)
    return Engines(detector, regressor, metadata)


def _metadata(
    cards: EngineSet, detector: Engine, regressor: Engine, require_certificate: bool
) -> dict[str, str]:
    """What a table says of the engines it was made with; raises NotCertified."""
    from facecap_batch.engines import certificates

    look_up = certificates.require if require_certificate else certificates.find
    metadata = {"tool": f"facecap-batch {__version__}"}
    for card, engine in ((cards.detector, detector), (cards.regressor, regressor)):
        metadata[f"{card.role}_engine"] = f"{card.name} {card.version}".strip()
        metadata[f"{card.role}_sha256"] = card.sha256
        metadata[f"{card.role}_licence"] = card.licence
        metadata[f"{card.role}_backend"] = engine.backend
        if certificate := look_up(cards, engine.backend):
            metadata[f"{card.role}_certificate"] = str(certificate)
    names = cards.regressor.output_names
    if names and names != OUTPUT_NAMES:
        metadata["regressor_outputs"] = json.dumps(names)
    if cards.regressor.gains:
        metadata[GAINS_METADATA] = json.dumps(cards.regressor.gains, sort_keys=True)
    return metadata
