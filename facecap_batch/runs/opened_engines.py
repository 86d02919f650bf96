"""The engines of one process, opened once and used for every clip.

In: the configuration of a run. Out: a `FaceCapture` with detector and regressor on their backends.
"""

from __future__ import annotations

from facecap_batch import machine
from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.engines import certificates
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import fingerprints, load_set
from facecap_batch.errors import EngineMismatch
from facecap_batch.runs.config import RunConfig


def open_engines(config: RunConfig) -> FaceCapture:
    """Open the configured engine set on the configured backend, with one CPU thread each.

    Raises EngineMismatch where the files of the set here are not those of the run, or the libraries that make
    pictures may give others than the driver's; NotCertified where only
    certified backends may run and the one that opens here is not certified, and EngineError.
    """
    cards = load_set(config.engines)
    found = fingerprints(cards)
    if found != dict(config.engine_hashes):
        raise EngineMismatch(f"engine set {config.engines!r} on this node differs from the driver's: {found}")
    libraries = machine.other_pictures()
    if libraries != dict(config.libraries):
        installed = {package: machine.versions().get(package) for package in machine.SAME_PICTURES}
        raise EngineMismatch(
            f"the libraries of this node ({installed}) may make other pictures than the driver's, and the "
            "folder would hold results of both kinds: install the same versions on every node"
        )
    faster = certificates.faster_here(cards) if config.backend == "auto" else ()
    detector = open_engine(cards.detector, config.backend, 1, faster)
    regressor = open_engine(cards.regressor, config.backend, 1, faster)
    look_up = certificates.require if config.require_certificate else certificates.find
    metadata = {
        f"{engine.card.role}_certificate": str(certificate)
        for engine in (detector, regressor)
        if (certificate := look_up(cards, engine.backend))
    }
    return FaceCapture(detector, regressor, config.capture, metadata)
