"""Certificates: the kept proof that a backend agrees with the reference, on this hardware.

In: what `verify` measured. Out: a JSON file beside the engine set, found again when somebody is about to use
that backend with these engines, these libraries and this kind of hardware. It is valid for exactly those: any
other engine file or card, library version, processor or tool version needs one of its own, and they lie side
by side. Of backends that `auto` takes only where they are faster, it says how much faster they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Literal

from facecap_batch import __version__, machine
from facecap_batch.engines.registry import FASTER, REDUCED, RIVAL, choose_backend
from facecap_batch.engines.sets import EngineSet, available_sets, fingerprints, load_set
from facecap_batch.errors import NotCertified, OutputNotWritable, install_hint
from facecap_batch.storage.documents import BadDocument, document_bytes, excerpt, parsed
from facecap_batch.storage.publish import publish_bytes

FORMAT = 1
FOLDER = "certificates"
REFERENCE = "torch"  # on the CPU; what others are measured by needs no certificate
AGREES, DIFFERS = "agrees", "differs"
# A comparison on fewer proves too little to be kept.
MIN_CROPS, MIN_IMAGES = 100, 20
# Distributions whose versions decide what a backend computes, by the first word of its name.
LIBRARIES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "torch": ("torch",),
}
# What `auto` changes its choice for: less does not pay for compiling a network when it is opened.
WORTH_IT = 1.05
NVIDIA_SMI_S = 10.0  # it answers in less than one, or hangs on a broken driver


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a certificate is about, and valid for."""

    backend: str
    engines: dict[str, str]  # as `engines.sets.fingerprints`
    libraries: dict[str, str]  # distribution -> version
    hardware: str  # processor, or GPUs
    tool: str  # version of this package

    def key(self) -> str:
        """A few digits that tell certificates apart."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True)
class SpeedRatio:
    """How fast a backend is beside another, on the machine that the certificate is for."""

    against: str  # the other backend
    libraries: dict[str, str]  # of the other: distribution -> version
    times_faster: dict[str, float]  # by role, in the batches that a capture uses
    per_frame: float  # likewise, of all that a capture asks of the set for a frame with one face


@excerpt
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Content(Subject):
    """What a certificate's file holds, without the figures of the comparison."""

    format: int
    verdict: Literal["agrees", "differs"]
    speed: SpeedRatio | None = None


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate as it lies in its file."""

    path: Path
    sha256: str  # hex, of the file
    subject: Subject
    verdict: str  # AGREES | DIFFERS
    speed: SpeedRatio | None = None  # of backends in `registry.FASTER`, where it was measured

    def __str__(self) -> str:
        return f"{self.sha256} {self.verdict}"


def subject_of(engines: EngineSet, backend: str) -> Subject:
    """`engines` on `backend` in this process, on this machine."""
    return Subject(backend, fingerprints(engines), libraries_of(backend), hardware_of(backend), __version__)


def libraries_of(backend: str) -> dict[str, str]:
    """Versions of what is installed of a backend's libraries."""
    found = {}
    for name in LIBRARIES.get(backend.partition("-")[0], ()):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware_of(backend: str) -> str:
    """The kind of processor, or of GPUs, that `backend` computes on here."""
    if "cuda" in backend or backend.startswith("tensorrt"):
        return ", ".join(sorted(set(_gpus()))) or "no GPU"
    return f"{platform.machine()} {machine.hardware()['processor']}".strip()


def _gpus() -> list[str]:
    """Containers often see a GPU but not the driver's files; nvidia-smi then names it."""
    if found := machine.hardware()["gpus"]:
        return list(found)
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in ended.stdout.splitlines() if line.strip()]


