"""What a run does, in two parts: what changes its results, and what does not.

`RunConfig` decides the numbers and therefore carries the fingerprints by which finished work is
recognised. `RunOptions` decides where and how the work is done: workers, cluster, attempts; the results
are the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facecap_batch import machine
from facecap_batch.capturing.settings import CAPTURE_REVISION, CaptureSettings
from facecap_batch.solve.settings import SOLVE_REVISION, SolveSettings
from facecap_batch.storage.publish import StoragePath

# Networks take little time on a GPU, so a worker there waits for its decoder unless that has threads.
GPU_DECODE_THREADS = 4
FINGERPRINT_DIGITS = 32  # 128 bits: chance collisions do not happen


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that changes results."""

    engines: str  # name or folder of the engine set, the same on every node
    engine_hashes: Mapping[str, str]  # as `engines.sets.fingerprints`
    capture: CaptureSettings
    solve: SolveSettings
    # Which runtime runs the engines. In the fingerprints only where its precision is reduced: the others
    # agree within the tolerance that `verify` proves, and a run may move between machines half-way. Each
    # file and record names it.
    backend: str = "auto"
    # Only backends that hold a certificate (`certificates`). This decides what may run, not what comes out.
    require_certificate: bool = False
    # As `machine.other_pictures` of the driver; every worker must have the same.
    libraries: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def capture_fingerprint(self) -> str:
        """Digest of what decides the raw tables: revision of the capture, engine files, capture settings,
        libraries whose pictures are not known to be the same."""
        return _digest(self._capture_description())

    def fingerprint(self) -> str:
        """Digest of what decides every result: the above, revision of the solve, solve settings."""
        solve = {"solve_revision": SOLVE_REVISION, "solve": dataclasses.asdict(self.solve)}
        return _digest({**self._capture_description(), **solve})

    def describe(self) -> dict[str, Any]:
        """The configuration as plain JSON values, for ``run.json``."""
        return {
            "engines": self.engines,
            "backend": self.backend,
            "require_certificate": self.require_certificate,
            "engine_hashes": dict(self.engine_hashes),
            "capture": _plain(dataclasses.asdict(self.capture)),
            "solve": _plain(dataclasses.asdict(self.solve)),
            "libraries": dict(self.libraries),
        }

    @staticmethod
    def from_description(description: Mapping[str, Any]) -> RunConfig:
        """The inverse of `describe`; settings that are not in `description` are at their defaults.

        Raises BadDocument where it is no configuration of this version.
        """
        # Not at the top: every command imports this room, and few read a configuration.
        from facecap_batch.storage.documents import checked

        return checked(RunConfig, description, "config")

    def captures_otherwise(self, before: Mapping[str, Any]) -> str:
        """Why raw tables that were captured under `before` do not count under this configuration, in words.

        Args:
            before: An earlier configuration of the folder, as `describe` gives it; not checked.
        """
        now = self.describe()
        settings, set_before = now["capture"], before.get("capture")
        reasons = []
        if before.get("engine_hashes") != now["engine_hashes"]:
            reasons.append("the engines are others")
        if isinstance(set_before, Mapping):
            changed = [
                name
                for name in settings
                if name != "decode_threads" and set_before.get(name, settings[name]) != settings[name]
            ]
            reasons += [f"{name} was {set_before[name]} and is {settings[name]}" for name in changed]
        if before.get("libraries", {}) != now["libraries"]:
            reasons.append(
                f"pictures may differ from those of before ({_named(before.get('libraries'))} then, "
                f"{_named(now['libraries'])} now)"
            )
        return "; ".join(reasons) or "this version, or its backend's precision, gives other results"

    def _capture_description(self) -> dict[str, Any]:
        from facecap_batch.engines.registry import REDUCED

        capture = dataclasses.asdict(self.capture)
        for name in ("decode_threads", "max_megapixels", "max_frames"):  # they change no table that comes out
            del capture[name]
        if not self.capture.several:
            del capture["faces"]  # tables of the main subject alone are those of versions that knew no others
        if not self.capture.landmarks:
            del capture["landmarks"]  # likewise
        description = {
            "capture_revision": CAPTURE_REVISION,
            "engines": dict(self.engine_hashes),
            "capture": capture,
        }
        if self.backend in REDUCED:
            description["precision"] = REDUCED[self.backend]
        if self.libraries:
            description["libraries"] = dict(self.libraries)
        return description


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; none of it changes a result."""

    output: StoragePath
    # None: one for a small job (see `executors.choice`), else as many as CPUs, GPU shares and memory allow.
    workers: int | None = None
    ray_address: str | None = None  # None: where Ray is needed, a local one is started and stopped by the run
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    force: bool = False  # do everything again, finished or not
    verify: bool = False  # read all files of finished clips, and do again what is damaged
    retry_failed: bool = True  # False: clips that failed under the same configuration stay failed
    attempts: int = 3  # how often a clip is tried when workers die or the storage fails under it
    new_manifest: bool = False  # the folder may go over to a manifest that leaves out finished clips
    log_json: Path | None = None  # events are appended here, as `event_log` describes
    # Seconds of video: clips at least half as long again are cut into segments of about this; 0: none is.
    segment_s: float = 60.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError("workers must be at least 1")
        if self.attempts < 1:
            raise ValueError("attempts must be at least 1")
        if not self.segment_s >= 0:
            raise ValueError("segment_s must be 0 or above")


def worker_threads(
    gpus_per_worker: float, decode_threads: int | None = None, cpus_per_worker: float | None = None
) -> tuple[int, float]:
    """Decode threads and CPUs of a worker, where they are not given: one and one, or with a share of a GPU
    GPU_DECODE_THREADS and a CPU for each decode thread.
    """
    threads = decode_threads or (GPU_DECODE_THREADS if gpus_per_worker > 0 else 1)
    if cpus_per_worker is None:
        cpus_per_worker = float(threads) if gpus_per_worker > 0 else 1.0
    return threads, cpus_per_worker


def make_config(
    engines: str = "default",
    backend: str = "auto",
    capture: CaptureSettings | None = None,
    solve: SolveSettings | None = None,
    require_certificate: bool = False,
) -> RunConfig:
    """The configuration of a run with this engine set; reads and checks the set's cards.

    Raises EngineError where the set is missing or damaged, or gives no landmarks and they are wanted.
    """
    from facecap_batch.engines.sets import fingerprints, lasting_name, load_set

    engine_set = load_set(engines)
    if capture is not None and capture.landmarks:
        engine_set.regressor.require_landmarks()
    return RunConfig(
        engines=lasting_name(engine_set, engines),
        engine_hashes=fingerprints(engine_set),
        capture=capture or CaptureSettings(),
        solve=solve or SolveSettings(),
        backend=backend,
        require_certificate=require_certificate,
        libraries=machine.other_pictures(),
    )


def _named(libraries: Any) -> str:
    """Libraries that are out of the ordinary, for a message."""
    if not libraries or not isinstance(libraries, Mapping):
        return "libraries that were compared"
    return ", ".join(f"{package} {version}" for package, version in libraries.items())


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _digest(description: Mapping[str, Any]) -> str:
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]
