"""The result of comparing a backend with the reference, for people, programs and certificates.

In: parities of outputs and faces, and what is allowed. Out: a `Comparison`, its lines, its plain JSON values.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from facecap_batch.checks.face_parity import FaceLimit, FaceParity
from facecap_batch.checks.output_parity import Limit, Parity
from facecap_batch.checks.samples import Sample
from facecap_batch.engines.certificates import (
    AGREES,
    DIFFERS,
    MIN_CROPS,
    MIN_IMAGES,
    REFERENCE,
    WORTH_IT,
    Certificate,
    SpeedRatio,
    issue,
    libraries_of,
    subject_of,
)
from facecap_batch.engines.sets import EngineSet, fingerprints


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How far one backend is from the reference in one output of one engine."""

    engine: str
    parity: Parity
    limit: Limit

    @property
    def ok(self) -> bool:
        return self.parity.within(self.limit)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One backend against the reference."""

    engines: EngineSet
    backend: str
    against: EngineSet
    reference: str
    precision: str  # the lowest that an engine of the set is run at
    sample: Sample
    verdicts: tuple[Verdict, ...]
    faces: FaceParity
    face_limit: FaceLimit
    speed: SpeedRatio | None  # of backends that `auto` takes only where they are faster

    @property
    def ok(self) -> bool:
        return all(verdict.ok for verdict in self.verdicts) and self.faces.within(self.face_limit)

    @property
    def certifiable(self) -> bool:
        """Whether it was made with the reference, and on enough images and crops."""
        return (
            self.reference == REFERENCE
            and len(self.sample.crops) >= MIN_CROPS
            and len(self.sample.images) >= MIN_IMAGES
        )

    def certify(self, path: Path | None = None) -> Certificate:
        """Keep it as a certificate, at `path` or beside the set. Raises OutputNotWritable."""
        return issue(self.engines, subject_of(self.engines, self.backend), self.describe(), path)

    def describe(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        sample = self.sample
        return {
            "verdict": AGREES if self.ok else DIFFERS,
            "engine_set": self.engines.name,
            "precision": self.precision,
            "reference": {
                "backend": self.reference,
                "engine_set": self.against.name,
                "engines": fingerprints(self.against),
                "libraries": libraries_of(self.reference),
            },
            "input": {
                "kind": sample.kind,
                "videos": [{"name": name, "sha256": digest} for name, digest in sample.videos],
                "crops": len(sample.crops),
                "pictures": len(sample.images),
            },
            "outputs": [self._output(verdict) for verdict in self.verdicts],
            "faces": {
                **_faces_json(self.faces),
                "worst": self._label("detector", self.faces.worst_item),
                "allowed": dataclasses.asdict(self.face_limit),
                "ok": self.faces.within(self.face_limit),
            },
            "speed": dataclasses.asdict(self.speed) if self.speed else None,
        }

    def _output(self, verdict: Verdict) -> dict[str, Any]:
        parity = verdict.parity
        role = next(card.role for card in self.engines.cards if card.name == verdict.engine)
        return {
            "engine": verdict.engine,
            "output": parity.output,
            "items": parity.items,
            "max_abs": parity.max_abs,
            "mean_abs": parity.mean_abs,
            "mse": parity.mse,
            "worst": self._label(role, parity.worst_item),
            "items_beyond": parity.beyond(verdict.limit),
            "allowed": dataclasses.asdict(verdict.limit),
            "ok": verdict.ok,
            "values": [
                {
                    "name": column.name,
                    "max_abs": column.max_abs,
                    "mean_abs": column.mean_abs,
                    "mse": column.mse,
                    "worst": self._label(role, column.worst_item),
                }
                for column in parity.columns
            ],
        }

    def _label(self, role: str, item: int) -> str:
        if role == "detector":
            return self.sample.images[item].label if self.sample.images else ""
        return self.sample.crop_labels[item] if self.sample.crop_labels else ""

    def label_of(self, verdict: Verdict) -> str:
        """The image or crop in which an output differs most."""
        return str(self._output(verdict)["worst"])


def _faces_json(faces: FaceParity) -> dict[str, Any]:
    """The figures under the keys of a certificate."""
    fields = dataclasses.asdict(faces)
    return {"pictures": fields.pop("images"), **fields}


def describe_comparison(comparison: Comparison) -> list[str]:
    """The comparison in lines for people, one per output."""
    pair = f"{comparison.backend} against {comparison.reference}"
    lines = []
    for verdict in comparison.verdicts:
        parity, limit = verdict.parity, verdict.limit
        beyond = parity.beyond(limit)
        line = (
            f"{'ok  ' if verdict.ok else 'FAIL'} {verdict.engine} {parity.output}: {pair}: "
            f"largest difference {parity.max_abs:.2g} (allowed {limit.largest:g} per unit), "
            f"mean {parity.mean_abs:.2g}, mean square {parity.mse:.2g}"
        )
        if parity.columns:
            worst = max(parity.columns, key=lambda column: column.max_abs)
            line += f"; most in {worst.name}, {comparison.label_of(verdict)}"
        if beyond:
            line += f"; beyond what is allowed in {beyond} of {parity.items}"
        lines.append(line)
    faces, allowed = comparison.faces, comparison.face_limit
    lines.append(
        f"{'ok  ' if faces.within(allowed) else 'FAIL'} faces: {pair}: {faces.matched} of {faces.faces} in "
        f"{faces.images} images the same, {faces.missing} missing, {faces.extra} extra; largest "
        f"difference of an edge {faces.max_corner:.2g} px (allowed {allowed.corner:g}"
        + (f" or {allowed.share:.0%} of the face" if allowed.share else "")
        + f"), of a score {faces.max_score:.2g}"
    )
    if comparison.speed:
        speed = comparison.speed
        told = ", ".join(f"{role} {ratio:.2f}" for role, ratio in speed.times_faster.items())
        lines.append(
            f"speed: {comparison.backend} against {speed.against}: {told}, both for a frame with one face "
            f"{speed.per_frame:.2f} times as fast"
            + ("" if speed.per_frame >= WORTH_IT else f"; below {WORTH_IT} auto does not take it")
        )
    return lines