def folders_of(engines: EngineSet) -> list[Path]:
    """Where certificates of a set lie: beside it, and the user's own folder for sets that cannot be written
    to."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    digest = hashlib.sha256(json.dumps(fingerprints(engines), sort_keys=True).encode()).hexdigest()[:12]
    return [engines.folder / FOLDER, Path(data) / "facecap-batch" / FOLDER / f"{engines.name}-{digest}"]


def issue(
    engines: EngineSet, subject: Subject, measured: dict[str, Any], path: Path | None = None
) -> Certificate:
    """Publish a certificate with `measured` (the figures, their input, and "verdict"); return it.

    It lies beside the set, else in the user's folder, else at `path` alone. Raises OutputNotWritable.
    """
    content = {"format": FORMAT, **dataclasses.asdict(subject), **measured, "issued_at": machine.utc_now()}
    data = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
    name = f"{subject.backend}.{subject.key()}.json"
    paths = [path] if path else [folder / name for folder in folders_of(engines)]
    for target in paths:
        try:
            publish_bytes(target, data)
        except OSError as error:
            refused = error
            continue
        return _read(target)
    raise OutputNotWritable(
        f"the certificate cannot be written to {' or '.join(map(str, paths))}: {refused}; "
        "name another file with --certificate"
    ) from refused


def find(engines: EngineSet, backend: str) -> Certificate | None:
    """The certificate of `engines` on `backend` here, whatever its verdict; None where there is none."""
    subject = subject_of(engines, backend)
    for folder in folders_of(engines):
        for path in sorted(folder.glob(f"{backend}.*json")):  # ours, and any that was carried here
            try:
                certificate = _read(path)
            except NotCertified:
                continue
            if certificate.subject == subject:
                return certificate
    return None


def require(engines: EngineSet, backend: str) -> Certificate | None:
    """The certificate of `engines` on `backend` here; None for the reference, which needs none.

    Raises NotCertified, with the command that issues one, where there is none or the backend did not agree.
    """
    if backend == REFERENCE:
        return None
    found = find(engines, backend)
    if found is not None and found.verdict == AGREES:
        return found
    subject = subject_of(engines, backend)
    versions = ", ".join(f"{name} {version}" for name, version in subject.libraries.items())
    about = f"backend {backend} with engines {engines.name!r}, {versions or 'no library'}, {subject.hardware}"
    command = f"facecap-batch verify --engines {_spelt(engines)} --backend {backend}"
    if found is not None:
        raise NotCertified(
            f"{about}: differs from the reference according to {found.path}; `{command}` tries again"
        )
    others = sum(len(list(folder.glob(f"{backend}.*json"))) for folder in folders_of(engines))
    aside = f" ({others} of other engines, versions or hardware)" if others else ""
    raise NotCertified(
        f"{about}: no certificate{aside}; on such a machine, with the reference installed "
        f"({install_hint('torch')}), `{command}` issues one"
    )


def faster_here(engines: EngineSet) -> tuple[str, ...]:
    """The backends of `registry.FASTER` that "auto" takes before `registry.RIVAL` for this set: certified
    here, and measured here to be WORTH_IT times as fast; those of reduced precision only where all cards say
    that they were judged in it."""
    found = []
    for name in FASTER:
        judged = name not in REDUCED or all(REDUCED[name] in card.judged_in for card in engines.cards)
        if not judged or not libraries_of(name):
            continue
        certificate = find(engines, name)
        if certificate is None or certificate.verdict != AGREES or certificate.speed is None:
            continue
        speed = certificate.speed
        current = speed.against == RIVAL and speed.libraries == libraries_of(RIVAL)
        if current and speed.per_frame >= WORTH_IT:
            found.append(name)
    return tuple(found)


def require_for(engine_set: str, backend: str) -> None:
    """Raise NotCertified unless this set is certified on the backend that `backend` means on this machine.

    "auto" means the one that workers here will take: another one that is certified, or the reference, which
    needs no certificate, does not help them.
    """
    engines = load_set(engine_set)
    require(engines, choose_backend(faster=faster_here(engines)).name if backend == "auto" else backend)


def _spelt(engines: EngineSet) -> str:
    """How a command names the set."""
    known = available_sets().get(engines.name)
    return engines.name if known is not None and known.resolve() == engines.folder else str(engines.folder)


def _read(path: Path) -> Certificate:
    """Raises NotCertified where the file is no certificate."""
    try:
        data = document_bytes(path)
        content = parsed(_Content, data, path)
    except (OSError, BadDocument) as error:
        raise NotCertified(f"{path} is no certificate: {error}") from error
    if content.format != FORMAT:
        raise NotCertified(f"{path} is no certificate of this version: its format is {content.format}")
    subject = Subject(**{field.name: getattr(content, field.name) for field in dataclasses.fields(Subject)})
    return Certificate(path, hashlib.sha256(data).hexdigest(), subject, content.verdict, content.speed)
