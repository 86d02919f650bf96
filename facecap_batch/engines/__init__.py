"""Networks ready to run: cards, sets, backends. Knows nothing of video, faces in time, or Ray."""

from facecap_batch.engines.backends import BACKENDS, choose_backend, open_engine
from facecap_batch.engines.cards import EngineCard, InputSpec
from facecap_batch.engines.engine import Engine, prepare_input
from facecap_batch.engines.sets import EngineSet, fingerprints, load_set

__all__ = [
    "BACKENDS",
    "Engine",
    "EngineCard",
    "EngineSet",
    "InputSpec",
    "choose_backend",
    "fingerprints",
    "load_set",
    "open_engine",
    "prepare_input",
]
