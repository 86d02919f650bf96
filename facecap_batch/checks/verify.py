"""Whether the backends here agree: acceleration must not change the animation.

In: an engine set, backends, a `Sample` of images and crops. Out: a `Comparison` per backend: how far each
output, each coefficient and each face found is from the reference, what is allowed, and the verdict, as it
stands in a certificate; of backends that `auto` takes only where they are faster, also how fast they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facecap_batch.capturing.detector import FOLLOW_SHARE, Detection, Detector
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.checks.comparison import Comparison, Verdict
from facecap_batch.checks.face_parity import compare_faces, face_limit_of
from facecap_batch.checks.output_parity import PRECISIONS, compare, limit_of, precision_of
from facecap_batch.checks.samples import Sample, synthetic_sample, video_sample
from facecap_batch.checks.speed_ratio import speed_beside_rival
from facecap_batch.engines.batching import Engine, prepare_input
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.certificates import REFERENCE
from facecap_batch.engines.registry import full_precision_backends, open_engine, unavailable_because
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.errors import BackendUnavailable, EngineMismatch, install_hint

log = logging.getLogger(__name__)

CROPS, IMAGES = 1000, 200
BATCH = 64  # crops prepared at once; float32 ones of 256 pixels are 50 MB
REFERENCES = (REFERENCE, "onnxruntime-cpu")  # the first that is installed


def verify(
    engines: str = "default",
    backends: Sequence[str] = (),
    reference: str = "",
    videos: Sequence[Path] = (),
    against: str = "",
    crops: int = CROPS,
    images: int = IMAGES,
) -> Iterator[Comparison]:
    """Compare backends with the reference.

    Args:
        engines: Name or folder of the set.
        backends: By name; empty: all of full precision that work here.
        reference: By name; empty: the first of REFERENCES that works here.
        videos: To take images and crops from; empty: synthetic faces.
        against: Another set that the reference runs: the one that this set was quantised from.
        crops: How many are compared.
        images: How many are compared.

    Returns:
        One comparison per backend, each made when it is asked for.

    Raises:
        BackendUnavailable: A named backend does not work, or there is nothing to compare.
        EngineError, BadVideo.
    """
    cards = load_set(engines)
    exact = load_set(against) if against else cards
    reference = reference or next((name for name in REFERENCES if unavailable_because(name) is None), "")
    others = list(backends) or list(full_precision_backends())
    if exact is cards:
        others = [name for name in others if name != reference]
    if not reference or not others:
        raise BackendUnavailable(
            f"only {reference or 'no backend'} works here, so there is nothing to compare it with: "
            f"{install_hint('torch')} brings the reference"
        )
    _check_same_contract(cards, exact)
    sample = make_sample(cards, videos, crops, images)
    expected = BackendOutputs(exact, reference, sample)
    compared = 0
    for name in others:
        try:
            outputs = BackendOutputs(cards, name, sample)
        except BackendUnavailable as error:  # installed, but its device or driver is not there
            if backends or (name == others[-1] and not compared):
                raise
            log.warning("skipped %s: %s", name, error)
            continue
        compared += 1
        yield _comparison(cards, name, expected, outputs)


def make_sample(cards: EngineSet, videos: Sequence[Path], crops: int, images: int) -> Sample:
    """Images and crops of `videos`, or synthetic ones, for `cards`. Raises BadVideo."""
    if not videos:
        return synthetic_sample(images, crops, cards.regressor.input.size)
    detector, regressor = Detector(open_engine(cards.detector)), Regressor(open_engine(cards.regressor))
    return video_sample(videos, images, crops, detector, regressor)


class BackendOutputs:
    """The outputs of a set for a sample on one backend."""

    def __init__(self, cards: EngineSet, backend: str, sample: Sample) -> None:
        self.engines, self.backend, self.sample = cards, backend, sample
        recorder = _Recorder(open_engine(cards.detector, backend))
        detector = Detector(recorder)
        threshold = detector.score_threshold * FOLLOW_SHARE  # the lowest that a capture uses
        # One at a time, as a capture does.
        found = [detector.detect([sampled.image], threshold)[0] for sampled in sample.images]
        self.threshold, self.max_faces = threshold, detector.top_k
        self.faces: list[list[Detection]] = [
            [face.scaled(1 / sampled.scale) for face in faces]
            for sampled, faces in zip(sample.images, found, strict=True)
        ]
        self.outputs = {cards.detector.role: recorder.outputs}
        for card in cards.cards:
            if card.role != "detector":
                self.outputs[card.role] = _read(open_engine(card, backend), sample.crops)


class _Recorder:
    """An engine that keeps its outputs."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.card, self.backend = engine, engine.card, engine.backend
        self.outputs: list[dict[str, np.ndarray]] = []

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self.engine.run(batch)
        self.outputs.append(outputs)
        return outputs


def _read(engine: Engine, crops: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    return [
        engine.run(prepare_input(engine.card, np.stack(crops[start : start + BATCH])))
        for start in range(0, len(crops), BATCH)
    ]


def _comparison(
    cards: EngineSet, backend: str, expected: BackendOutputs, found: BackendOutputs
) -> Comparison:
    precision = max((precision_of(card, backend) for card in cards.cards), key=PRECISIONS.index)
    verdicts = [
        Verdict(card.name, parity, limit_of(card, parity.output, precision))
        for card in cards.cards
        for parity in compare(card, expected.outputs[card.role], found.outputs[card.role])
    ]
    limit = face_limit_of(precision)
    return Comparison(
        engines=cards,
        backend=backend,
        against=expected.engines,
        reference=expected.backend,
        precision=precision,
        sample=expected.sample,
        verdicts=tuple(verdicts),
        faces=compare_faces(expected.faces, found.faces, expected.threshold, limit.score, expected.max_faces),
        face_limit=limit,
        speed=speed_beside_rival(cards, backend),
    )


def _check_same_contract(cards: EngineSet, exact: EngineSet) -> None:
    """Raise EngineMismatch where two sets differ in inputs, outputs or thresholds."""

    def contract(card: EngineCard) -> tuple[Any, ...]:
        return card.role, card.input, tuple(card.outputs.items()), card.output_names, card.postprocess

    for one, other in zip(cards.cards, exact.cards, strict=True):
        if contract(one) != contract(other):
            raise EngineMismatch(
                f"{one.role} {one.name!r} of {cards.folder} and {other.name!r} of {exact.folder} differ in "
                "input, outputs or thresholds, so their outputs cannot be compared value by value"
            )
